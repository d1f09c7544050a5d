//! What the roles are made of: opened, connected and put together as the configuration says.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Notify;

use crate::app::{Role, set_clock};
use crate::cache::Cache;
use crate::cache::limiter::{MemoryLimiter, RateLimiter};
use crate::cache::memory::MemoryCache;
use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::config::Config;
use crate::kafka::Bus;
use crate::kafka::consumer::{self, Consumer};
use crate::kafka::memory::{self, MemoryBus};
use crate::metrics::Metrics;
use crate::scheduler::ops::Stats;
use crate::scheduler::plan::Plan;
use crate::scheduler::{self, Scheduler, Settings};
use crate::store::{Connections, Store};

/// Everything the roles are made of, connected.
#[derive(Clone)]
pub struct Parts {
    pub config: Arc<Config>,
    pub store: Store,
    pub bus: Option<Bus>,
    pub cache: Cache,
    pub limiter: RateLimiter,
    pub routes: Arc<Routes>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub stats: Arc<Stats>,
    pub trigger: Arc<Notify>,
}

/// Opens the configured database, with as many connections as `roles` need where the configuration says nothing; one
/// command without a role needs few.
pub async fn open_store(config: &Config, roles: &[Role]) -> anyhow::Result<Store> {
    let postgres = match (config.store.connections, roles) {
        (0, []) => 2,
        (0, [Role::Serve]) => 12,
        (0, [Role::Work]) => 6,
        (0, [Role::Consume]) => 8,
        (0, _) => 20,
        (connections, _) => connections,
    };
    let connections = Connections {
        readers: config.store.readers,
        postgres,
        statement_timeout: config.store.statement_timeout.get(),
    };
    Store::open(config.store.url.expose(), connections)
        .await
        .with_context(|| format!("cannot open the database at {}", config.store.url))
}

/// Connects what the roles need, migrates the database, and sets `clock` by it.
pub async fn connect(config: Config, roles: &[Role], clock: Clock) -> anyhow::Result<Parts> {
    let routes = Arc::new(Routes::new(&config)?);
    let store = open_store(&config, roles).await?;
    store.migrate().await?;
    set_clock(&store, &clock).await?;
    let whole = roles.contains(&Role::Work) && roles.contains(&Role::Consume);
    let bus = if whole {
        Some(memory_bus(&config, &store, &clock).await?)
    } else {
        None
    };
    let cache = if whole {
        Cache::Memory(Arc::new(MemoryCache::new(
            config.cache.entries_max,
            config.cache.ttl.get(),
        )))
    } else {
        Cache::None
    };
    Ok(Parts {
        limiter: RateLimiter::Memory(Arc::new(MemoryLimiter::new(clock.clone()))),
        metrics: Arc::new(Metrics::new()),
        stats: Arc::new(Stats::new(clock.now())),
        trigger: Arc::new(Notify::new()),
        config: Arc::new(config),
        store,
        bus,
        cache,
        routes,
        clock,
    })
}

/// The in-process bus, which goes on where the store stands.
async fn memory_bus(config: &Config, store: &Store, clock: &Clock) -> anyhow::Result<Bus> {
    let states = store
        .partition_states(memory::TOPIC)
        .await
        .context("cannot read the offsets")?;
    let offsets: Vec<i64> = (0..memory::PARTITIONS)
        .map(|partition| {
            let state = states.iter().find(|state| state.partition == partition);
            state.map_or(0, |state| state.next_offset)
        })
        .collect();
    let bus = MemoryBus::new(clock.clone(), &offsets, config.kafka.in_process_bytes_max);
    Ok(Bus::Memory(Arc::new(bus)))
}

/// The worker of these parts.
pub fn make_scheduler(parts: &Parts) -> anyhow::Result<Scheduler> {
    let work = &parts.config.work;
    let plan = Plan {
        in_transit_min: work.next_check_in_transit_min.get(),
        in_transit_max: work.next_check_in_transit_max.get(),
        unknown: work.next_check_unknown.get(),
        backoff: work.backoff.iter().map(|span| span.get()).collect(),
    };
    let settings = Settings {
        poll_interval: work.poll_interval.get(),
        lease: work.lease.get(),
        batch: work.batch,
        grace: work.grace.get(),
    };
    let scheduler = scheduler::Parts {
        store: parts.store.clone(),
        bus: parts.bus.clone().context("the worker has no bus")?,
        limiter: parts.limiter.clone(),
        routes: Arc::clone(&parts.routes),
        clock: parts.clock.clone(),
        plan,
        metrics: Arc::clone(&parts.metrics),
        stats: Arc::clone(&parts.stats),
        trigger: Arc::clone(&parts.trigger),
    };
    Scheduler::new(scheduler, settings)
}

/// The consumer of these parts.
pub fn make_consumer(parts: &Parts) -> anyhow::Result<Consumer> {
    let consume = &parts.config.consume;
    let consumer = consumer::Parts {
        store: parts.store.clone(),
        bus: parts.bus.clone().context("the consumer has no bus")?,
        cache: parts.cache.clone(),
        clock: parts.clock.clone(),
        metrics: Arc::clone(&parts.metrics),
    };
    Ok(Consumer::new(
        consumer,
        consume.batch as usize,
        consume.fetch_wait.get(),
    ))
}
