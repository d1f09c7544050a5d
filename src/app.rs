//! Runs the roles, and stops them in order.

pub mod parts;
pub mod refuse;
pub mod servers;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::parts::{Parts, connect, make_consumer, make_scheduler};
use crate::app::servers::Servers;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::{self, Demo};
use crate::outage::Outage;
use crate::store::Store;

/// How often the clock is set by the store's time.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// How long the store may take to tell its time: half of it is how far off the clock may be.
const CLOCK_MAX: Duration = Duration::from_secs(2);

/// How often the cache is mended.
const MEND_EVERY: Duration = Duration::from_secs(1);

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
    refuse::what_cannot_work(&config, roles)?;
    let lock = refuse::lock_store(&config, roles).await?;
    if let Some(demo) = &demo {
        demo::forget_the_last(demo)?;
    }
    let speed = demo.as_ref().and_then(|demo| demo.speed);
    let clock = speed.map_or_else(Clock::system, Clock::fast);
    let emulator = match &demo {
        Some(demo) => Some(demo::start_emulator(&config, demo, &clock)?),
        None => None,
    };
    let parts = connect(config, roles, clock).await?;
    let servers = Servers::bind(&parts, roles, emulator.as_ref()).await?;
    servers.announce(demo.as_ref());

    let mut work = Stage::default();
    let mut consume = Stage::default();
    let mut serve = Stage::default();
    let serve_stop = serve.stop.clone();
    serve.spawn("http", servers.run(serve_stop));
    serve.spawn("clock", keep_clock(parts.clone(), stop.clone()));
    serve.spawn("cache", mend_cache(parts.cache.clone(), serve.stop.clone()));
    let config = Arc::clone(&parts.config);
    serve.spawn("lock", refuse::keep_lock(lock, config, serve.stop.clone()));
    if roles.contains(&Role::Work) {
        let prices = Arc::clone(&parts.pricer).run(work.stop.clone());
        work.spawn("prices", prices);
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
    if let Some(redis) = &parts.redis {
        redis.close().await;
    }
    parts.store.close().await;
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

/// Sets `clock` by the store's time, measured in the middle of the question.
pub async fn set_clock(store: &Store, clock: &Clock) -> anyhow::Result<()> {
    let before = clock.monotonic();
    let time = tokio::time::timeout(CLOCK_MAX, store.time())
        .await
        .context("the database did not tell the time soon enough to be of use")?
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
    let mut outage = Outage::new("setting the clock by the database's");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(CLOCK_EVERY) => {}
        }
        match set_clock(&parts.store, &parts.clock).await {
            Ok(()) => outage.over(),
            Err(error) => outage.failed(format_args!("{error:#}")),
        }
    }
}

/// Keeps up with what the cache could not be told.
async fn mend_cache(cache: Cache, stop: CancellationToken) -> anyhow::Result<()> {
    while tokio::time::timeout(MEND_EVERY, stop.cancelled())
        .await
        .is_err()
    {
        cache.mend().await;
    }
    Ok(())
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
        let answers = tokio::select! {
            answers = answers(&account.base_url) => answers,
            () = stop.cancelled() => return Ok(()),
        };
        if !answers {
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
