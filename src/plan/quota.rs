//! A carrier's daily quota: how its calls are spread over the hours without exceeding it.

use crate::plan::{HOURS, hour_of, usual_day};

/// The share of a day's calls for each hour. The sum is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(pub [f64; HOURS]);

impl Shares {
    /// Shares in proportion to the square roots of `events`, those learned for each hour. This spread costs least.
    pub fn of(events: &[f64; HOURS]) -> Self {
        let day = usual_day();
        let mut shares = [0.0; HOURS];
        for hour in 0..HOURS {
            shares[hour] = (20.0 * day[hour] + events[hour].max(0.0)).sqrt();
        }
        let whole: f64 = shares.iter().sum();
        Self(shares.map(|part| part / whole))
    }

    /// The same share for each hour.
    pub fn even() -> Self {
        Self([1.0 / HOURS as f64; HOURS])
    }

    /// Calls a minute at the time `now` in hours, if there are `calls` a day.
    pub fn per_minute(&self, calls: f64, now: f64) -> f64 {
        calls * self.0[hour_of(now)] / 60.0
    }
}

impl Default for Shares {
    /// The shares of a usual day, before anything was learned.
    fn default() -> Self {
        Self::of(&[0.0; HOURS])
    }
}

/// The calls in a bucket of `tokens` after `minutes` at the rate `per_minute`. `left` are the day's unused calls.
pub fn refill(tokens: f64, minutes: f64, per_minute: f64, left: f64) -> f64 {
    (tokens + per_minute * minutes.max(0.0))
        .min(per_minute.max(1.0) + 1.0)
        .min(left)
        .max(0.0)
}
