//! The parcels, and what has happened to them by now.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use crate::faults::{Fault, Rule, Rules};
use crate::journeys;
use crate::ledger::{Counter, End, Ledger};
use crate::moving::{Moving, Told};
use crate::options::{Options, Progress};
use crate::scenario::Parcel;
use crate::time::Time;

/// The most parcels kept.
const PARCELS_MAX: usize = 2_000_000;

/// Carrier and track number.
type Key = (String, String);

/// An emulator. A clone is the same one.
#[derive(Clone)]
pub struct Emulator(Arc<Inner>);

struct Inner {
    options: Options,
    time: Time,
    /// What calls are counted by, for the limits and the ledger.
    counted: Time,
    state: Mutex<State>,
    /// Requests that wait in an artificial delay.
    sleeping: AtomicUsize,
}

struct State {
    parcels: BTreeMap<Key, Moving>,
    counter: Counter,
    rules: Rules,
    chance: StdRng,
}

/// Why parcels could not be seeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedError {
    /// Its place in the list.
    pub place: usize,
    pub reason: String,
}

impl std::fmt::Display for SeedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "items[{}]: {}", self.place, self.reason)
    }
}

impl std::error::Error for SeedError {}

/// An event that happened, or that a fault invented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueEvent {
    pub status: String,
    pub status_raw: String,
    pub event_time: DateTime<Utc>,
    pub location: String,
    pub message: String,
}

/// What is true of a parcel now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Truth {
    pub carrier: String,
    pub track_number: String,
    pub status: String,
    pub status_raw: String,
    /// Whether nothing more is to happen.
    pub done: bool,
    /// All that has happened and been told, oldest first.
    pub events: Vec<TrueEvent>,
    /// What switched-on faults told besides.
    pub fault_events: Vec<TrueEvent>,
}

/// Some truths of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TruthPage {
    pub total: usize,
    pub items: Vec<Truth>,
}

/// A call that was let in: the faults that befall it.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    pub faults: Vec<Fault>,
}

impl Emulator {
    pub fn new(options: Options, time: Time) -> Self {
        let counted = time.clone();
        Self::counting_by(options, time, counted)
    }

    /// One whose calls are counted by another time than its parcels travel by: that one may run faster.
    pub fn counting_by(options: Options, time: Time, counted: Time) -> Self {
        let chance = StdRng::seed_from_u64(options.seed);
        let state = State {
            parcels: BTreeMap::new(),
            counter: Counter::default(),
            rules: Rules::default(),
            chance,
        };
        Self(Arc::new(Inner {
            options,
            time,
            counted,
            state: Mutex::new(state),
            sleeping: AtomicUsize::new(0),
        }))
    }

    /// Makes parcels known; one that was known starts anew. All or none.
    ///
    /// # Errors
    /// [`SeedError`] names the first parcel that cannot be.
    pub fn seed(&self, parcels: Vec<Parcel>) -> Result<usize, SeedError> {
        for (place, parcel) in parcels.iter().enumerate() {
            parcel
                .check()
                .map_err(|reason| SeedError { place, reason })?;
        }
        let count = parcels.len();
        let mut state = self.lock();
        if state.parcels.len() + count > PARCELS_MAX {
            let reason = format!("at most {PARCELS_MAX} parcels are kept");
            return Err(SeedError { place: 0, reason });
        }
        for parcel in parcels {
            self.put(&mut state, parcel);
        }
        Ok(count)
    }

    fn put(&self, state: &mut State, parcel: Parcel) {
        let key = (parcel.carrier.clone(), parcel.track_number.clone());
        let Options { progress, seed, .. } = self.0.options;
        let moving = Moving::new(parcel, progress, seed, self.0.time.now());
        state.parcels.insert(key, moving);
    }

    /// Forgets parcels, calls and faults.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.parcels.clear();
        state.counter = Counter::default();
        state.rules = Rules::default();
        state.chance = StdRng::seed_from_u64(self.0.options.seed);
    }

    pub fn ledger(&self) -> Ledger {
        self.lock().counter.ledger()
    }

    /// Counts a call on arrival; `None` where the limit refuses it.
    pub fn arrive(&self, carrier: &str, number: &str) -> Option<Admitted> {
        let limit = self.0.options.limit_per_minute(carrier);
        let now = self.0.time.now();
        let mut state = self.lock();
        if !state.counter.arrive(carrier, limit, self.0.counted.now()) {
            state.counter.end(carrier, End::Limited);
            return None;
        }
        let faults = state.rules.befall(carrier, number, now);
        Some(Admitted { faults })
    }

    pub fn end(&self, carrier: &str, end: End) {
        self.lock().counter.end(carrier, end);
    }

    /// Whether a call fails that fails with this chance.
    pub fn fails(&self, rate: f64) -> bool {
        rate > 0.0 && self.lock().chance.random_bool(rate.clamp(0.0, 1.0))
    }

    /// A number from 0 to 1 by chance.
    pub fn share(&self) -> f64 {
        self.lock().chance.random()
    }

    /// Whether a parcel of this number was seeded.
    pub fn knows(&self, carrier: &str, number: &str) -> bool {
        self.lock()
            .parcels
            .contains_key(&(carrier.to_owned(), number.to_owned()))
    }

    /// A call for a parcel: it may move, and what is told of it is answered. An unseeded number is seeded now.
    pub fn ask(&self, carrier: &str, number: &str, faults: &[Fault]) -> Told {
        let now = self.0.time.now();
        let mut state = self.lock();
        let key = (carrier.to_owned(), number.to_owned());
        if !state.parcels.contains_key(&key) && state.parcels.len() < PARCELS_MAX {
            self.put(&mut state, journeys::unseeded(carrier, number));
        }
        let State {
            parcels, chance, ..
        } = &mut *state;
        let Some(moving) = parcels.get_mut(&key) else {
            return Told::default();
        };
        if self.0.options.progress == Progress::Ask {
            moving.take_step(now, chance);
        }
        moving.invent(faults);
        moving.told(now, faults)
    }

    pub fn truth(&self, carrier: &str, number: &str) -> Option<Truth> {
        let now = self.0.time.now();
        let state = self.lock();
        state
            .parcels
            .get(&(carrier.to_owned(), number.to_owned()))
            .map(|moving| moving.truth(now))
    }

    /// The truths of all parcels by carrier and number, from `offset` on.
    pub fn truths(&self, offset: usize, limit: usize) -> TruthPage {
        let now = self.0.time.now();
        let state = self.lock();
        TruthPage {
            total: state.parcels.len(),
            items: state
                .parcels
                .values()
                .skip(offset)
                .take(limit)
                .map(|moving| moving.truth(now))
                .collect(),
        }
    }

    /// Switches a fault on; `None` switches all of the rule's carrier off.
    pub fn set_fault(&self, carrier: &str, rule: Option<Rule>) {
        let now = self.0.time.now();
        self.lock().rules.set(carrier, rule, now);
    }

    pub fn faults(&self) -> Vec<Rule> {
        self.lock().rules.list()
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.0.time.now()
    }

    /// Waits in the emulator's time; [`Emulator::sleeping`] counts who does.
    pub async fn sleep(&self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let _awake = Asleep::new(&self.0.sleeping);
        self.0.time.sleep(wait).await;
    }

    /// Never ends, unless the client goes away or the server stops; counted as sleeping.
    pub async fn hang(&self) {
        let _awake = Asleep::new(&self.0.sleeping);
        std::future::pending::<()>().await;
    }

    /// How many requests wait in an artificial delay; a test that moves time waits for it.
    pub fn sleeping(&self) -> usize {
        self.0.sleeping.load(Ordering::SeqCst)
    }

    pub fn router(&self) -> axum::Router {
        crate::http::router(self.clone())
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

/// Counts a sleeper for as long as it lives, also where its request is dropped.
struct Asleep<'a>(&'a AtomicUsize);

impl<'a> Asleep<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
