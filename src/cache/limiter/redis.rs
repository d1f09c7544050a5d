//! The limiter that all workers share, in Redis.
//!
//! Slots are in the server's time, in whole microseconds. They are converted to this process's monotonic clock so that
//! a permit is used neither too early nor too late, however long the answer took.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use fred::types::scripts::Script;

use crate::cache::limiter::permit::{AHEAD, Permit, Reservation, unlimited};
use crate::cache::redis::Redis;
use crate::clock::Clock;
use crate::model::limits::{Limits, Window};

/// When to ask again after Redis did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limiter in Redis.
pub struct RedisLimiter {
    redis: Arc<Redis>,
    clock: Clock,
    reserve: Script,
    give_back: Script,
}

impl RedisLimiter {
    /// With a manual clock, the script uses that clock's time instead of the server's.
    pub fn new(redis: Arc<Redis>, clock: Clock) -> Self {
        Self {
            redis,
            clock,
            reserve: Script::from_lua(include_str!("reserve.lua")),
            give_back: Script::from_lua(include_str!("give_back.lua")),
        }
    }

    pub async fn reserve(&self, account: &str, limits: &Limits, calls: u32) -> Reservation {
        let windows = limits.windows();
        let Some(age) = limits.transit() else {
            return unlimited(self.clock.monotonic(), calls);
        };
        let time = match &self.clock {
            Clock::System(_) => Value::from(""),
            Clock::Manual(_) => number(self.clock.monotonic().as_micros()),
        };
        let mut arguments = vec![number(u128::from(calls)), number(AHEAD.as_micros()), time];
        arguments.extend(windows_as_values(&windows));
        let before = self.clock.monotonic();
        let answer = self
            .redis
            .run::<Vec<String>>(&self.reserve, vec![self.key(account)], arguments)
            .await;
        let after = self.clock.monotonic();
        // Slots that the script reserved but whose answer was lost stay unused.
        let read = answer.ok().and_then(|answer| read(&answer));
        let Some((now, next, slots)) = read else {
            return Reservation {
                permits: Vec::new(),
                next: after + RETRY_AFTER,
                mark: 0,
            };
        };
        let ahead = |slot: u64| Duration::from_micros(slot.saturating_sub(now));
        Reservation {
            permits: slots
                .into_iter()
                .map(|slot| Permit {
                    // The script ran between `before` and `after`. Counted from `after` no slot comes too early, and
                    // counted from `before` none ends too late.
                    from: after + ahead(slot),
                    until: before + ahead(slot) + age,
                })
                .collect(),
            next: after + ahead(next),
            mark: next,
        }
    }

    pub async fn give_back(
        &self,
        account: &str,
        limits: &Limits,
        reservation: &Reservation,
        calls: u32,
    ) {
        let windows = limits.windows();
        if windows.is_empty() || calls == 0 || calls as usize > reservation.permits.len() {
            return;
        }
        let mut arguments = vec![
            number(u128::from(calls)),
            number(u128::from(reservation.mark)),
        ];
        arguments.extend(windows_as_values(&windows));
        // If this fails the slots stay unused, which wastes calls but breaks no limit.
        let given: Result<i64, _> = self
            .redis
            .run(&self.give_back, vec![self.key(account)], arguments)
            .await;
        if let Err(error) = given {
            tracing::debug!(account, %error, "cannot return {calls} unused slots of account {account}: {error}");
        }
    }

    fn key(&self, account: &str) -> String {
        self.redis.key(format_args!("limit:{account}"))
    }
}

fn number(number: u128) -> Value {
    Value::from(number.to_string())
}

/// Spacing, rounded up, and burst of each window.
fn windows_as_values(windows: &[Window]) -> impl Iterator<Item = Value> {
    windows.iter().flat_map(|window| {
        [
            number(window.spacing.as_nanos().div_ceil(1_000)),
            number(u128::from(window.burst)),
        ]
    })
}

/// Reads the server's time, the next slot, and the slots.
fn read(answer: &[String]) -> Option<(u64, u64, Vec<u64>)> {
    let numbers: Result<Vec<u64>, _> = answer.iter().map(|text| text.parse()).collect();
    match numbers.ok()?.as_slice() {
        [now, next, slots @ ..] => Some((*now, *next, slots.to_vec())),
        _ => None,
    }
}
