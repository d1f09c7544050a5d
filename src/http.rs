//! Role `serve`: the HTTP API. One file for each resource, with its types, its handlers and their routes.
//!
//! A new resource is a file, its `mod` here and its line in `router.rs`.

mod accounts;
mod acts;
pub mod allowance;
mod budget;
mod by_ids;
mod carriers;
mod changes;
mod create;
mod dead_letters;
mod events;
mod extras;
mod items;
mod keys;
mod lines;
mod list;
mod message;
mod parcel;
mod pause;
pub mod push;
mod refresh;
pub mod router;
mod schedule;
pub mod tally;
mod tenants;
#[cfg(test)]
mod tests;
mod text;
mod trackings;
mod veil;
mod words;

use std::ops::Deref;
use std::sync::Arc;

use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::config;
use crate::current::Current;
use crate::feed::Feed;
use crate::http::allowance::Refreshes;
use crate::http::push::meaning::Rules;
use crate::http::tally::Tally;
use crate::kafka::Bus;
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::serving::access::Gate;
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;
use crate::serving::problem::Kind;
use crate::store::Store;

/// The problems that every operation of the API may answer with.
const ALWAYS: &[Kind] = &[Kind::TooManyRequests, Kind::Internal, Kind::Unavailable];

/// What the API works with. Clones share it; each request makes some.
#[derive(Clone)]
pub struct Serve(Arc<Parts>);

impl Serve {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Serve {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The parts of [`Serve`].
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub current: Current,
    pub clock: Clock,
    pub routes: Arc<Routes>,
    pub learned: Learned,
    pub metrics: Arc<Metrics>,
    pub tally: Tally,
    /// Where dead letters are published again; `None` if the process has no bus.
    pub bus: Option<Bus>,
    pub ready: ReadyChecks,
    /// Who may come in.
    pub gate: Gate,
    pub http: config::Http,
    pub refreshes: Arc<Refreshes>,
    /// How what carriers push is judged.
    pub pushes: Rules,
    /// Run its [`FloodGuard::run`] beside the server.
    pub flood: FloodGuard,
    /// Run its [`Feed::watch`] beside the server.
    pub feed: Feed,
}

/// A number of hours for people, in a unit that fits it; a negative one counts as 0.
fn in_words(hours: f64) -> String {
    if hours < 1.0 / 3_600.0 {
        "less than a second".to_owned()
    } else if hours < 1.0 / 60.0 {
        format!("{:.0} s", hours * 3_600.0)
    } else if hours < 2.0 {
        format!("{:.0} min", hours * 60.0)
    } else if hours < 48.0 {
        format!("{hours:.1} h")
    } else {
        format!("{:.1} days", hours / 24.0)
    }
}
