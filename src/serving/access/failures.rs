//! Counts the keys that do not work, by client: after a few in a minute it must wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;

use crate::clock::Clock;

/// How many a client may send in a minute.
const FAILURES_MAX: u32 = 20;

const MINUTE: Duration = Duration::from_secs(60);

/// The most clients that are remembered.
const CLIENTS_MAX: u64 = 10_000;

/// A minute of one client.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// When it began, on the monotonic clock.
    began: Duration,
    failures: u32,
}

/// The failures of all clients.
pub struct Failures {
    clock: Clock,
    clients: Cache<IpAddr, Arc<Mutex<Counted>>>,
}

impl Failures {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            clients: Cache::builder()
                .max_capacity(CLIENTS_MAX)
                .time_to_idle(MINUTE)
                .build(),
        }
    }

    /// Counts one failure of `client`.
    pub fn note(&self, client: IpAddr) {
        let now = self.clock.monotonic();
        let fresh = Counted {
            began: now,
            failures: 0,
        };
        let counted = self
            .clients
            .get_with(client, || Arc::new(Mutex::new(fresh)));
        let mut counted = counted.lock();
        if now >= counted.began + MINUTE {
            *counted = fresh;
        }
        counted.failures = counted.failures.saturating_add(1);
    }

    /// How long `client` must wait; `None` if it need not.
    pub fn blocked_for(&self, client: IpAddr) -> Option<Duration> {
        let counted = *self.clients.get(&client)?.lock();
        let over = counted.began + MINUTE;
        let left = over.saturating_sub(self.clock.monotonic());
        (counted.failures >= FAILURES_MAX && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::{FAILURES_MAX, Failures};
    use crate::clock::Clock;
    use crate::model::fixture::at;

    #[test]
    fn after_twenty_failures_in_a_minute_a_client_waits_and_no_other_does() {
        let clock = Clock::manual(at(0));
        let failures = Failures::new(clock.clone());
        let (one, other): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 1..FAILURES_MAX {
            failures.note(one);
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(failures.blocked_for(one), None);
        failures.note(one);
        assert_eq!(failures.blocked_for(one), Some(Duration::from_secs(41)));
        assert_eq!(failures.blocked_for(other), None);
        clock.advance(Duration::from_secs(41));
        assert_eq!(failures.blocked_for(one), None);
        failures.note(one);
        assert_eq!(failures.blocked_for(one), None, "a new minute has begun");
    }
}
