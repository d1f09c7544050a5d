//! Role `serve`: the HTTP API.

use std::sync::Arc;

use axum::Router;

use crate::app::parts::{Parts, cadence};
use crate::app::role::{Guarded, Role};
use crate::app::stages::Stages;
use crate::http::allowance::Refreshes;
use crate::http::push::meaning::Rules;
use crate::http::tally::Tally;
use crate::http::{self, Serve};
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;

pub static ROLE: Role = Role {
    name: "serve",
    about: "The HTTP API",
    listen_key: "http.listen",
    listen: |config| config.http.listen,
    guarded: Guarded::All,
    connections: 12,
    needs_engines: None,
    // The API answers without Redis, more slowly, and needs Kafka only to publish a dead letter again.
    ready_with: &[],
    announcement: "API        http://{at}   try it at http://{at}/docs/",
    router,
    start,
};

fn start(parts: &Parts, stages: &mut Stages) -> anyhow::Result<()> {
    let (feed, store) = (parts.feed.clone(), parts.store.clone());
    let told = parts.current.told().clone();
    let watching = |stop| feed.watch(store, told, stop);
    stages.servers.spawn("feed", watching);
    Ok(())
}

fn router(parts: &Parts, ready: ReadyChecks, flood: FloodGuard) -> Router {
    http::router::router(Serve::new(http::Parts {
        store: parts.store.clone(),
        current: parts.current.clone(),
        learned: parts.learned.clone(),
        tally: Tally::default(),
        clock: parts.clock.clone(),
        routes: Arc::clone(&parts.routes),
        metrics: Arc::clone(&parts.metrics),
        bus: parts.bus.clone(),
        ready,
        gate: parts.access.at((ROLE.listen)(&parts.config)),
        http: parts.config.http.clone(),
        pushes: Rules {
            cadence: cadence(&parts.config.work),
            names: parts.config.facts.in_messages,
        },
        flood,
        refreshes: Arc::new(Refreshes::new(&parts.config.http)),
        feed: parts.feed.clone(),
    }))
}
