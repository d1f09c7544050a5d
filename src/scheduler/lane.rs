//! One account's calls: those that wait for their slot, and those under way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::scheduler::call::Call;

/// The state of an account at this worker. Durations are times on the clock's monotonic time.
#[derive(Default)]
pub struct Lane {
    /// In the order of their slots.
    pub waiting: VecDeque<Call>,
    pub running: usize,
    /// Until when no early check is tried, because the last try found none.
    pub idle_until: Option<Duration>,
    /// Trackings that may be checked early, the next one to be due first.
    pub shelf: VecDeque<i64>,
    /// When the shelf is too old.
    pub shelf_until: Duration,
    /// From when on the shelf may be read anew once it is used up.
    pub shelf_again: Duration,
    /// Whether the trackings that never had an answer were given half a number less than their half of the calls.
    pub owes_half: bool,
}

impl Lane {
    /// How many of the account's slots are occupied.
    pub fn busy(&self) -> usize {
        self.waiting.len() + self.running
    }
}
