//! What a limiter hands out.

use std::time::Duration;

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
    pub(super) mark: u64,
}

/// As many permits as asked for, of an account without limits.
pub(super) fn unlimited(now: Duration, calls: u32) -> Reservation {
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
