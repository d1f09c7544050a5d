//! The limiter inside one process.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cache::limiter::permit::{AHEAD, Permit, Reservation, unlimited};
use crate::clock::Clock;
use crate::model::limits::{Limits, Window};

/// The limiter inside one process.
pub struct MemoryLimiter {
    clock: Clock,
    /// By account, for each window: when the bucket is full again (GCRA's theoretical arrival time).
    buckets: Mutex<HashMap<String, Vec<Duration>>>,
}

impl MemoryLimiter {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            buckets: Mutex::default(),
        }
    }

    pub fn reserve(&self, account: &str, limits: &Limits, calls: u32) -> Reservation {
        let now = self.clock.monotonic();
        let limits = limits.at_speed(self.clock.speed());
        let windows = limits.windows();
        let Some(age) = limits.transit() else {
            return unlimited(now, calls);
        };
        let mut buckets = self.buckets.lock();
        // A previous process may have used up the limit a moment ago, and reserved ahead.
        let bucket = buckets.entry(account.to_owned()).or_insert_with(|| {
            let empty = |window: &Window| now + AHEAD + window.spacing * (2 * window.burst - 1);
            windows.iter().map(empty).collect()
        });
        let mut permits = Vec::new();
        loop {
            let slot = slot(bucket, &windows, now);
            if permits.len() >= calls as usize || slot > now + AHEAD {
                return Reservation {
                    permits,
                    next: slot,
                    mark: micros(slot),
                };
            }
            for (full_at, window) in bucket.iter_mut().zip(&windows) {
                *full_at = (*full_at).max(slot) + window.spacing;
            }
            permits.push(Permit {
                from: slot,
                until: slot + age,
            });
        }
    }

    pub fn give_back(&self, account: &str, limits: &Limits, reservation: &Reservation, calls: u32) {
        let windows = limits.at_speed(self.clock.speed()).windows();
        let mut buckets = self.buckets.lock();
        let Some(bucket) = buckets.get_mut(account) else {
            return;
        };
        let untouched = micros(slot(bucket, &windows, Duration::ZERO)) == reservation.mark;
        if untouched && calls as usize <= reservation.permits.len() {
            for (full_at, window) in bucket.iter_mut().zip(&windows) {
                *full_at = full_at.saturating_sub(window.spacing * calls);
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The first moment, not before `now`, at which every window admits a call.
fn slot(bucket: &[Duration], windows: &[Window], now: Duration) -> Duration {
    bucket
        .iter()
        .zip(windows)
        .map(|(full_at, window)| full_at.saturating_sub(window.spacing * (window.burst - 1)))
        .fold(now, Duration::max)
}
