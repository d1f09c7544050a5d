//! One parcel: how far it has come, what the carrier tells of it, and what is true.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::emulator::{TrueEvent, Truth};
use crate::faults::{Fault, Invented};
use crate::options::Progress;
use crate::scenario::{Parcel, Step};

/// A parcel and how far it has come.
pub struct Moving {
    parcel: Parcel,
    /// When each step happens (by the clock: all of them; asked: those that have happened).
    times: Vec<DateTime<Utc>>,
    /// What faults have told of it that never happened.
    invented: Vec<Invented>,
}

/// What a carrier tells of a parcel.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub status: String,
    pub status_raw: String,
    pub status_at: Option<DateTime<Utc>>,
    /// As the carrier lists them: perhaps out of order, perhaps repeated.
    pub events: Vec<ToldEvent>,
}

#[derive(Clone, Debug)]
pub struct ToldEvent {
    pub event: TrueEvent,
    pub step: Step,
    /// Its place in the journey, from 1.
    pub number: usize,
}

impl ToldEvent {
    /// The carrier's own record of it.
    pub fn payload(&self) -> Value {
        json!({"step": self.number, "code": self.event.status_raw})
    }
}

impl Moving {
    /// A parcel that nothing has happened to yet; by the clock, one whose times are all fixed.
    pub fn new(parcel: Parcel, progress: Progress, seed: u64, now: DateTime<Utc>) -> Self {
        let times = match progress {
            Progress::Ask => Vec::new(),
            Progress::Clock => clock_times(&parcel, seed, now),
        };
        Self {
            parcel,
            times,
            invented: Vec::new(),
        }
    }

    /// Remembers what these faults tell of it that never happened; a kind of fault tells the same every time.
    pub fn invent(&mut self, faults: &[Fault]) {
        for fault in faults {
            if self
                .invented
                .iter()
                .all(|known| known.fault != fault.name())
            {
                let invented = fault.invents(&self.parcel.carrier, &self.parcel.track_number);
                self.invented.extend(invented);
            }
        }
    }

    /// Progress `ask`: the first step at the first call, a further one when its time has passed, or by chance.
    pub fn take_step(&mut self, now: DateTime<Utc>, chance: &mut StdRng) {
        let seconds = i64::try_from(self.parcel.step_seconds).unwrap_or(i64::MAX);
        let due = match self.times.last() {
            None => true,
            Some(last) => {
                now - *last >= TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX)
                    || chance.random_bool(self.parcel.progress_prob)
            }
        };
        if due && self.times.len() < self.parcel.steps.len() {
            self.times.push(now);
        }
    }

    /// The steps that have happened and been told, with their times, in the order of the journey.
    ///
    /// What is told late is told at the latest with the last step: after that nobody would ask any more.
    fn happened(&self, now: DateTime<Utc>) -> Vec<(usize, &Step, DateTime<Utc>)> {
        let all = self.times.len() == self.parcel.steps.len();
        let end = self
            .times
            .last()
            .copied()
            .filter(|_| all)
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.parcel
            .steps
            .iter()
            .zip(&self.times)
            .enumerate()
            .filter(|(_, (step, at))| **at <= now && (end <= now || now - **at >= late(step)))
            .map(|(place, (step, at))| (place, step, *at))
            .collect()
    }

    pub fn truth(&self, now: DateTime<Utc>) -> Truth {
        let happened = self.happened(now);
        let newest = happened.iter().max_by_key(|(place, _, at)| (*at, *place));
        let mut events: Vec<TrueEvent> = happened
            .iter()
            .map(|(_, step, at)| true_event(step, *at))
            .collect();
        events.sort_by_key(|event| event.event_time);
        Truth {
            carrier: self.parcel.carrier.clone(),
            track_number: self.parcel.track_number.clone(),
            status: newest.map_or_else(|| "UNKNOWN".to_owned(), |(_, step, _)| step.status.clone()),
            status_raw: newest.map_or_else(
                || "UNKNOWN".to_owned(),
                |(_, step, _)| step.status_raw.clone(),
            ),
            done: happened.len() == self.parcel.steps.len(),
            events,
            fault_events: self
                .invented
                .iter()
                .map(|invented| invented.event.clone())
                .collect(),
        }
    }

    pub fn told(&self, now: DateTime<Utc>, faults: &[Fault]) -> Told {
        let happened = self.happened(now);
        let newest = happened
            .iter()
            .max_by_key(|(place, _, at)| (*at, *place))
            .copied();
        let mut events = Vec::new();
        for (place, step, at) in &happened {
            let event = ToldEvent {
                event: true_event(step, *at),
                step: (*step).clone(),
                number: place + 1,
            };
            for _ in 0..step.repeat.clamp(1, 100) {
                events.push(event.clone());
            }
        }
        for (place, invented) in self.invented.iter().enumerate() {
            if faults.iter().any(|fault| fault.name() == invented.fault) {
                events.push(ToldEvent {
                    event: invented.event.clone(),
                    step: Step::default(),
                    number: self.parcel.steps.len() + place + 1,
                });
            }
        }
        if self
            .parcel
            .steps
            .iter()
            .any(|step| step.late_seconds > 0 || step.repeat > 1)
        {
            shuffle(&mut events, &self.parcel.track_number);
        }
        Told {
            status: newest.map_or_else(|| "UNKNOWN".to_owned(), |(_, step, _)| step.status.clone()),
            status_raw: newest.map_or_else(
                || "UNKNOWN".to_owned(),
                |(_, step, _)| step.status_raw.clone(),
            ),
            status_at: newest.map(|(_, _, at)| at),
            events,
        }
    }
}

fn late(step: &Step) -> TimeDelta {
    let seconds = i64::try_from(step.late_seconds).unwrap_or(i64::MAX);
    TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX)
}

fn true_event(step: &Step, at: DateTime<Utc>) -> TrueEvent {
    TrueEvent {
        status: step.status.clone(),
        status_raw: step.status_raw.clone(),
        event_time: at,
        location: step.location.clone().unwrap_or_default(),
        message: step.message.clone().unwrap_or_default(),
    }
}

/// The first step at `now`, each further one after half to one and a half times the mean.
fn clock_times(parcel: &Parcel, seed: u64, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut at = now;
    let mut times = Vec::with_capacity(parcel.steps.len());
    for (place, step) in parcel.steps.iter().enumerate() {
        let share = unit(&(seed, &parcel.carrier, &parcel.track_number, place));
        let millis = (parcel.step_seconds as f64 * 1_000.0 * (0.5 + share)).max(1.0);
        at = match step.event_time {
            Some(time) => time,
            None if place == 0 => now,
            None => at
                .checked_add_signed(TimeDelta::milliseconds(millis as i64))
                .unwrap_or(at),
        };
        times.push(at);
    }
    times
}

/// A number from 0 to 1 for anything: the same for the same.
pub fn unit(what: &impl std::hash::Hash) -> f64 {
    let mut hash = DefaultHasher::new();
    what.hash(&mut hash);
    (hash.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Puts the events in an order that says nothing, the same one for the same parcel.
fn shuffle(events: &mut [ToldEvent], number: &str) {
    let key = |event: &ToldEvent, place: usize| {
        let mut hash = DefaultHasher::new();
        (number, event.number, place).hash(&mut hash);
        hash.finish()
    };
    let keys: Vec<u64> = events
        .iter()
        .enumerate()
        .map(|(place, event)| key(event, place))
        .collect();
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|place| keys[*place]);
    let shuffled: Vec<ToldEvent> = order.iter().map(|place| events[*place].clone()).collect();
    events.clone_from_slice(&shuffled);
}
