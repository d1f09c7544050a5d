//! What this worker does for each account, added every few seconds to what all workers do: the calls by the minute, the
//! failures by the hour.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::carriers::CarrierError;
use crate::clock::{Clock, Time, hour_of, hours, minute_of};
use crate::kafka::message::Checked;
use crate::model::{Outcome, Tracking, clean_text};
use crate::store::Store;
use crate::store::counts::{CallCounts, CallErrors};
use crate::store::error::StoreError;

/// The most characters of an error that are kept.
const WORDS_CHARS_MAX: usize = 200;

/// How many minutes a worker keeps counts that it cannot write.
const KEPT_MINUTES: i64 = 10;

/// The kind of error that a single number of a call had.
const OF_NUMBER: &str = "number";

/// What the store does not have yet. The order of the keys is the order of the locks.
#[derive(Default)]
struct Counted {
    minutes: BTreeMap<(i64, String), CallCounts>,
    errors: BTreeMap<(i64, String), BTreeMap<&'static str, CallErrors>>,
}

/// Counts for one worker.
pub struct Counter {
    store: Store,
    clock: Clock,
    counted: Mutex<Counted>,
}

impl Counter {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            counted: Mutex::default(),
        }
    }

    /// Notes a call that is being made. `numbers` are those that it asks about and no call of the same check did.
    pub fn called(&self, account: &str, numbers: usize) {
        self.add(
            account,
            CallCounts {
                calls: 1,
                numbers: count(numbers),
                ..CallCounts::default()
            },
        );
    }

    /// Notes a claim of `rows` at `now`.
    pub fn claimed(&self, account: &str, rows: &[Tracking], now: Time) {
        let mut counts = CallCounts::default();
        for row in rows.iter().filter(|row| !row.urgent) {
            if row.last_ok_at.is_none() {
                counts.first += 1;
            } else {
                counts.claimed += 1;
                counts.late += hours(now) - hours(row.next_check_at);
            }
        }
        self.add(account, counts);
    }

    /// Notes that calls had room for so many more numbers, and no parcel could use it.
    pub fn idle(&self, account: &str, numbers: usize) {
        self.add(
            account,
            CallCounts {
                idle: count(numbers),
                ..CallCounts::default()
            },
        );
    }

    /// Notes a call that failed.
    pub fn failed(&self, account: &str, error: &CarrierError) {
        self.add_error(account, error.into(), &error.to_string());
    }

    /// Notes the single numbers that failed although their call was answered.
    pub fn numbers_failed(&self, account: &str, checks: &[Checked]) {
        for checked in checks {
            if let Outcome::Failed { error } = &checked.update.outcome {
                self.add_error(account, OF_NUMBER, error);
            }
        }
    }

    fn add(&self, account: &str, counts: CallCounts) {
        let minute = minute_of(self.clock.now());
        let mut counted = self.counted.lock();
        let entry = counted.minutes.entry((minute, account.to_owned()));
        *entry.or_default() += counts;
    }

    fn add_error(&self, account: &str, kind: &'static str, words: &str) {
        let now = self.clock.now();
        let words = clean_text(words).chars().take(WORDS_CHARS_MAX).collect();
        let mut counted = self.counted.lock();
        let hour = counted.errors.entry((hour_of(now), account.to_owned()));
        let errors = hour.or_default().entry(kind).or_insert_with(|| CallErrors {
            kind: kind.to_owned(),
            count: 0,
            words: String::new(),
            last_at: now,
        });
        errors.count = errors.count.saturating_add(1);
        (errors.words, errors.last_at) = (words, now);
    }

    /// Adds what was counted to the store. Counts of minutes that cannot be written are kept for a while, since prices
    /// follow from them.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn write(&self) -> Result<(), StoreError> {
        let Counted { minutes, errors } = std::mem::take(&mut *self.counted.lock());
        let minutes: Vec<_> = minutes.into_iter().collect();
        let errors: Vec<_> = errors
            .into_iter()
            .flat_map(|(hour, errors)| errors.into_values().map(move |it| (hour.clone(), it)))
            .collect();
        let written = self.store.add_calls(&minutes).await;
        if written.is_err() {
            let oldest = minute_of(self.clock.now()) - KEPT_MINUTES;
            let mut counted = self.counted.lock();
            for (key, counts) in minutes.into_iter().filter(|(key, _)| key.0 >= oldest) {
                *counted.minutes.entry(key).or_default() += counts;
            }
        }
        written?;
        self.store.add_errors(&errors).await
    }
}

fn count(numbers: usize) -> i64 {
    i64::try_from(numbers).unwrap_or(i64::MAX)
}
