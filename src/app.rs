//! Runs roles in one process, and stops them in order.

pub mod consume;
pub mod parts;
pub mod readings;
pub mod refuse;
pub mod role;
pub mod serve;
pub mod servers;
pub mod stages;
pub mod upkeep;
pub mod waiting;
pub mod work;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use crate::app::parts::{Parts, connect};
use crate::app::role::{Role, wanted};
use crate::app::servers::{Needed, Servers};
use crate::app::stages::Stages;
use crate::app::waiting::until_available;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::lock::StoreLock;

/// Every role, in the order in which their addresses are announced.
pub static ROLES: &[&Role] = &[&serve::ROLE, &work::ROLE, &consume::ROLE];

/// How long the consumer may take to apply what the worker published last.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long the process may take to stop beyond `work.grace` and `http.stop_wait`; then it ends at once.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// Runs `roles` until a signal stops them, or one of them fails.
///
/// # Errors
/// If something that the roles need is missing for good, or one of them ends by itself.
pub async fn run(config: Config, roles: &'static [&'static Role]) -> anyhow::Result<()> {
    until_stopped(stop_max(&config), async |_| {
        let locked = App::lock(config, roles).await?;
        let mut app = locked.connect(Clock::system()).await?;
        if roles.iter().any(|role| role.name == work::ROLE.name) {
            let hint = if roles.len() == ROLES.len() {
                "; for a look around with carriers and parcels, run `trackbox all --demo`"
            } else {
                ""
            };
            let routes = Arc::clone(&app.parts.routes);
            app.also("carriers", |stop| {
                work::warn_of_silent_carriers(routes, hint, stop)
            });
        }
        Ok(app)
    })
    .await
}

/// How long a process may take to stop.
pub fn stop_max(config: &Config) -> Duration {
    config.work.grace.get() + config.http.stop_wait.get() + STOP_MARGIN
}

/// Starts a process and runs it until the first signal. `start` gets the token that the signal cancels.
///
/// # Errors
/// Those of `start` and [`App::run`], and if it takes more than `max` to end after the signal.
pub async fn until_stopped(
    max: Duration,
    start: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<App>,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let process = async {
        match stop.run_until_cancelled(start(stop.clone())).await {
            Some(app) => app?.run(stop.clone()).await,
            // What it leaves half done is one transaction.
            None => {
                tracing::info!("stopped before the start was complete");
                Ok(())
            }
        }
    };
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(max).await;
    };
    tokio::select! {
        ended = process => ended,
        () = deadline => bail!("did not stop within {} s: ended at once", max.as_secs()),
    }
}

/// A process that holds the lock on its database and is connected to nothing else yet. Its ports answer 503.
pub struct Locked {
    config: Config,
    roles: &'static [&'static Role],
    metrics: Arc<Metrics>,
    servers: Servers,
    stages: Stages,
    lock: StoreLock,
}

impl Locked {
    /// Connects what the roles need, and sets `clock` by the database. Waits for the database if it is away.
    ///
    /// # Errors
    /// If waiting cannot mend it, or another process took the lock meanwhile.
    pub async fn connect(mut self, clock: Clock) -> anyhow::Result<App> {
        let wanted = wanted(self.roles);
        let parts = until_available(async || {
            refuse::keep_once(&mut self.lock, &self.config).await?;
            let metrics = Arc::clone(&self.metrics);
            connect(&self.config, wanted, clock.clone(), metrics).await
        })
        .await?;
        Ok(App {
            parts,
            roles: self.roles,
            servers: self.servers,
            lock: self.lock,
            stages: self.stages,
            needed: None,
        })
    }
}

/// A process whose parts are connected. Its roles start with [`App::run`].
pub struct App {
    pub parts: Parts,
    roles: &'static [&'static Role],
    servers: Servers,
    lock: StoreLock,
    stages: Stages,
    needed: Option<Needed>,
}

impl App {
    /// Opens the ports of `roles` and takes the lock on the database. Waits for the database if it is away.
    ///
    /// # Errors
    /// If the roles lack something they need, a port is taken, another process holds a lock that excludes this one, or
    /// waiting cannot mend it.
    pub async fn lock(config: Config, roles: &'static [&'static Role]) -> anyhow::Result<Locked> {
        refuse::what_cannot_work(&config, roles)?;
        let metrics = Arc::new(Metrics::new());
        let mut stages = Stages::default();
        let listening = Servers::listen(&config, roles, &metrics, &mut stages.servers).await;
        let servers = match listening {
            Ok(servers) => servers,
            Err(error) => {
                // A TrackBox on the same database is a better reason than that it has the same port.
                refuse::lock_store(&config, roles).await?;
                return Err(error);
            }
        };
        let lock = until_available(async || refuse::lock_store(&config, roles).await).await?;
        Ok(Locked {
            config,
            roles,
            metrics,
            servers,
            stages,
            lock,
        })
    }

    /// Runs beside the roles the task that `make` makes of the token that stops it. A task that ends earlier is a failure.
    pub fn also<T>(&mut self, name: &'static str, make: impl FnOnce(CancellationToken) -> T)
    where
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.stages.servers.spawn(name, make);
    }

    /// Makes every role's readiness depend on what answers at an address.
    pub fn need(&mut self, needed: Needed) {
        self.needed = Some(needed);
    }

    /// Runs the roles until `stop`, then stops the worker, the consumer and the servers, in this order.
    ///
    /// # Errors
    /// If a role or task fails or ends by itself.
    async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self {
            parts,
            roles,
            servers,
            lock,
            mut stages,
            needed,
        } = self;
        servers.open(&parts, needed.as_ref()).await;
        let serving = &mut stages.servers;
        let (store, clock) = (parts.store.clone(), parts.clock.clone());
        serving.spawn("clock", |stop| upkeep::keep_clock(store, clock, stop));
        serving.spawn("cache", |stop| {
            upkeep::mend_cache(parts.current.clone(), stop)
        });
        let (store, clock) = (parts.store.clone(), parts.clock.clone());
        let names = roles.iter().map(|role| role.name);
        let names = names.collect::<Vec<_>>().join(",");
        serving.spawn("process", |stop| {
            upkeep::register(store, clock, names, stop)
        });
        let access = parts.access.clone();
        serving.spawn("keys", |stop| async move {
            access.run(stop).await;
            Ok(())
        });
        let config = Arc::clone(&parts.config);
        serving.spawn("lock", |stop| refuse::keep_lock(lock, config, stop));
        for role in roles {
            (role.start)(&parts, &mut stages)?;
        }

        let ended = tokio::select! {
            // First: tasks that the same signal ends have not failed.
            biased;
            () = stop.cancelled() => Ok(()),
            failed = stages.failure() => Err(failed),
        };
        if ended.is_ok() {
            tracing::info!("stopping: no new checks; calls in flight end first");
        }
        stop.cancel();
        stages.workers.end().await;
        drain(&parts).await;
        stages.consumers.end().await;
        stages.servers.end().await;
        if let Some(redis) = &parts.redis {
            redis.close().await;
        }
        parts.store.close().await;
        ended
    }
}

/// Waits until the consumer has applied what is on the in-process bus, so that the next start need not repeat those checks.
async fn drain(parts: &Parts) {
    let Some(bus) = &parts.bus else {
        return;
    };
    let drained = tokio::time::timeout(DRAIN_MAX, bus.drained());
    if drained.await.is_err() {
        tracing::warn!(
            "the consumer did not apply every published check in time: the next start repeats those checks"
        );
    }
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
