//! One parcel: how far it has come, what the carrier reports about it, and what is true.

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::chance::{hash, unit};
use crate::faults::{Fault, Invented};
use crate::options::Progress;
use crate::scenario::{Parcel, Step};
use crate::truth::{TrueEvent, Truth};

/// A parcel and how far it has come.
pub struct Moving {
    parcel: Parcel,
    /// When each step happens. Progress `clock`: of all steps; progress `ask`: of those that have happened.
    times: Vec<DateTime<Utc>>,
    /// The events that faults have invented for it.
    invented: Vec<Invented>,
}

/// What a carrier reports about a parcel.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub status: String,
    pub status_raw: String,
    pub status_at: Option<DateTime<Utc>>,
    /// In the carrier's order: some journeys list them out of order or repeat them.
    pub events: Vec<ReportedEvent>,
}

#[derive(Clone, Debug)]
pub struct ReportedEvent {
    pub event: TrueEvent,
    pub step: Step,
    /// Its position in the journey, from 1.
    pub number: usize,
}

impl ReportedEvent {
    /// The carrier's own record of the event.
    pub fn payload(&self) -> Value {
        json!({"step": self.number, "code": self.event.status_raw})
    }
}

impl Moving {
    /// A parcel at its beginning. With progress `clock`, this fixes the time of every step.
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

    /// Whether a call that names this postal code is told of it.
    pub fn tells(&self, postal_code: Option<&str>) -> bool {
        let own = self.parcel.postal_code.as_deref();
        own.is_none_or(|own| postal_code == Some(own))
    }

    /// Adds the events that `faults` invent for this parcel, once for each kind of fault.
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

    /// Progress `ask`: takes the first step at the first call, and later steps when `step_seconds` have passed or by
    /// chance.
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

    /// The steps that have happened and that the carrier reports by now, with their times, in the journey's order.
    ///
    /// A late step is reported with the last step at the latest, because a tracker asks no more after that.
    fn reported(&self, now: DateTime<Utc>) -> Vec<(usize, &Step, DateTime<Utc>)> {
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
        let reported = self.reported(now);
        let newest = reported.iter().max_by_key(|(place, _, at)| (*at, *place));
        let mut events: Vec<TrueEvent> = reported
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
            done: reported.len() == self.parcel.steps.len(),
            events,
            fault_events: self
                .invented
                .iter()
                .map(|invented| invented.event.clone())
                .collect(),
        }
    }

    /// What was reported after each step that has happened.
    pub fn reports(&self, now: DateTime<Utc>) -> Vec<Report> {
        let mut times: Vec<DateTime<Utc>> = self.times.clone();
        times.retain(|at| *at <= now);
        times.sort_unstable();
        times.dedup();
        // What was late is reported now.
        times.extend(times.last().map(|_| now));
        times.into_iter().map(|at| self.report(at, &[])).collect()
    }

    pub fn report(&self, now: DateTime<Utc>, faults: &[Fault]) -> Report {
        let reported = self.reported(now);
        let newest = reported
            .iter()
            .max_by_key(|(place, _, at)| (*at, *place))
            .copied();
        let mut events = Vec::new();
        for (place, step, at) in &reported {
            let event = ReportedEvent {
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
                events.push(ReportedEvent {
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
        Report {
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

/// The times of all steps: the first at `now`, each later one 0.5 to 1.5 times `step_seconds` after the one before.
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

/// Puts the events in an arbitrary order that is always the same for the same parcel.
fn shuffle(events: &mut Vec<ReportedEvent>, number: &str) {
    let mut keyed: Vec<(u64, ReportedEvent)> = std::mem::take(events)
        .into_iter()
        .enumerate()
        .map(|(place, event)| (hash(&(number, event.number, place)), event))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    *events = keyed.into_iter().map(|(_, event)| event).collect();
}
