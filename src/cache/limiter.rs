//! The limiter: at most L calls in any window W, for everyone who shares it.
//!
//! A generic cell rate algorithm. A permit is a slot in time with an age: it counts at its slot, and must be used within
//! [`age`] of it. The spacing allows for that age and for as much again in transit, so that the carrier, who counts
//! arrivals, never counts more than L in any W, calendar minutes included:
//! spacing = (W + age + transit) / (L − burst + 1).

pub mod redis;

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::limiter::redis::RedisLimiter;
use crate::clock::Clock;
use crate::model::limits::{Limits, Window};

/// How far ahead slots are handed out.
pub const AHEAD: Duration = Duration::from_secs(1);

/// A slot for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// From when it may be used, on the clock's monotonic time.
    pub from: Duration,
    /// Until when; later it is void.
    pub until: Duration,
}

impl Permit {
    pub fn is_valid(&self, monotonic: Duration) -> bool {
        self.from <= monotonic && monotonic <= self.until
    }
}

/// What a reservation got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// In the order of their slots.
    pub permits: Vec<Permit>,
    /// When the next slot after these comes; when to ask again.
    pub next: Duration,
    /// The same on the limiter's own clock, in µs: tells whether anybody reserved since.
    mark: u64,
}

/// Hands out permits by account. A clone is the same limiter.
#[derive(Clone)]
pub enum RateLimiter {
    Memory(Arc<MemoryLimiter>),
    Redis(Arc<RedisLimiter>),
}

impl RateLimiter {
    /// Reserves up to `calls` slots of `account` within [`AHEAD`]; without limits all are there at once.
    pub async fn reserve(&self, account: &str, limits: &Limits, calls: u32) -> Reservation {
        match self {
            Self::Memory(limiter) => limiter.reserve(account, limits, calls),
            Self::Redis(limiter) => limiter.reserve(account, limits, calls).await,
        }
    }

    /// Gives back the last `calls` slots of `reservation` that nothing was claimed for, where nobody reserved since.
    pub async fn give_back(
        &self,
        account: &str,
        limits: &Limits,
        reservation: &Reservation,
        calls: u32,
    ) {
        match self {
            Self::Memory(limiter) => limiter.give_back(account, limits, reservation, calls),
            Self::Redis(limiter) => {
                limiter.give_back(account, limits, reservation, calls).await;
            }
        }
    }
}

/// The limiter inside one process.
pub struct MemoryLimiter {
    clock: Clock,
    /// For each account and window: when the bucket is full again (the theoretical arrival time).
    buckets: Mutex<HashMap<String, Vec<Duration>>>,
}

impl MemoryLimiter {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            buckets: Mutex::default(),
        }
    }

    fn reserve(&self, account: &str, limits: &Limits, calls: u32) -> Reservation {
        let now = self.clock.monotonic();
        let limits = limits.at_speed(self.clock.speed());
        let windows = limits.windows();
        let Some(age) = limits.transit() else {
            return unlimited(now, calls);
        };
        let mut buckets = self.buckets.lock();
        // Who ran before may have spent everything until just now, and reserved ahead.
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

    fn give_back(&self, account: &str, limits: &Limits, reservation: &Reservation, calls: u32) {
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

/// The first moment from `now` on at which every window admits a call.
fn slot(bucket: &[Duration], windows: &[Window], now: Duration) -> Duration {
    bucket
        .iter()
        .zip(windows)
        .map(|(full_at, window)| full_at.saturating_sub(window.spacing * (window.burst - 1)))
        .fold(now, Duration::max)
}

fn unlimited(now: Duration, calls: u32) -> Reservation {
    let permit = Permit {
        from: now,
        until: Duration::MAX,
    };
    Reservation {
        permits: vec![permit; calls as usize],
        next: now,
        mark: 0,
    }
}

#[cfg(test)]
mod tests;
