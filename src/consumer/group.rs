//! Shares the partitions of a topic fairly among the processes that apply them, through leases in the database.
//!
//! Every 2 s each member sends a heartbeat, renews its leases, releases what exceeds its share and takes what is missing.
//! The others take over from a crashed member after 10 s. No coordinator is needed: if two members take the same
//! partition for its own, the store accepts batches only with the newer epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::clock::Clock;
use crate::store::Store;
use crate::store::partitions::Ownership;

/// How often a member balances its share.
pub const BALANCE_EVERY: Duration = Duration::from_secs(2);

/// How long a member counts as alive, and keeps its partitions, after its last heartbeat.
const LEASE: Duration = Duration::from_secs(10);

/// How far a partition was applied, and our right to apply more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub ownership: Ownership,
    pub next_offset: i64,
    /// The end of its log, as the last fetch saw it.
    pub end: Option<i64>,
}

/// One process's partitions of a topic.
pub struct Group {
    store: Store,
    clock: Clock,
    topic: String,
    member: Uuid,
    owned: Mutex<BTreeMap<i32, Position>>,
}

impl Group {
    pub fn new(store: Store, clock: Clock, topic: String) -> Self {
        Self {
            store,
            clock,
            topic,
            member: Uuid::now_v7(),
            owned: Mutex::default(),
        }
    }

    /// The partitions that this process owns now.
    pub fn partitions(&self) -> Vec<i32> {
        self.lock().keys().copied().collect()
    }

    /// Where to continue with `partition`; `None` if this process does not own it.
    pub fn position(&self, partition: i32) -> Option<Position> {
        self.lock().get(&partition).cloned()
    }

    /// Takes a partition whether or not another process holds it: for a topic that no other process can read.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn take(&self, partition: i32) -> anyhow::Result<Position> {
        let now = self.clock.now();
        let (ownership, next_offset) = self
            .store
            .take_partition(&self.topic, partition, self.member, now)
            .await
            .context("cannot take a partition")?;
        Ok(self.insert(ownership, next_offset))
    }

    /// Remembers how far a partition was applied, if it is still ours.
    pub fn moved(&self, position: Position) {
        if let Some(known) = self.lock().get_mut(&position.ownership.partition)
            && known.ownership.epoch == position.ownership.epoch
        {
            *known = position;
        }
    }

    /// Forgets how far a partition was applied, so that it is read from the store again.
    pub fn forget(&self, partition: i32) {
        self.lock().remove(&partition);
    }

    /// Sends a heartbeat, then renews, releases and takes partitions, so that this process owns its fair share of
    /// `partitions`.
    ///
    /// # Errors
    /// If the database is away. What this process owned it keeps until another one takes it.
    pub async fn balance(&self, partitions: &[i32]) -> anyhow::Result<()> {
        let topic = self.topic.as_str();
        let now = self.clock.now();
        let until = now + LEASE;
        let live = self
            .store
            .keep_member(self.member, until, now)
            .await
            .context("cannot send a heartbeat to the other consumers")?;
        self.store
            .add_partitions(topic, partitions, now)
            .await
            .context("cannot add partitions")?;
        let renewed = self
            .store
            .renew_partitions(topic, self.member, &self.ends(), until)
            .await
            .context("cannot renew the leases on partitions")?;
        // A topic that was deleted and created again may have fewer partitions.
        let (renewed, gone): (Vec<_>, Vec<_>) = renewed
            .into_iter()
            .partition(|(owned, _)| partitions.contains(&owned.partition));
        let mut held = renewed.len();
        self.adopt(renewed);
        if !gone.is_empty() {
            let gone: Vec<Ownership> = gone.into_iter().map(|(owned, _)| owned).collect();
            let released = self.store.release_partitions(&gone).await;
            released.context("cannot release partitions that no longer exist")?;
        }
        let share = share(partitions.len(), &live, self.member);
        if held > share {
            let surplus = self.take_off(held - share);
            held -= surplus.len();
            let releasing = self.store.release_partitions(&surplus).await;
            releasing.context("cannot release partitions")?;
            let released: Vec<i32> = surplus.iter().map(|o| o.partition).collect();
            tracing::info!(
                topic,
                share,
                ?released,
                "released partitions {released:?} of {topic}: the fair share is {share}"
            );
        }
        if held < share {
            let acquired = self
                .store
                .acquire_partitions(
                    topic,
                    self.member,
                    share - held,
                    partitions.len(),
                    until,
                    now,
                )
                .await
                .context("cannot take partitions")?;
            if !acquired.is_empty() {
                let taken: Vec<i32> = acquired.iter().map(|(o, _)| o.partition).collect();
                tracing::info!(
                    topic,
                    share,
                    ?taken,
                    "took partitions {taken:?} of {topic}: the fair share is {share}"
                );
            }
            for (ownership, next_offset) in acquired {
                self.insert(ownership, next_offset);
            }
        }
        Ok(())
    }

    /// Releases all partitions, so that the others need not wait for the leases to expire.
    ///
    /// # Errors
    /// If the database is away. Then the others do have to wait.
    pub async fn leave(&self) -> anyhow::Result<()> {
        let all = self.take_off(usize::MAX);
        self.store.release_partitions(&all).await?;
        self.store.leave(self.member).await?;
        Ok(())
    }

    /// Adopts the store's list of our partitions: drops those that it does not name, and starts those that are new or
    /// have another epoch at the store's offset.
    fn adopt(&self, renewed: Vec<(Ownership, i64)>) {
        self.lock()
            .retain(|_, position| renewed.iter().any(|(o, _)| *o == position.ownership));
        for (ownership, next_offset) in renewed {
            if !self.lock().contains_key(&ownership.partition) {
                self.insert(ownership, next_offset);
            }
        }
    }

    fn insert(&self, ownership: Ownership, next_offset: i64) -> Position {
        let position = Position {
            ownership,
            next_offset,
            end: None,
        };
        let partition = position.ownership.partition;
        self.lock().insert(partition, position.clone());
        position
    }

    /// Removes up to `count` partitions from this process, the last ones first.
    fn take_off(&self, count: usize) -> Vec<Ownership> {
        let mut owned = self.lock();
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((_, position)) = owned.pop_last()
        {
            taken.push(position.ownership);
        }
        taken
    }

    /// The ends of the logs that are known.
    fn ends(&self) -> Vec<(i32, i64)> {
        self.lock()
            .iter()
            .filter_map(|(partition, position)| Some((*partition, position.end?)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Position>> {
        self.owned.lock()
    }
}

/// How many of `partitions` belong to `member`, if the live members share them as evenly as possible.
fn share(partitions: usize, live: &[Uuid], member: Uuid) -> usize {
    // A member that the others do not see yet gets nothing.
    let Some(rank) = live.iter().position(|other| *other == member) else {
        return 0;
    };
    partitions / live.len() + usize::from(rank < partitions % live.len())
}

#[cfg(test)]
mod tests {
    use super::share;
    use uuid::Uuid;

    #[test]
    fn shares_differ_by_one_partition_at_most_and_cover_all() {
        for partitions in 0..40 {
            for members in 1..20 {
                let live: Vec<Uuid> = (0..members).map(Uuid::from_u128).collect();
                let shares: Vec<usize> =
                    live.iter().map(|m| share(partitions, &live, *m)).collect();
                assert_eq!(shares.iter().sum::<usize>(), partitions);
                let least = shares.iter().min().expect("there are members");
                let most = shares.iter().max().expect("there are members");
                assert!(most - least <= 1, "{shares:?}");
            }
        }
        assert_eq!(share(12, &[Uuid::from_u128(1)], Uuid::from_u128(2)), 0);
    }
}
