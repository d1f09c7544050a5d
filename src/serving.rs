//! The HTTP kit that all roles share: problems, extractors, layers, the API's document, health and the server.
//!
//! A role makes its routes with [`operation::get`] and [`operation::post`], [`layers::wrap`]s them, and gives the router to
//! a [`server::Server`].

pub mod access;
pub mod caller;
pub mod docs;
pub mod extract;
pub mod flood;
pub mod health;
pub mod id;
pub mod layers;
pub mod list;
pub mod once;
pub mod operation;
pub mod page;
pub mod problem;
pub mod server;
#[cfg(test)]
pub mod snapshot;
pub mod whole;
