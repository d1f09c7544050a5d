//! Waiting for changes: one look at the feeds' ends for all who wait in this process.
//!
//! Asking the database again and again is what works everywhere: behind poolers, on SQLite, and without a lock that all writers
//! share, as LISTEN/NOTIFY has. A change that this process wrote itself is told at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::current::Told;
use crate::model::tenant::Tenant;
use crate::outage::Outage;
use crate::store::Store;

/// How often the ends are looked at while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a look may take.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The most requests that wait at once in one process.
pub const WAITING_MAX: usize = 1_000;

/// Where those who wait for changes are woken. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tenants: Mutex<HashMap<Tenant, watch::Sender<i64>>>,
    /// Wakes the watcher when the first one waits.
    came: Notify,
}

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

impl Feed {
    /// Returns when the tenant was told something behind the place `seq`, or at `until`.
    ///
    /// # Errors
    /// [`Crowded`].
    pub async fn wait(&self, tenant: Tenant, seq: i64, until: Instant) -> Result<(), Crowded> {
        let mut end = {
            let mut tenants = self.0.tenants.lock();
            let waiting: usize = tenants.values().map(watch::Sender::receiver_count).sum();
            if waiting >= WAITING_MAX {
                return Err(Crowded);
            }
            let sender = tenants.entry(tenant);
            sender.or_insert_with(|| watch::channel(0).0).subscribe()
        };
        self.0.came.notify_one();
        let told = end.wait_for(|last| *last > seq);
        // Whether it was told or the time is over: the caller looks.
        drop(tokio::time::timeout_at(until, told).await);
        Ok(())
    }

    /// Looks at the ends of the feeds that somebody waits for, until `stop`.
    pub async fn watch(
        self,
        store: Store,
        told: Told,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut outage = Outage::new("looking for changes");
        loop {
            let tenants = self.waited_for();
            let wakes = async {
                if tenants.is_empty() {
                    self.0.came.notified().await;
                } else {
                    drop(tokio::time::timeout(LOOK_EVERY, told.wait()).await);
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = wakes => {}
            }
            let tenants = self.waited_for();
            if tenants.is_empty() {
                continue;
            }
            let looking = tokio::time::timeout(LOOK_MAX, store.feed_ends(&tenants));
            match looking.await {
                Ok(Ok(ends)) => {
                    outage.over();
                    let senders = self.0.tenants.lock();
                    for (tenant, ends) in ends {
                        if let Some(sender) = senders.get(&tenant) {
                            sender.send_if_modified(|last| {
                                std::mem::replace(last, ends.last_seq) != ends.last_seq
                            });
                        }
                    }
                }
                Ok(Err(error)) => outage.failed(&error),
                Err(_) => outage.failed("the database did not answer in time"),
            }
        }
    }

    /// The tenants that somebody waits for; the others are forgotten.
    fn waited_for(&self) -> Vec<Tenant> {
        let mut tenants = self.0.tenants.lock();
        tenants.retain(|_, sender| sender.receiver_count() > 0);
        tenants.keys().copied().collect()
    }
}
