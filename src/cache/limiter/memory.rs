//! The limiter inside one process.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use crate::cache::limiter::permit::{AHEAD, Permit, Reservation, unlimited};
use crate::clock::Clock;
use crate::model::limits::{Limits, Rule};

/// The limiter inside one process.
pub struct MemoryLimiter {
    clock: Clock,
    logs: Mutex<HashMap<String, Log>>,
}

/// The slots that an account was given.
#[derive(Debug, Default)]
struct Log {
    /// In nanoseconds of monotonic time, newest first. Those that are assumed may lie before its beginning.
    slots: VecDeque<i64>,
    /// The number of the last reservation.
    serial: u64,
}

impl MemoryLimiter {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            logs: Mutex::default(),
        }
    }

    pub fn reserve(&self, account: &str, limits: &Limits, calls: u32) -> Reservation {
        let now = self.clock.monotonic();
        let Some(age) = limits.transit() else {
            return unlimited(now, calls);
        };
        let rules = limits.at_speed(self.clock.speed()).rules();
        let mut logs = self.logs.lock();
        let log = logs.entry(account.to_owned()).or_default();
        log.fill(&rules, nanos(now + AHEAD));
        log.serial += 1;
        let mut permits = Vec::new();
        loop {
            let slot = log.next(&rules).max(nanos(now));
            let from = Duration::from_nanos(slot.unsigned_abs());
            if permits.len() >= calls as usize || from > now + AHEAD {
                return Reservation {
                    permits,
                    next: from,
                    serial: log.serial,
                };
            }
            log.slots.push_front(slot);
            permits.push(Permit {
                from,
                until: from + age,
            });
        }
    }

    pub fn give_back(&self, account: &str, reservation: &Reservation, calls: u32) {
        let mut logs = self.logs.lock();
        let log = logs.get_mut(account);
        if let Some(log) = log.filter(|log| log.serial == reservation.serial) {
            log.slots.drain(..(calls as usize).min(log.slots.len()));
            log.serial += 1;
        }
    }
}

impl Log {
    /// Makes it as long as the longest rule needs: drops older slots, or assumes those that are not known. A previous
    /// process may have used up the limit until a moment ago, and reserved up to `latest`.
    fn fill(&mut self, rules: &[Rule], latest: i64) {
        let longest = rules.iter().map(|rule| rule.calls as usize).max();
        let longest = longest.unwrap_or_default();
        self.slots.truncate(longest);
        while self.slots.len() < longest {
            let newer = self.slots.back().copied().unwrap_or(latest);
            let spaced = rules.iter().filter_map(|rule| {
                let newer = self.slots.len().checked_sub(rule.calls as usize)?;
                Some(self.slots[newer] - nanos(rule.within))
            });
            let slot = spaced.fold(newer, i64::min);
            self.slots.push_back(slot);
        }
    }

    /// The first moment at which every rule admits a call.
    fn next(&self, rules: &[Rule]) -> i64 {
        let after =
            |rule: &Rule| Some(self.slots.get(rule.calls as usize - 1)? + nanos(rule.within));
        rules.iter().filter_map(after).max().unwrap_or(i64::MIN)
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
