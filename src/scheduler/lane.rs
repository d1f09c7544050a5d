//! One account's calls: those that wait for their slot, and those under way.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use crate::carriers::routes::Route;
use crate::model::Tracking;
use crate::model::tenant::Payer;
use crate::scheduler::permits::Grant;
use crate::store::failures::Gate;
use crate::store::tickets::HeldTicket;

/// How much of the lease must be left after a call's time-out, to publish the answer.
pub const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// A call waiting for its slot.
#[derive(Clone)]
pub struct Call {
    pub route: Route,
    /// Each one is claimed: it holds a lease.
    pub trackings: Vec<Tracking>,
    /// The ticket that the call asks for, if its numbers were sent before.
    pub ticket: Option<HeldTicket>,
    pub grant: Grant,
    /// Whether an earlier call with some of them failed as a whole.
    pub was_split: bool,
    /// The gate to open behind the call, if it is the only one of its account.
    pub gate: Option<Gate>,
    /// When the leases end, on the clock's monotonic time.
    pub lease_ends: Duration,
}

impl Call {
    /// The leases to release if the call is not made. A ticket's parcels keep theirs.
    pub fn leases(&self) -> Vec<(i64, Uuid)> {
        let rows = self.trackings.iter().filter(|_| self.ticket.is_none());
        rows.filter_map(|row| Some((row.id, row.lease_id?)))
            .collect()
    }

    /// The latest time at which a request may be sent, so that its answer can still be published within the leases.
    pub fn latest_start(&self) -> Duration {
        self.lease_ends
            .saturating_sub(self.route.timeout + LEASE_MARGIN)
    }
}

/// The state of an account at this worker. Durations are times on the clock's monotonic time.
#[derive(Default)]
pub struct Lane {
    /// In the order of their slots.
    pub waiting: VecDeque<Call>,
    running: Arc<AtomicUsize>,
    /// Until when no early check is tried, because the last try found none.
    pub idle_until: Option<Duration>,
    /// Trackings that may be checked early, the next one to be due first.
    pub shelf: VecDeque<i64>,
    /// When the shelf is too old.
    pub shelf_until: Duration,
    /// From when on the shelf may be read anew once it is used up.
    pub shelf_again: Duration,
    /// Payers whose trackings that never had an answer were given half a number less than their half of its calls.
    pub owes_half: BTreeSet<Payer>,
}

impl Lane {
    /// How many of the account's slots are occupied.
    pub fn busy(&self) -> usize {
        self.waiting.len() + self.running()
    }

    /// How many calls wait for their carrier.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Occupies a slot until it is dropped, which wakes `freed`.
    pub fn occupy(&self, freed: &Arc<Notify>) -> Slot {
        self.running.fetch_add(1, Ordering::Relaxed);
        Slot {
            running: Arc::clone(&self.running),
            freed: Arc::clone(freed),
        }
    }
}

/// One of an account's slots, occupied by a call until its carrier has answered.
pub struct Slot {
    running: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::Lane;

    #[tokio::test]
    async fn a_slot_is_free_as_soon_as_its_call_lets_go_of_it() {
        let (lane, freed) = (Lane::default(), Arc::new(Notify::new()));
        let slots = [lane.occupy(&freed), lane.occupy(&freed)];
        assert_eq!((lane.busy(), lane.running()), (2, 2));
        drop(slots);
        assert_eq!(lane.busy(), 0);
        let told = tokio::time::timeout(Duration::from_secs(5), freed.notified()).await;
        assert!(told.is_ok(), "and the worker is told");
    }
}
