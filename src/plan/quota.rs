//! A carrier's quota by day: how the calls are spread over the hours, and never more than it allows.

use crate::plan::{HOURS, hour_of, usual_day};

/// How a day's calls are spread over its hours. The sum is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(pub [f64; HOURS]);

impl Shares {
    /// In proportion to the square root of the events of each hour, which costs the least; `events` by hour as learned.
    pub fn of(events: &[f64; HOURS]) -> Self {
        let day = usual_day();
        let mut shares = [0.0; HOURS];
        for hour in 0..HOURS {
            shares[hour] = (20.0 * day[hour] + events[hour].max(0.0)).sqrt();
        }
        let whole: f64 = shares.iter().sum();
        Self(shares.map(|part| part / whole))
    }

    /// Calls a minute at a time in hours, of so many a day.
    pub fn per_minute(&self, calls: f64, now: f64) -> f64 {
        calls * self.0[hour_of(now)] / 60.0
    }
}

impl Default for Shares {
    /// As on a usual day, before anything was learned.
    fn default() -> Self {
        Self::of(&[0.0; HOURS])
    }
}

/// What is in a bucket of calls after some minutes of `per_minute`; `left` are those that the day still has.
pub fn refill(tokens: f64, minutes: f64, per_minute: f64, left: f64) -> f64 {
    (tokens + per_minute * minutes.max(0.0))
        .min(per_minute.max(1.0) + 1.0)
        .min(left)
        .max(0.0)
}
