//! Role `consume`: reads the topic, writes status and history, refreshes the cache.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;

use crate::app::parts::Parts;
use crate::app::role::{Engine, Guarded, Role};
use crate::app::stages::Stages;
use crate::consumer::Consumer;
use crate::consumer::chores::Keeping;
use crate::consumer::parts::ConsumerParts;
use crate::serving::caller::Anyone;
use crate::serving::flood::FloodGuard;
use crate::serving::health::{self, ReadyChecks};
use crate::serving::layers::{self, Kit};

pub static ROLE: Role = Role {
    name: "consume",
    about: "The consumer: reads the topic, writes status and history, refreshes the cache",
    listen_key: "consume.listen",
    listen: |config| config.consume.listen,
    guarded: Guarded::Nothing,
    connections: 8,
    needs_engines: Some(
        "it would receive no results, and the API's cache would not be invalidated",
    ),
    ready_with: &[Engine::Kafka],
    announcement: "consumer   http://{at}   /readyz /metrics",
    router,
    start,
};

fn router(parts: &Parts, ready: ReadyChecks, _: FloodGuard) -> Router {
    let gate = parts.access.at((ROLE.listen)(&parts.config));
    let figures = health::figures::<Anyone, _, _>(Arc::clone(&parts.metrics), async || ());
    let router = gate.before_figures(figures.into());
    layers::wrap(
        layers::with_fallbacks(router.merge(health::operations(ready))),
        Kit::new(&parts.config.http, Arc::clone(&parts.metrics)),
    )
}

fn start(parts: &Parts, stages: &mut Stages) -> anyhow::Result<()> {
    let consumer = consumer(parts)?;
    stages.consumers.spawn("consume", |stop| consumer.run(stop));
    Ok(())
}

/// A consumer made of these parts.
///
/// # Errors
/// If there is no bus to read.
pub fn consumer(parts: &Parts) -> anyhow::Result<Consumer> {
    let consume = &parts.config.consume;
    let consumer = ConsumerParts {
        store: parts.store.clone(),
        bus: parts.bus.clone().context("the consumer has no bus")?,
        current: parts.current.clone(),
        clock: parts.clock.clone(),
        metrics: Arc::clone(&parts.metrics),
    };
    let keep = &parts.config.retention;
    let keeping = Keeping {
        changes: keep.changes.get(),
        parcels: Some(keep.parcels.get()).filter(|kept| !kept.is_zero()),
    };
    let consumer = Consumer::new(consumer, consume.batch as usize, consume.fetch_wait.get());
    Ok(consumer.keeping(keeping))
}
