//! TrackBox keeps tracking numbers fresh within what the carriers allow, and publishes every change.
//!
//! A parcel is a row with a time. [`scheduler`] (role `work`) claims what is due, asks the [`carriers`] and publishes what
//! they said on the bus; [`consumer`] (role `consume`) reads it and is the only writer of status and history in
//! the [`store`]; [`http`] (role `serve`) reads, adds, and makes urgent. [`app`] connects them.

pub mod app;
pub mod archive;
pub mod cache;
pub mod carriers;
pub mod clock;
pub mod commands;
pub mod config;
pub mod consumer;
pub mod current;
pub mod demo;
pub mod feed;
pub mod http;
pub mod kafka;
pub mod learned;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod outage;
pub mod plan;
pub mod replay;
pub mod reread;
pub mod scheduler;
pub mod serving;
pub mod simulate;
pub mod store;
pub mod tls;
pub mod together;
