//! The HTTP kit that every role shares: problems, extractors, layers, documents, health and the server itself.
//!
//! A role makes its routes, [`layers::wrap`]s them, and hands the router to a [`server::Server`].

pub mod docs;
pub mod extract;
pub mod flood;
pub mod health;
pub mod layers;
pub mod list;
pub mod page;
pub mod problem;
pub mod server;
#[cfg(test)]
pub mod snapshot;
