//! The limiter: at most L calls in any window W, for all processes that share it.
//!
//! It remembers the slots that it gave out, newest first, and gives out the next one as soon as the account's
//! [rules](crate::model::limits::Rule) allow: "the 60th slot before it must lie 62 s back". A permit is a slot with an age:
//! it must be used within its [age](crate::model::limits::age). The carrier counts arrivals, so the rules allow for that
//! age and as much again for transit. The carrier then never counts more than L calls in any W, calendar minutes included.
//!
//! A limiter that does not know what was sent before it began, or before its memory was lost, takes the worst that the
//! rules allow: as many slots as possible, the last one as far ahead as slots are ever reserved.

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
    pub async fn give_back(&self, account: &str, reservation: &Reservation, calls: u32) {
        if calls == 0 || calls as usize > reservation.permits.len() {
            return;
        }
        match self {
            Self::Memory(limiter) => limiter.give_back(account, reservation, calls),
            Self::Redis(limiter) => limiter.give_back(account, reservation, calls).await,
        }
    }
}

#[cfg(test)]
mod tests;
