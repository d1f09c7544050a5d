//! What a consumer is made of.

use std::sync::Arc;

use crate::clock::Clock;
use crate::current::Current;
use crate::kafka::Bus;
use crate::metrics::Metrics;
use crate::store::Store;

/// Everything that a consumer uses but does not own alone. A clone shares all of it.
#[derive(Clone)]
pub struct ConsumerParts {
    pub store: Store,
    pub bus: Bus,
    pub current: Current,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}
