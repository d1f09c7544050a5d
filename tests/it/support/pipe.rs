//! The whole pipe in virtual time: emulator, workers, bus, consumer and store, moved by hand.
//!
//! The carriers' answers travel over a real socket, during which time stands still.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::DropGuard;
use trackbox::app;
use trackbox::app::parts::{Parts, connect};
use trackbox::cache::tokens::Tokens;
use trackbox::carriers::routes::Routes;
use trackbox::clock::Clock;
use trackbox::config::{Config, Preset};
use trackbox::consumer::{Consumed, Consumer};
use trackbox::model::Tracking;
use trackbox::model::tenant::Tenant;
use trackbox::scheduler::Scheduler;
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::faults::Fault;
use trackbox_emulator::oauth::OAuth;

use crate::support::carriers::{self, rule};
use crate::support::time::at;
use crate::support::truth;

/// How a pipe is set up.
pub struct Setup {
    /// Calls a minute, at the emulator and in the configuration alike.
    pub limits: Vec<(&'static str, u32)>,
    pub workers: usize,
    /// Further settings, as variables without their prefix.
    pub settings: Vec<(&'static str, String)>,
    pub cadence: Preset,
    /// Calls need a token that these credentials get.
    pub oauth: Option<OAuth>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: vec![("CDEK", 1_200), ("POST_RU", 600)],
            workers: 1,
            settings: Vec::new(),
            cadence: Preset::Demo,
            oauth: None,
        }
    }
}

/// A TrackBox and its carriers, whose time only the test moves.
pub struct Pipe {
    pub clock: Clock,
    pub parts: Parts,
    pub emulator: Emulator,
    pub workers: Vec<Scheduler>,
    pub consumer: Consumer,
    /// Whether the consumer applies what is on the bus.
    pub consumes: bool,
    _carriers: DropGuard,
    _folder: TempDir,
}

impl Pipe {
    pub async fn new(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::manual(at(0));
        let time = emulator_time(&clock);
        let (emulator, url, stop) =
            carriers::start_with(&setup.limits, setup.oauth.clone(), time).await;
        let config = config(&setup, &url, folder.path());
        let wanted = app::role::wanted(app::ROLES);
        let connecting = connect(&config, wanted, clock.clone(), Arc::default());
        let parts = connecting.await.expect("connects");
        let workers = (0..setup.workers)
            .map(|_| app::work::scheduler(&worker_parts(&parts)).expect("makes a worker"))
            .collect();
        let consumer = app::consume::consumer(&parts).expect("makes a consumer");
        Self {
            clock,
            parts,
            emulator,
            workers,
            consumer,
            consumes: true,
            _carriers: stop,
            _folder: folder,
        }
    }

    /// Parcels with varied journeys, known to the emulator, tracked and due.
    pub async fn create(&self, carrier: &str, count: usize) -> Vec<Tracking> {
        self.create_paced(carrier, count, 5).await
    }

    /// The same, but days pass between their steps.
    pub async fn create_slow(&self, carrier: &str, count: usize) -> Vec<Tracking> {
        self.create_paced(carrier, count, 10 * 86_400).await
    }

    async fn create_paced(&self, carrier: &str, count: usize, step_secs: u64) -> Vec<Tracking> {
        let pairs = carriers::seed(&self.emulator, carrier, count, |n| step_secs + n % 10);
        let now = self.clock.now();
        let created = self
            .parts
            .current
            .create_or_get(Tenant::DEFAULT, &pairs, now);
        created.await.expect("creates")
    }

    /// Puts `fault` into every answer of `carrier`.
    pub fn set_fault(&self, carrier: &str, fault: Fault) {
        self.emulator.set_fault(carrier, Some(rule(carrier, fault)));
    }

    pub fn clear_fault(&self, carrier: &str) {
        self.emulator.set_fault(carrier, None);
    }

    /// How often `carrier` was called.
    pub fn calls(&self, carrier: &str) -> u64 {
        let ledger = self.emulator.ledger();
        ledger.carriers.get(carrier).map_or(0, |calls| calls.calls)
    }

    /// How many calls of `carrier` went well.
    pub fn good_calls(&self, carrier: &str) -> u64 {
        let ledger = self.emulator.ledger();
        ledger.carriers.get(carrier).map_or(0, |calls| calls.ok)
    }

    /// Lets every worker do what it can now, and the consumer apply all of it.
    pub async fn step(&mut self) {
        self.step_with_frozen(None).await;
    }

    async fn step_with_frozen(&mut self, frozen: Option<usize>) {
        for (place, worker) in self.workers.iter_mut().enumerate() {
            if Some(place) != frozen {
                worker.step().await.expect("claims");
            }
        }
        self.settle().await;
        if self.consumes {
            self.consume().await;
        }
    }

    /// Waits until every call has ended, or is held by the emulator or by its next permit until time moves.
    async fn settle(&mut self) {
        loop {
            let mut in_flight = 0;
            for worker in &mut self.workers {
                in_flight += worker.reap().expect("no check dies");
            }
            if in_flight <= self.emulator.hanging() + self.clock.sleeping() {
                return;
            }
            // The time of the sockets is real, and short.
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// Applies all that is on the bus.
    pub async fn consume(&self) {
        while self.consumer.step(0).await.expect("applies") != Consumed::Idle {}
    }

    /// Moves the time of all parts.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Steps until `time` has passed.
    pub async fn run_for(&mut self, time: Duration) {
        self.run(time, None).await;
    }

    /// The same, while the worker at the place `frozen` does nothing.
    pub async fn run_with_frozen(&mut self, time: Duration, frozen: usize) {
        self.run(time, Some(frozen)).await;
    }

    async fn run(&mut self, time: Duration, frozen: Option<usize>) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.step_with_frozen(frozen).await;
            self.advance(self.wait(frozen));
        }
    }

    /// Steps until all parcels have arrived, and moves time each time to when a worker has something to do.
    pub async fn run_until_arrived(&mut self, within: Duration) {
        let end = self.clock.now() + within;
        loop {
            self.step().await;
            if self.arrived().await {
                return;
            }
            assert!(
                self.clock.now() < end,
                "not arrived: {:?}",
                self.parts.store.status_counts().await
            );
            let wait = self
                .workers
                .iter()
                .map(Scheduler::wait)
                .min()
                .expect("has a worker");
            self.advance(wait);
        }
    }

    /// How long no worker has anything to do; short while the emulator holds calls, so that their answers come in time.
    fn wait(&self, frozen: Option<usize>) -> Duration {
        let workers = self.workers.iter().enumerate();
        let wait = workers
            .filter(|(place, _)| Some(*place) != frozen)
            .map(|(_, worker)| worker.wait())
            .min()
            .unwrap_or(Duration::from_secs(1));
        if self.emulator.hanging() + self.clock.sleeping() > 0 {
            wait.min(Duration::from_millis(100))
        } else {
            wait
        }
    }

    async fn arrived(&self) -> bool {
        let counts = self.parts.store.status_counts().await.expect("counts");
        counts.keys().all(|status| status.is_terminal())
    }

    /// See [`truth::assert_truth`].
    pub async fn assert_truth(&self) {
        truth::assert_truth(&self.parts.store, &self.emulator).await;
    }

    /// See [`truth::assert_limits`].
    pub fn assert_limits(&self) {
        truth::assert_limits(&self.emulator);
    }
}

/// What a worker is made of: with Redis, it has its tokens from there as if it were a process of its own.
fn worker_parts(parts: &Parts) -> Parts {
    let tokens = match &parts.redis {
        Some(redis) => Arc::new(Tokens::new(Some(Arc::clone(redis)))),
        None => Arc::clone(&parts.tokens),
    };
    Parts {
        tokens,
        ..parts.clone()
    }
}

/// The test's time for the emulator: an answer that it delays waits until the test moves time on.
fn emulator_time(clock: &Clock) -> trackbox_emulator::time::Time {
    let (now, sleeper) = (clock.clone(), clock.clone());
    trackbox_emulator::time::Time::new(
        move || now.now(),
        move |wait| {
            let clock = sleeper.clone();
            Box::pin(async move { clock.sleep_until(clock.monotonic() + wait).await })
        },
    )
}

fn config(setup: &Setup, carriers_url: &str, folder: &Path) -> Config {
    let store = format!("sqlite://{}/trackbox.db", folder.display());
    let mut settings = vec![
        ("STORE__URL".to_owned(), store),
        ("CONSUME__FETCH_WAIT".to_owned(), "1ms".to_owned()),
    ];
    settings.extend(carriers::settings(carriers_url, &setup.limits, "emulator"));
    let further = setup.settings.iter().cloned();
    settings.extend(further.map(|(key, value)| (key.to_owned(), value)));
    let variables = settings
        .into_iter()
        .map(|(key, value)| (format!("TRACKBOX_{key}"), value));
    Config::load(None, variables, Some(setup.cadence), Routes::check).expect("is valid")
}
