//! What a limiter hands out.

use std::time::Duration;

/// How far ahead slots are reserved.
pub const AHEAD: Duration = Duration::from_secs(1);

/// A slot for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// When it becomes valid, in the clock's monotonic time.
    pub from: Duration,
    /// When it expires.
    pub until: Duration,
}

impl Permit {
    pub fn is_valid(&self, monotonic: Duration) -> bool {
        self.from <= monotonic && monotonic <= self.until
    }
}

/// The permits of one reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// In the order of their slots.
    pub permits: Vec<Permit>,
    /// When the next slot after these comes, and so when to ask again.
    pub next: Duration,
    /// The number of this reservation. It shows whether another one was made since.
    pub(super) serial: u64,
}

impl Reservation {
    /// One without slots.
    pub fn none(next: Duration) -> Self {
        Self {
            permits: Vec::new(),
            next,
            serial: 0,
        }
    }
}

/// As many permits as were asked for, for an account without limits.
pub(super) fn unlimited(now: Duration, calls: u32) -> Reservation {
    let permit = Permit {
        from: now,
        until: Duration::MAX,
    };
    Reservation {
        permits: vec![permit; calls as usize],
        next: now,
        serial: 0,
    }
}
