//! Which partitions this process applies, shared fairly with the other consumers through the database.
//!
//! Every member says every 2 s that it lives, prolongs its leases, gives back what is above its share and takes what is
//! free below it. A process that stops in the middle is missed after 10 s. Nobody needs to agree on anything: two that
//! take each other's share for a moment are told apart by the epoch.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use uuid::Uuid;

use crate::clock::Clock;
use crate::kafka::Bus;
use crate::store::Store;
use crate::store::partitions::Ownership;

/// How often the shares are looked at.
pub const BALANCE_EVERY: Duration = Duration::from_secs(2);

/// How long a member lives, and holds its partitions, without saying so again.
pub const LEASE: Duration = Duration::from_secs(10);

/// Where a partition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub ownership: Ownership,
    pub next_offset: i64,
    /// The end of its log, as the last fetch told it.
    pub end: Option<i64>,
}

/// The partitions of one process.
pub struct Group {
    store: Store,
    bus: Bus,
    clock: Clock,
    member: Uuid,
    owned: Mutex<BTreeMap<i32, Position>>,
}

impl Group {
    pub fn new(store: Store, bus: Bus, clock: Clock) -> Self {
        Self {
            store,
            bus,
            clock,
            member: Uuid::now_v7(),
            owned: Mutex::default(),
        }
    }

    /// The partitions that are this process's to apply now.
    pub fn partitions(&self) -> Vec<i32> {
        if self.bus.is_shared() {
            self.lock().keys().copied().collect()
        } else {
            self.bus.partitions()
        }
    }

    /// Where to go on with `partition`; `None` where it is somebody else's.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn position(&self, partition: i32) -> anyhow::Result<Option<Position>> {
        if let Some(position) = self.lock().get(&partition) {
            return Ok(Some(position.clone()));
        }
        if self.bus.is_shared() {
            return Ok(None);
        }
        let now = self.clock.now();
        let (ownership, next_offset) = self
            .store
            .take_partition(self.bus.topic(), partition, self.member, now)
            .await
            .context("cannot take a partition")?;
        let position = Position {
            ownership,
            next_offset,
            end: None,
        };
        self.lock().insert(partition, position.clone());
        Ok(Some(position))
    }

    /// Remembers how far a partition is, where it is still ours.
    pub fn moved(&self, position: Position) {
        if let Some(known) = self.lock().get_mut(&position.ownership.partition)
            && known.ownership.epoch == position.ownership.epoch
        {
            *known = position;
        }
    }

    /// Forgets where a partition is: the store knows, and is asked again.
    pub fn forget(&self, partition: i32) {
        self.lock().remove(&partition);
    }

    /// Looks after this process's share of the partitions as they were last counted: says that it lives, prolongs, gives
    /// back, takes.
    ///
    /// # Errors
    /// Where the database is away; what was ours stays so until somebody else takes it.
    pub async fn balance(&self) -> anyhow::Result<()> {
        if !self.bus.is_shared() {
            return Ok(());
        }
        let topic = self.bus.topic();
        let partitions = self.bus.partitions();
        let now = self.clock.now();
        let until = now + LEASE;
        let live = self
            .store
            .keep_member(self.member, until, now)
            .await
            .context("cannot tell the other consumers that this one lives")?;
        self.store
            .add_partitions(topic, &partitions, now)
            .await
            .context("cannot add partitions")?;
        let renewed = self
            .store
            .renew_partitions(topic, self.member, &self.ends(), until)
            .await
            .context("cannot prolong the leases on partitions")?;
        // A topic made anew may have fewer.
        let (renewed, gone): (Vec<_>, Vec<_>) = renewed
            .into_iter()
            .partition(|(owned, _)| partitions.contains(&owned.partition));
        let mut held = renewed.len();
        self.adopt(renewed);
        if !gone.is_empty() {
            let gone: Vec<Ownership> = gone.into_iter().map(|(owned, _)| owned).collect();
            let released = self.store.release_partitions(&gone).await;
            released.context("cannot give up partitions that are no more")?;
        }
        let share = share(partitions.len(), &live, self.member);
        if held > share {
            let surplus = self.take_off(held - share);
            let given: Vec<i32> = surplus.iter().map(|o| o.partition).collect();
            tracing::info!("gives partitions {given:?} of {topic} to others; its share is {share}");
            held -= surplus.len();
            self.store
                .release_partitions(&surplus)
                .await
                .context("cannot give partitions back")?;
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
                tracing::info!("applies partitions {taken:?} of {topic} too; its share is {share}");
            }
            for (ownership, next_offset) in acquired {
                self.insert(ownership, next_offset);
            }
        }
        Ok(())
    }

    /// Gives everything back, so that the others need not wait for the leases to end.
    ///
    /// # Errors
    /// Where the database is away: then they do wait.
    pub async fn leave(&self) -> anyhow::Result<()> {
        let all = self.take_off(usize::MAX);
        if self.bus.is_shared() {
            self.store.release_partitions(&all).await?;
            self.store.leave(self.member).await?;
        }
        Ok(())
    }

    /// Takes over what the store says is ours: what it does not name is lost, what is new or has another epoch starts
    /// where the store says.
    fn adopt(&self, renewed: Vec<(Ownership, i64)>) {
        self.lock()
            .retain(|_, position| renewed.iter().any(|(o, _)| *o == position.ownership));
        for (ownership, next_offset) in renewed {
            if !self.lock().contains_key(&ownership.partition) {
                self.insert(ownership, next_offset);
            }
        }
    }

    fn insert(&self, ownership: Ownership, next_offset: i64) {
        let position = Position {
            ownership,
            next_offset,
            end: None,
        };
        self.lock().insert(position.ownership.partition, position);
    }

    /// Takes up to `count` partitions off this process, the last ones first.
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

/// How many of `partitions` are `member`'s, when those that live share them as evenly as can be.
fn share(partitions: usize, live: &[Uuid], member: Uuid) -> usize {
    // A member that the others do not see yet takes nothing.
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
                let least = shares.iter().min().expect("somebody lives");
                let most = shares.iter().max().expect("somebody lives");
                assert!(most - least <= 1, "{shares:?}");
            }
        }
        assert_eq!(share(12, &[Uuid::from_u128(1)], Uuid::from_u128(2)), 0);
    }
}
