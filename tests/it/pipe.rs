//! The whole pipe in virtual time: emulator, workers, bus, consumer and store, moved by hand.
//!
//! The carrier's answers travel over a real socket; time stands still meanwhile. The emulator's truth and ledger judge.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use trackbox::app;
use trackbox::app::parts::{Parts, connect};
use trackbox::clock::Clock;
use trackbox::config::{Config, Preset};
use trackbox::consumer::{Consumed, Consumer};
use trackbox::model::Tracking;
use trackbox::scheduler::Scheduler;
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::journeys::journey;
use trackbox_emulator::options::{Options, Progress};
use trackbox_emulator::scenario::Parcel;

use crate::fixture::{at, code, number};
use crate::truth;

/// How a pipe is set up.
pub struct Setup {
    /// Calls a minute, at the emulator and in the configuration alike.
    pub limits: Vec<(&'static str, u32)>,
    pub workers: usize,
    /// Further settings, as variables without their prefix.
    pub settings: Vec<(&'static str, String)>,
    pub cadence: Preset,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: vec![("CDEK", 1_200), ("POST_RU", 600)],
            workers: 1,
            settings: Vec::new(),
            cadence: Preset::Demo,
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
    moved: Arc<Notify>,
    _stop: tokio_util::sync::DropGuard,
    _folder: TempDir,
}

impl Pipe {
    pub async fn new(setup: Setup) -> Self {
        crate::fixture::install_tls();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::manual(at(0));
        let moved = Arc::new(Notify::new());
        let options = Options {
            progress: Progress::Clock,
            limits: setup
                .limits
                .iter()
                .map(|(code, limit)| ((*code).to_owned(), *limit))
                .collect(),
            ..Options::default()
        };
        let emulator = Emulator::new(options, emulator_time(&clock, &moved));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let stop = CancellationToken::new();
        tokio::spawn(trackbox_emulator::serve::serve(
            emulator.clone(),
            listener,
            stop.clone(),
        ));
        let config = config(&setup, &format!("http://{address}"), folder.path());
        let parts = connect(config, app::role::wanted(app::ROLES), clock.clone())
            .await
            .expect("connects");
        let workers = (0..setup.workers)
            .map(|_| app::work::scheduler(&parts).expect("makes a worker"))
            .collect();
        let consumer = app::consume::consumer(&parts).expect("makes a consumer");
        Self {
            clock,
            parts,
            emulator,
            workers,
            consumer,
            moved,
            _stop: stop.drop_guard(),
            _folder: folder,
        }
    }

    /// Parcels with varied journeys, known to the emulator, tracked and due.
    pub async fn create(&self, carrier: &str, count: usize) -> Vec<Tracking> {
        self.create_paced(carrier, count, 5).await
    }

    /// The same, whose steps are days apart.
    pub async fn create_slow(&self, carrier: &str, count: usize) -> Vec<Tracking> {
        self.create_paced(carrier, count, 10 * 86_400).await
    }

    async fn create_paced(&self, carrier: &str, count: usize, step_secs: u64) -> Vec<Tracking> {
        let numbers: Vec<String> = (0..count).map(|n| format!("{carrier}{n}")).collect();
        let parcels = numbers
            .iter()
            .enumerate()
            .map(|(place, number)| Parcel {
                carrier: carrier.to_owned(),
                track_number: number.clone(),
                step_seconds: step_secs + place as u64 % 10,
                progress_prob: 0.0,
                steps: journey(carrier, number, 1),
            })
            .collect();
        self.emulator.seed(parcels).expect("seeds");
        let pairs: Vec<_> = numbers
            .iter()
            .map(|text| (code(carrier), number(text)))
            .collect();
        self.parts
            .store
            .create_or_get(&pairs, self.clock.now())
            .await
            .expect("creates")
    }

    /// Lets every worker do what it can now, and the consumer apply all of it.
    pub async fn step(&mut self) {
        self.step_without(usize::MAX).await;
    }

    /// The same, with one worker frozen.
    pub async fn step_without(&mut self, frozen: usize) {
        for (place, worker) in self.workers.iter_mut().enumerate() {
            if place != frozen {
                worker.step().await.expect("claims");
            }
        }
        self.settle().await;
        self.consume().await;
    }

    /// Waits until every call has ended or is held by the emulator until time moves.
    async fn settle(&mut self) {
        loop {
            let mut in_flight = 0;
            for worker in &mut self.workers {
                in_flight += worker.reap().expect("no check dies");
            }
            if in_flight <= self.emulator.sleeping() {
                return;
            }
            // The sockets' time is real, and short.
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// Applies every record on the bus.
    pub async fn consume(&self) {
        while self.consumer.step(0).await.expect("applies") != Consumed::Idle {}
    }

    /// Moves the time of all parts.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.moved.notify_waiters();
    }

    /// Steps for so long, without a worker that is frozen.
    pub async fn run_for(&mut self, time: Duration, frozen: usize) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.step_without(frozen).await;
            self.advance(self.wait(frozen));
        }
    }

    /// Steps from one thing to do to the next, until all parcels have arrived.
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

    /// How long until the next thing to do. Short while calls are held, so that their answers come in time.
    fn wait(&self, frozen: usize) -> Duration {
        let workers = self
            .workers
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != frozen);
        let wait = workers
            .map(|(_, worker)| worker.wait())
            .min()
            .unwrap_or(Duration::from_secs(1));
        if self.emulator.sleeping() > 0 {
            wait.min(Duration::from_millis(100))
        } else {
            wait
        }
    }

    async fn arrived(&self) -> bool {
        let counts = self.parts.store.status_counts().await.expect("counts");
        counts.keys().all(|status| status.is_terminal())
    }

    /// Every parcel's status, statusRaw and events equal the emulator's truth.
    pub async fn assert_truth(&self) {
        truth::assert_truth(&self.parts.store, &self.emulator).await;
    }

    /// No carrier was called more often than it allows.
    pub fn assert_budget(&self) {
        truth::assert_budget(&self.emulator);
    }
}

/// The emulator's time is the test's, and what it delays waits for the test to move on.
fn emulator_time(clock: &Clock, moved: &Arc<Notify>) -> trackbox_emulator::time::Time {
    let (now, sleeper, moved) = (clock.clone(), clock.clone(), Arc::clone(moved));
    trackbox_emulator::time::Time::new(
        move || now.now(),
        move |wait| {
            let (clock, moved) = (sleeper.clone(), Arc::clone(&moved));
            Box::pin(async move {
                let until = clock.monotonic() + wait;
                loop {
                    let notified = moved.notified();
                    if clock.monotonic() >= until {
                        return;
                    }
                    notified.await;
                }
            })
        },
    )
}

fn config(setup: &Setup, carriers: &str, folder: &std::path::Path) -> Config {
    let mut variables = vec![
        (
            "STORE__URL".to_owned(),
            format!("sqlite://{}/trackbox.db", folder.display()),
        ),
        ("CONSUME__FETCH_WAIT".to_owned(), "1ms".to_owned()),
        (
            "CARRIERS__DEFAULT__BASE_URL".to_owned(),
            carriers.to_owned(),
        ),
    ];
    for (code, limit) in &setup.limits {
        for (key, value) in [
            ("ADAPTER", "emulator".to_owned()),
            ("BASE_URL", carriers.to_owned()),
            ("PER_MINUTE", limit.to_string()),
        ] {
            variables.push((format!("CARRIERS__{code}__{key}"), value));
        }
    }
    variables.extend(
        setup
            .settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone())),
    );
    let variables = variables
        .into_iter()
        .map(|(key, value)| (format!("TRACKBOX_{key}"), value));
    Config::load(None, variables, Some(setup.cadence)).expect("is valid")
}
