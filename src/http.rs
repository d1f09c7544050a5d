//! Role `serve`: the HTTP API. One file for each resource, with its request type, handler and documentation.

pub mod accounts;
pub mod budget;
pub mod by_ids;
pub mod carriers;
pub mod dead_letters;
pub mod events;
pub mod refresh;
pub mod router;
pub mod schedule;
#[cfg(test)]
mod tests;
pub mod trackings;

use std::sync::Arc;

use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::config;
use crate::current::Current;
use crate::kafka::Bus;
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;
use crate::store::Store;

/// What the API works with. A clone works with the same.
#[derive(Clone)]
pub struct Serve {
    pub store: Store,
    pub current: Current,
    pub clock: Clock,
    pub routes: Arc<Routes>,
    pub learned: Learned,
    pub metrics: Arc<Metrics>,
    /// Where dead letters are published again; none where the role has no bus.
    pub bus: Option<Bus>,
    pub ready: ReadyChecks,
    pub http: config::Http,
    /// Its [`FloodGuard::run`] must be run beside the server.
    pub flood: FloodGuard,
}

/// A number of hours in the unit that fits it, for people.
fn span(hours: f64) -> String {
    if hours < 1.0 / 3_600.0 {
        "less than a second".to_owned()
    } else if hours < 1.0 / 60.0 {
        format!("{:.0} s", hours * 3_600.0)
    } else if hours < 2.0 {
        format!("{:.0} min", hours * 60.0)
    } else {
        format!("{hours:.1} h")
    }
}
