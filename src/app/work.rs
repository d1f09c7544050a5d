//! Role `work`: claims due parcels, asks the carriers, publishes what they say.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper_util::client::proxy::matcher::Matcher;
use tokio_util::sync::CancellationToken;

use crate::app::parts::{Parts, cadence};
use crate::app::readings::warn_of_changes;
use crate::app::role::{Engine, Guarded, Role};
use crate::app::stages::Stages;
use crate::carriers::routes::Routes;
use crate::scheduler::Scheduler;
use crate::scheduler::archivist::{Archivist, ArchivistParts};
use crate::scheduler::connections::Connections;
use crate::scheduler::ops::{self, Ops};
use crate::scheduler::parts::{SchedulerParts, Settings};
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;
use crate::tls;

/// How long a carrier may take to accept a connection before it counts as silent.
const CONNECT_MAX: Duration = Duration::from_secs(2);

pub static ROLE: Role = Role {
    name: "work",
    about: "The worker: claims due parcels, asks the carriers, publishes what they say",
    listen_key: "work.listen",
    listen: |config| config.work.listen,
    guarded: Guarded::Operations,
    connections: 6,
    needs_engines: Some(
        "its results would reach no consumer, and other workers would not know which calls it has made",
    ),
    ready_with: &[Engine::Redis, Engine::Kafka],
    announcement: "worker     http://{at}   /stats /config /metrics",
    router,
    start,
};

fn router(parts: &Parts, ready: ReadyChecks, _: FloodGuard) -> Router {
    ops::router(Ops {
        stats: Arc::clone(&parts.stats),
        trigger: Arc::clone(&parts.trigger),
        clock: parts.clock.clone(),
        config: Arc::clone(&parts.config),
        metrics: Arc::clone(&parts.metrics),
        gate: parts.access.at((ROLE.listen)(&parts.config)),
        ready,
    })
}

fn start(parts: &Parts, stages: &mut Stages) -> anyhow::Result<()> {
    tell_of_public_url(parts);
    let (store, routes) = (parts.store.clone(), Arc::clone(&parts.routes));
    let clock = parts.clock.clone();
    stages.workers.spawn("readings", |stop| {
        warn_of_changes(store, routes, clock, stop)
    });
    let pricer = Arc::clone(&parts.pricer);
    stages.workers.spawn("pricer", |stop| pricer.run(stop));
    let bell = parts.bell.clone();
    stages.workers.spawn("bell", |stop| async move {
        bell.listen(stop).await;
        Ok(())
    });
    // It stops after the checks, so that their last answers are kept too.
    let archivist = archivist(parts);
    stages.servers.spawn("archive", |stop| archivist.run(stop));
    let scheduler = scheduler(parts)?;
    stages.workers.spawn("work", |stop| scheduler.run(stop));
    Ok(())
}

/// Says which sections could have their carriers told where to push, if there were an address to tell.
fn tell_of_public_url(parts: &Parts) {
    if !parts.config.http.public_url.is_empty() {
        return;
    }
    let routes = parts.routes.all().filter(|route| route.door.is_some());
    let could = routes.filter(|route| route.adapter.subscription().is_some());
    let sections: Vec<&str> = could.map(|route| route.section.as_str()).collect();
    if !sections.is_empty() {
        let sections = sections.join(", ");
        tracing::info!(
            sections,
            "no carrier is told where to push: with http.public_url set, {sections} would subscribe"
        );
    }
}

/// The writer of the answers that workers made of these parts leave.
pub fn archivist(parts: &Parts) -> Archivist {
    let archive = &parts.config.archive;
    Archivist::new(ArchivistParts {
        archiving: Arc::clone(&parts.archiving),
        place: parts.archive.clone(),
        parcels: parts.store.clone(),
        clock: parts.clock.clone(),
        metrics: Arc::clone(&parts.metrics),
        keep: archive.keep.get(),
        bytes_max: archive.max_bytes,
    })
}

/// A worker made of these parts.
///
/// # Errors
/// If there is no bus to publish on, or the trusted certificates cannot be read.
pub fn scheduler(parts: &Parts) -> anyhow::Result<Scheduler> {
    let work = &parts.config.work;
    let settings = Settings {
        poll_interval: work.poll_interval.get(),
        lease: work.lease.get(),
        batch: work.batch,
        recheck_after: work.recheck_after.get(),
        grace: work.grace.get(),
    };
    let tls = tls::client_config(&parts.config.tls.ca_file)?;
    let scheduler = SchedulerParts {
        store: parts.store.clone(),
        bus: parts.bus.clone().context("the worker has no bus")?,
        limiter: parts.limiter.clone(),
        tokens: Arc::clone(&parts.tokens),
        routes: Arc::clone(&parts.routes),
        clock: parts.clock.clone(),
        cadence: cadence(work),
        learned: parts.learned.clone(),
        pricer: Arc::clone(&parts.pricer),
        metrics: Arc::clone(&parts.metrics),
        stats: Arc::clone(&parts.stats),
        connections: Arc::new(Connections::new(tls, Matcher::from_env())),
        archiving: Arc::clone(&parts.archiving),
        names_in_messages: parts.config.facts.in_messages,
        trigger: Arc::clone(&parts.trigger),
    };
    Ok(Scheduler::new(scheduler, settings))
}

/// Warns once of carriers at whose address nothing listens, with `hint` behind, then waits for `stop`. Makes no call, so it
/// costs none.
pub async fn warn_of_silent_carriers(
    routes: Arc<Routes>,
    hint: &'static str,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut silent = Vec::new();
    for account in routes.accounts() {
        let accepts = accepts_connections(&account.base_url);
        match stop.run_until_cancelled(accepts).await {
            None => return Ok(()),
            Some(true) => {}
            Some(false) => silent.push(format!(
                "{} at {}",
                account.codes.join(", "),
                account.base_url
            )),
        }
    }
    if !silent.is_empty() {
        tracing::warn!("no answer from the carriers of {}{hint}", silent.join("; "));
    }
    stop.cancelled().await;
    Ok(())
}

async fn accepts_connections(base_url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base_url) else {
        return false;
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    let connect = tokio::net::TcpStream::connect((host.to_owned(), port));
    matches!(tokio::time::timeout(CONNECT_MAX, connect).await, Ok(Ok(_)))
}
