//! The limiter that all workers share, in Redis.
//!
//! Slots are in the server's time, in whole microseconds. They are converted to this process's monotonic clock so that
//! a permit is used neither too early nor too late, however long the answer took.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use fred::types::scripts::Script;
use parking_lot::Mutex;

use crate::cache::limiter::permit::{AHEAD, Permit, Reservation, unlimited};
use crate::cache::redis::Redis;
use crate::clock::Clock;
use crate::model::limits::{Limits, Rule};

/// When to ask again after Redis did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much further the server's clock may move between two answers than our monotonic clock, besides a thousandth of the
/// time between them.
const AHEAD_OF_OURS: Duration = Duration::from_millis(50);

/// The limiter in Redis.
pub struct RedisLimiter {
    redis: Arc<Redis>,
    clock: Clock,
    reserve: Script,
    give_back: Script,
    /// The server's time at the last answer for each account, in µs, and our monotonic time just before it.
    seen: Mutex<HashMap<String, (u64, Duration)>>,
}

/// What the script answered, in µs of the server's time, and our monotonic time before and after it ran.
struct Answer {
    now: u64,
    next: u64,
    serial: u64,
    slots: Vec<u64>,
    before: Duration,
    after: Duration,
}

impl RedisLimiter {
    /// With a manual clock, the script uses that clock's time instead of the server's.
    pub fn new(redis: Arc<Redis>, clock: Clock) -> Self {
        Self {
            redis,
            clock,
            reserve: Script::from_lua(include_str!("reserve.lua")),
            give_back: Script::from_lua(include_str!("give_back.lua")),
            seen: Mutex::default(),
        }
    }

    pub async fn reserve(&self, account: &str, limits: &Limits, calls: u32) -> Reservation {
        let Some(age) = limits.transit() else {
            return unlimited(self.clock.monotonic(), calls);
        };
        let rules = limits.rules();
        let mut answer = self.run(account, &rules, calls, false).await;
        if answer
            .as_ref()
            .is_some_and(|it| self.has_jumped(account, it))
        {
            // By that clock, too much time has passed since the slots in the log.
            tracing::warn!(
                account,
                "the clock of Redis jumped ahead; account {account} waits for its limits"
            );
            answer = self.run(account, &rules, calls, true).await;
        }
        // Slots that the script reserved but whose answer was lost stay unused.
        let Some(answer) = answer else {
            return Reservation {
                permits: Vec::new(),
                next: self.clock.monotonic() + RETRY_AFTER,
                serial: 0,
            };
        };
        let (before, after) = (answer.before, answer.after);
        let ahead = |slot: u64| Duration::from_micros(slot.saturating_sub(answer.now));
        Reservation {
            permits: answer
                .slots
                .iter()
                .map(|slot| Permit {
                    // The script ran between `before` and `after`. Counted from `after` no slot comes too early, and
                    // counted from `before` none ends too late.
                    from: after + ahead(*slot),
                    until: before + ahead(*slot) + age,
                })
                .collect(),
            next: after + ahead(answer.next),
            serial: answer.serial,
        }
    }

    async fn run(&self, account: &str, rules: &[Rule], calls: u32, forget: bool) -> Option<Answer> {
        let time = match &self.clock {
            Clock::System(_) => Value::from(""),
            Clock::Manual(_) => Value::from(self.clock.now().timestamp_micros().to_string()),
        };
        let mut arguments = vec![
            number(calls.into()),
            number(AHEAD.as_micros()),
            time,
            number(u128::from(forget)),
        ];
        arguments.extend(rules.iter().flat_map(|rule| {
            // Rounded up.
            let within = rule.within.as_nanos().div_ceil(1_000);
            [number(rule.calls.into()), number(within)]
        }));
        let before = self.clock.monotonic();
        let answer = self
            .redis
            .run::<Vec<String>>(&self.reserve, vec![self.key(account)], arguments)
            .await;
        let after = self.clock.monotonic();
        let numbers: Result<Vec<u64>, _> = answer.ok()?.iter().map(|text| text.parse()).collect();
        match numbers.ok()?.as_slice() {
            [now, next, serial, slots @ ..] => Some(Answer {
                now: *now,
                next: *next,
                serial: *serial,
                slots: slots.to_vec(),
                before,
                after,
            }),
            _ => None,
        }
    }

    /// Whether the server's clock moved on by more than the time since the account's last answer.
    fn has_jumped(&self, account: &str, answer: &Answer) -> bool {
        let seen = (answer.now, answer.before);
        let last = self.seen.lock().insert(account.to_owned(), seen);
        last.is_some_and(|(server, before)| {
            let passed = answer.after.saturating_sub(before);
            let most = passed + passed / 1_000 + AHEAD_OF_OURS;
            Duration::from_micros(answer.now.saturating_sub(server)) > most
        })
    }

    pub async fn give_back(&self, account: &str, reservation: &Reservation, calls: u32) {
        let arguments = vec![number(calls.into()), number(reservation.serial.into())];
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
