//! The limiter: at most L calls in any window W, for all processes that share it.
//!
//! It is a generic cell rate algorithm (GCRA). A permit is a slot in time with an age: it counts at its slot, and must
//! be used within its [age](crate::model::limits::age). The carrier counts arrivals, so the spacing allows for that age
//! and as much again for transit. The carrier then never counts more than L calls in any W, calendar minutes included:
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
    /// Reserves up to `calls` slots of `account`, at most [`AHEAD`](permit::AHEAD) from now. Without limits it gives
    /// all at once.
    pub async fn reserve(&self, account: &str, limits: &Limits, calls: u32) -> Reservation {
        match self {
            Self::Memory(limiter) => limiter.reserve(account, limits, calls),
            Self::Redis(limiter) => limiter.reserve(account, limits, calls).await,
        }
    }

    /// Returns the last `calls` unused slots of `reservation`. Does nothing if another reservation was made meanwhile.
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
