//! Connects the parts, runs the roles, and stops them in order.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::cache::limiter::{MemoryLimiter, RateLimiter};
use crate::cache::memory::MemoryCache;
use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::{self, Demo};
use crate::kafka::Bus;
use crate::kafka::consumer::{self, Consumer};
use crate::kafka::memory::{self, MemoryBus};
use crate::metrics::Metrics;
use crate::scheduler::ops::Stats;
use crate::scheduler::plan::Plan;
use crate::scheduler::{self, Scheduler, Settings};
use crate::servers::Servers;
use crate::store::{Connections, Store};

/// How often the clock is set by the store's time.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// How long the consumer may take to apply what the worker published last.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long all may take to stop beyond the worker's grace time; then the process ends at once.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Serve,
    Work,
    Consume,
}

impl Role {
    pub const ALL: &[Self] = &[Self::Serve, Self::Work, Self::Consume];

    fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Work => "work",
            Self::Consume => "consume",
        }
    }
}

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

/// Runs `roles` until a signal stops them, or one of them fails.
///
/// # Errors
/// Where something the roles need is missing, or one of them ends by itself.
pub async fn run(config: Config, roles: &[Role], demo: Option<Demo>) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let grace = config.work.grace.get() + STOP_MARGIN;
    let deadline = {
        let stop = stop.clone();
        async move {
            stop.cancelled().await;
            tokio::time::sleep(grace).await;
        }
    };
    tokio::select! {
        ended = run_until(config, roles, demo, stop) => ended,
        () = deadline => bail!("did not stop within {} s: ended at once", grace.as_secs()),
    }
}

/// Runs `roles` until `stop`, then stops the worker, the consumer and the API, in this order.
pub async fn run_until(
    config: Config,
    roles: &[Role],
    demo: Option<Demo>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let lock = refuse_what_cannot_work(&config, roles)?;
    let emulator = match &demo {
        Some(_) => Some(demo::start_emulator(&config)?),
        None => None,
    };
    let parts = connect(config, roles, Clock::system()).await?;
    let servers = Servers::bind(&parts, roles, emulator.as_ref()).await?;
    servers.announce(demo.as_ref());

    let mut work = Stage::default();
    let mut consume = Stage::default();
    let mut serve = Stage::default();
    let serve_stop = serve.stop.clone();
    serve.spawn("http", servers.run(serve_stop));
    serve.spawn("clock", keep_clock(parts.clone(), stop.clone()));
    if roles.contains(&Role::Work) {
        work.spawn("work", make_scheduler(&parts)?.run(work.stop.clone()));
    }
    if roles.contains(&Role::Consume) {
        consume.spawn("consume", make_consumer(&parts)?.run(consume.stop.clone()));
    }
    match (demo, emulator) {
        (Some(demo), Some(emulator)) => {
            serve.spawn(
                "demo",
                demo::run(parts.clone(), demo, emulator, stop.clone()),
            );
        }
        _ if roles.contains(&Role::Work) => {
            serve.spawn(
                "carriers",
                tell_silent_carriers(parts.clone(), roles == Role::ALL, stop.clone()),
            );
        }
        _ => {}
    }

    let ended = tokio::select! {
        // First: tasks that the same signal ends have not failed.
        biased;
        () = stop.cancelled() => Ok(()),
        failed = work.failure() => Err(failed),
        failed = consume.failure() => Err(failed),
        failed = serve.failure() => Err(failed),
    };
    if ended.is_ok() {
        tracing::info!("stopping: no new checks; calls in flight end first");
    }
    stop.cancel();
    work.end().await;
    drain(&parts).await;
    consume.end().await;
    serve.end().await;
    parts.store.close().await;
    drop(lock);
    ended
}

/// Tasks that stop together. Each runs until its token; one that ends before is a failure.
#[derive(Default)]
struct Stage {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Stage {
    fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// The first failure of one of its tasks; never, where there is none.
    async fn failure(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok((name, Ok(())))) => anyhow::anyhow!("{name} ended by itself"),
            Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the program died"),
        }
    }

    /// Stops its tasks and waits for them.
    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((name, Err(error))) => {
                    tracing::error!("{name} failed while stopping: {error:#}")
                }
                Err(error) => tracing::error!("a part of the program died while stopping: {error}"),
            }
        }
    }
}

/// Opens the configured database.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let connections = Connections {
        readers: config.store.readers,
        postgres: config.store.connections,
        statement_timeout: config.store.statement_timeout.get(),
    };
    Store::open(config.store.url.expose(), connections)
        .await
        .with_context(|| format!("cannot open the database at {}", config.store.url))
}

/// Connects what the roles need, migrates the database, and sets `clock` by it.
pub async fn connect(config: Config, roles: &[Role], clock: Clock) -> anyhow::Result<Parts> {
    let routes = Arc::new(Routes::new(&config)?);
    let store = open_store(&config).await?;
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

/// Refuses roles that could not meet the others, and locks the store where this process alone may use it.
fn refuse_what_cannot_work(config: &Config, roles: &[Role]) -> anyhow::Result<Option<File>> {
    let engines = !config.kafka.brokers.is_empty() || !config.redis.url.is_empty();
    if engines {
        bail!(
            "kafka.brokers or redis.url is set, but this version has only the in-process bus and cache: \
             leave both empty and run `trackbox all`"
        );
    }
    for (role, why) in [
        (
            Role::Work,
            "what it hears would reach no consumer, and another worker would not know what it has spent",
        ),
        (
            Role::Consume,
            "it would hear of nothing, and the API's cache would not hear of it",
        ),
    ] {
        if roles == [role] {
            bail!(
                "`trackbox {0}` alone needs kafka.brokers and redis.url to meet the other roles ({why}); \
                 `trackbox all` runs everything in one process without them",
                role.name()
            );
        }
    }
    if roles.contains(&Role::Consume) {
        lock_store(config).map(Some)
    } else {
        Ok(None)
    }
}

/// Holds a lock beside the SQLite file for the life of the process.
fn lock_store(config: &Config) -> anyhow::Result<File> {
    let url = config.store.url.expose();
    let Some(file) = url.strip_prefix("sqlite:") else {
        bail!(
            "`trackbox all` without Kafka and Redis works on SQLite: set store.url = \"sqlite://FILE\""
        );
    };
    let file = file.trim_start_matches("//");
    let path = format!("{}.lock", file.split('?').next().unwrap_or(file));
    if let Some(folder) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let lock = File::create(&path).with_context(|| format!("cannot create {path}"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "another `trackbox all` works on {}: two of them would each spend the carriers' limits. \
             Stop it first, or give this one another store.url",
            config.store.url
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {path}"))
        }
    }
}

async fn set_clock(store: &Store, clock: &Clock) -> anyhow::Result<()> {
    let before = clock.monotonic();
    let time = store
        .time()
        .await
        .context("cannot ask the database for the time")?;
    let after = clock.monotonic();
    let moved = clock.set(time, before + (after - before) / 2);
    if moved.abs() > chrono::TimeDelta::seconds(1) {
        tracing::warn!(
            "this machine's clock is {} ms off the database's, which counts",
            -moved.num_milliseconds()
        );
    }
    Ok(())
}

/// Keeps the clock by the store's time.
async fn keep_clock(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(CLOCK_EVERY) => {}
        }
        if let Err(error) = set_clock(&parts.store, &parts.clock).await {
            tracing::warn!("the clock goes on by itself: {error:#}");
        }
    }
}

/// Waits until the consumer has applied what is on the in-process bus, so that a restart has nothing to ask again.
async fn drain(parts: &Parts) {
    let Some(bus) = &parts.bus else {
        return;
    };
    let drained = tokio::time::timeout(DRAIN_MAX, bus.drained());
    if drained.await.is_err() {
        tracing::warn!(
            "some checks were published and not applied: they are made again after the next start"
        );
    }
}

/// Says in one line which carriers do not answer at the start.
async fn tell_silent_carriers(
    parts: Parts,
    all: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut silent = Vec::new();
    for account in parts.routes.accounts() {
        if !answers(&account.base_url).await {
            silent.push(format!(
                "{} at {}",
                account.codes.join(", "),
                account.base_url
            ));
        }
    }
    if !silent.is_empty() {
        let hint = if all {
            "; for a look around with carriers and parcels, run `trackbox all --demo`"
        } else {
            ""
        };
        tracing::warn!("no answer from the carriers of {}{hint}", silent.join("; "));
    }
    stop.cancelled().await;
    Ok(())
}

/// Whether somebody listens at an address; asks nothing, so it costs no call.
async fn answers(base_url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base_url) else {
        return false;
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    let connect = tokio::net::TcpStream::connect((host.to_owned(), port));
    matches!(
        tokio::time::timeout(Duration::from_secs(2), connect).await,
        Ok(Ok(_))
    )
}

/// The first signal stops cleanly; the second ends the process at once.
fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: ended at once");
        std::process::exit(1);
    });
    Ok(())
}
