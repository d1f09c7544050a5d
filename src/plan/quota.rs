//! A carrier's quota by day: how the calls are spread over the hours, and never more than it allows.

use crate::plan::{HOURS, hour_of, usual_day};

/// How a day's calls are spread: in proportion to the square root of the events of each hour, which costs the least.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    pub calls: f64,
    share: [f64; HOURS],
    pub spent: f64,
    tokens: f64,
}

impl Quota {
    /// A new day: `events` by hour as learned so far. The shares stay for the day.
    pub fn day(calls: f64, events: &[f64; HOURS], tokens: f64) -> Self {
        let day = usual_day();
        let mut share = [0.0; HOURS];
        for hour in 0..HOURS {
            share[hour] = (20.0 * day[hour] + events[hour].max(0.0)).sqrt();
        }
        let whole: f64 = share.iter().sum();
        Self {
            calls,
            share: share.map(|part| part / whole),
            spent: 0.0,
            tokens,
        }
    }

    /// A minute passes: answers how many calls may be made now.
    pub fn refill(&mut self, now: f64) -> f64 {
        let minute = self.calls * self.share[hour_of(now)] / 60.0;
        let left = self.calls.floor() - self.spent;
        self.tokens = (self.tokens + minute).min(minute.max(1.0) + 1.0).min(left);
        self.tokens.max(0.0).floor()
    }

    /// So many calls were made.
    pub fn spend(&mut self, calls: f64) {
        self.tokens -= calls;
        self.spent += calls;
    }

    /// What is left in the bucket, for the next day.
    pub fn tokens(&self) -> f64 {
        self.tokens
    }
}
