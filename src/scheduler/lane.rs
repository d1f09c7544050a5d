//! One account's calls: those that wait for their slot, and those under way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::scheduler::call::Call;

#[derive(Default)]
pub struct Lane {
    /// In the order of their slots.
    pub waiting: VecDeque<Call>,
    pub running: usize,
    /// Until when no early check is tried, because the last try found none; on the clock's monotonic time.
    pub idle_until: Option<Duration>,
}

impl Lane {
    /// How many of the account's slots are occupied.
    pub fn busy(&self) -> usize {
        self.waiting.len() + self.running
    }
}
