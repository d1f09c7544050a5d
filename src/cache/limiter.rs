//! The limiter: at most L calls in any window W, for everyone who shares it.
//!
//! A generic cell rate algorithm. A permit is a slot in time with an age: it counts at its slot, and must be used within
//! [`age`](crate::model::limits::age) of it. The spacing allows for that age and for as much again in transit, so that the carrier, who counts
//! arrivals, never counts more than L in any W, calendar minutes included:
//! spacing = (W + age + transit) / (L − burst + 1).

pub mod memory;
pub mod permit;
pub mod redis;

use std::sync::Arc;

use crate::cache::limiter::memory::MemoryLimiter;
use crate::cache::limiter::permit::Reservation;
use crate::cache::limiter::redis::RedisLimiter;
use crate::model::limits::Limits;

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

#[cfg(test)]
mod tests;
