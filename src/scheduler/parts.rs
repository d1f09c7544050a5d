//! What a worker is made of, and how it is set.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::cache::limiter::RateLimiter;
use crate::cache::tokens::Tokens;
use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::kafka::Bus;
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::plan::cadence::Cadence;
use crate::scheduler::archiving::Archiving;
use crate::scheduler::connections::Connections;
use crate::scheduler::ops::Stats;
use crate::scheduler::pricing::Pricer;
use crate::store::Store;

/// Everything that a worker uses but does not own alone. A clone shares all of it.
#[derive(Clone)]
pub struct SchedulerParts {
    pub store: Store,
    pub bus: Bus,
    pub limiter: RateLimiter,
    pub tokens: Arc<Tokens>,
    pub routes: Arc<Routes>,
    pub clock: Clock,
    pub cadence: Cadence,
    pub learned: Learned,
    pub pricer: Arc<Pricer>,
    pub metrics: Arc<Metrics>,
    pub stats: Arc<Stats>,
    pub connections: Arc<Connections>,
    pub archiving: Arc<Archiving>,
    /// Whether messages may hold names of people.
    pub names_in_messages: bool,
    /// Starts a claim cycle without waiting for the poll interval.
    pub trigger: Arc<Notify>,
}

/// A worker's settings.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub poll_interval: Duration,
    pub lease: Duration,
    /// The most trackings claimed at once.
    pub batch: u32,
    /// The shortest time between a good answer and an early check.
    pub recheck_after: Duration,
    /// How long calls in flight may take to end when the process stops.
    pub grace: Duration,
}
