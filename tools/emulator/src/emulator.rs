//! The emulator: its parcels, the calls that it counts, and the faults that are switched on.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::faults::{Fault, Rule, Rules};
use crate::journeys;
use crate::ledger::{Counter, End, Ledger};
use crate::moving::{Moving, Report};
use crate::oauth::{Issued, OAuth};
use crate::options::{Behaviour, Options, Progress};
use crate::scenario::Parcel;
use crate::tickets::Tickets;
use crate::time::Time;
use crate::truth::{Truth, TruthPage};

/// Upper limit of the parcels kept.
const PARCELS_MAX: usize = 2_000_000;

/// Carrier and track number. As at most carriers, blanks and small letters in a number make no other parcel.
type Key = (String, String);

fn key(carrier: &str, number: &str) -> Key {
    let number = number.chars().filter(|c| !c.is_whitespace());
    (
        carrier.to_owned(),
        number.map(|c| c.to_ascii_uppercase()).collect(),
    )
}

/// An emulator. Clones share one state.
#[derive(Clone)]
pub struct Emulator(Arc<Inner>);

struct Inner {
    options: Options,
    time: Time,
    /// The clock that calls are counted by, for the limits and the ledger.
    counted: Time,
    state: Mutex<State>,
    issued: Mutex<Issued>,
    tickets: Mutex<Tickets>,
    /// How many requests are never answered.
    hanging: AtomicUsize,
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
    /// The index of the first refused parcel.
    pub place: usize,
    pub reason: String,
}

impl std::fmt::Display for SeedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "items[{}]: {}", self.place, self.reason)
    }
}

impl std::error::Error for SeedError {}

/// A call within the limit, with the faults that apply to it.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    pub faults: Vec<Fault>,
}

impl Emulator {
    pub fn new(options: Options, time: Time) -> Self {
        let counted = time.clone();
        Self::counting_by(options, time, counted)
    }

    /// An emulator with two clocks: parcels move by `time`, which may run fast, and calls are counted by `counted`.
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
            issued: Mutex::default(),
            tickets: Mutex::default(),
            hanging: AtomicUsize::new(0),
        }))
    }

    /// Adds all of `parcels`, or none if one is invalid. A parcel that is known already starts again.
    ///
    /// # Errors
    /// [`SeedError`] names the first invalid parcel.
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
        let key = key(&parcel.carrier, &parcel.track_number);
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
        drop(state);
        *self.tickets() = Tickets::default();
    }

    pub fn ledger(&self) -> Ledger {
        self.lock().counter.ledger()
    }

    /// Counts a call when it arrives. `None`: the call is beyond the limit.
    pub fn arrive(&self, carrier: &str, numbers: &[&str]) -> Option<Admitted> {
        let limit = self.0.options.limit_per_minute(carrier);
        let now = self.0.time.now();
        let mut state = self.lock();
        if !state.counter.arrive(carrier, limit, self.0.counted.now()) {
            state.counter.end(carrier, End::Limited);
            return None;
        }
        let faults = state.rules.apply(carrier, numbers, now);
        Some(Admitted { faults })
    }

    /// Counts how a call ended.
    pub fn end(&self, carrier: &str, end: End) {
        self.lock().counter.end(carrier, end);
    }

    /// Decides by chance whether a call with this failure rate fails.
    pub fn fails(&self, rate: f64) -> bool {
        rate > 0.0 && self.lock().chance.random_bool(rate.clamp(0.0, 1.0))
    }

    /// A random number from 0 to 1.
    pub fn share(&self) -> f64 {
        self.lock().chance.random()
    }

    /// Whether the parcel was seeded or asked for.
    pub fn knows(&self, carrier: &str, number: &str) -> bool {
        self.lock().parcels.contains_key(&key(carrier, number))
    }

    /// Answers a call about a parcel, after moving it if its progress depends on calls. A number that was not seeded
    /// gets its carrier's default journey.
    pub fn ask(&self, carrier: &str, number: &str, faults: &[Fault]) -> Report {
        let now = self.0.time.now();
        let mut state = self.lock();
        let key = key(carrier, number);
        if !state.parcels.contains_key(&key) && state.parcels.len() < PARCELS_MAX {
            self.put(&mut state, journeys::unseeded(carrier, number));
        }
        let State {
            parcels, chance, ..
        } = &mut *state;
        let Some(moving) = parcels.get_mut(&key) else {
            return Report::default();
        };
        if self.0.options.progress == Progress::Ask {
            moving.take_step(now, chance);
        }
        moving.invent(faults);
        moving.report(now, faults)
    }

    /// Whether a call that names this postal code is told of the parcel.
    pub fn tells(&self, carrier: &str, number: &str, postal_code: Option<&str>) -> bool {
        let state = self.lock();
        let moving = state.parcels.get(&key(carrier, number));
        moving.is_none_or(|moving| moving.tells(postal_code))
    }

    /// The reports of each of a carrier's parcels after each step so far, oldest first, by number.
    pub fn reports(&self, carrier: &str) -> Vec<(String, Vec<Report>)> {
        let now = self.0.time.now();
        let state = self.lock();
        let of_carrier = state.parcels.iter().filter(|((of, _), _)| of == carrier);
        let reports = of_carrier.map(|((_, number), moving)| (number.clone(), moving.reports(now)));
        reports.collect()
    }

    pub fn truth(&self, carrier: &str, number: &str) -> Option<Truth> {
        let now = self.0.time.now();
        let state = self.lock();
        state
            .parcels
            .get(&key(carrier, number))
            .map(|moving| moving.truth(now))
    }

    /// At most `limit` parcels by carrier and number, starting at `offset`.
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

    /// Switches a fault on. `None` switches off all faults of the carrier.
    pub fn set_fault(&self, carrier: &str, rule: Option<Rule>) {
        let now = self.0.time.now();
        self.lock().rules.set(carrier, rule, now);
    }

    pub fn faults(&self) -> Vec<Rule> {
        self.lock().rules.list()
    }

    /// The credentials that get a token; `None` if calls need none.
    pub fn oauth(&self) -> Option<&OAuth> {
        self.0.options.oauth.as_ref()
    }

    /// The tokens. The lock must not be held across an await.
    pub fn issued(&self) -> MutexGuard<'_, Issued> {
        self.0.issued.lock()
    }

    /// Whether it has this way of some carriers.
    pub fn behaves(&self, behaviour: Behaviour) -> bool {
        self.0.options.behaviours.contains(&behaviour)
    }

    /// How long a ticket's answer takes.
    pub fn ticket_wait(&self) -> Duration {
        self.0.options.ticket_wait
    }

    /// The tickets. The lock must not be held across an await.
    pub fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.0.tickets.lock()
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.0.time.now()
    }

    /// Waits for `wait` of the emulator's time.
    pub async fn sleep(&self, wait: Duration) {
        if !wait.is_zero() {
            self.0.time.sleep(wait).await;
        }
    }

    /// Waits until the client disconnects or the server stops; counted by [`Emulator::hanging`].
    pub async fn hang(&self) {
        let _hangs = Hanging::new(&self.0.hanging);
        std::future::pending::<()>().await;
    }

    /// How many requests wait for an answer that never comes.
    pub fn hanging(&self) -> usize {
        self.0.hanging.load(Ordering::SeqCst)
    }

    /// The lock must not be held across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

/// Counts a request without an answer until it is dropped, when the client disconnects.
struct Hanging<'a>(&'a AtomicUsize);

impl<'a> Hanging<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
