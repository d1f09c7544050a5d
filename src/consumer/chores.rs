//! What a consumer does now and then beside its partitions.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Time, delta};
use crate::consumer::apply::{APPLY_MAX, within};
use crate::consumer::parts::ConsumerParts;
use crate::outage::Outage;
use crate::store::error::StoreError;

/// How often the chores are done: often enough to delete within a minute what nobody has any more.
const EVERY: Duration = Duration::from_secs(20);

/// The rest between two steps of one chore, so that it takes a small part of the database's time.
const REST: Duration = Duration::from_millis(200);

/// The most steps of a chore in one round.
const STEPS_MAX: u32 = 60;

/// How many parcels to adopt are counted at most.
const COUNTED_MAX: u32 = 1_000_000;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    pub changes: Duration,
    /// Of finished parcels; `None`: for ever.
    pub parcels: Option<Duration>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            changes: Duration::from_secs(30 * 86_400),
            parcels: None,
        }
    }
}

/// Does the chores until `stop`.
pub async fn run(parts: ConsumerParts, keeping: Keeping, stop: CancellationToken) {
    let mut outage = Outage::new("the chores of the consumer");
    loop {
        let round = stop.run_until_cancelled(do_all(&parts, keeping));
        match round.await {
            None => return,
            Some(Ok(())) => outage.over(),
            Some(Err(error)) => outage.failed(format_args!("{error:#}")),
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// What is done in steps, each of which finds something to do or does not.
#[derive(Clone, Copy, Debug)]
enum Chore {
    Adopt,
    RemoveFinished,
    Forget,
    PruneChanges,
}

impl Chore {
    /// In this order: what is removed is then forgotten.
    const ALL: [Self; 4] = [
        Self::Adopt,
        Self::RemoveFinished,
        Self::Forget,
        Self::PruneChanges,
    ];

    /// Whether there was something to do.
    async fn step(
        self,
        parts: &ConsumerParts,
        keeping: Keeping,
        now: Time,
    ) -> Result<bool, StoreError> {
        let store = &parts.store;
        match self {
            Self::Adopt => Ok(store.adopt_some().await? > 0),
            Self::RemoveFinished => match keeping.parcels {
                Some(kept) => {
                    let removed = parts.current.remove_finished(now - delta(kept), now);
                    Ok(removed.await? > 0)
                }
                None => Ok(false),
            },
            Self::Forget => Ok(store.forget_some().await? > 0),
            Self::PruneChanges => {
                let pruned = store.prune_changes(now - delta(keeping.changes));
                Ok(pruned.await? > 0)
            }
        }
    }
}

async fn do_all(parts: &ConsumerParts, keeping: Keeping) -> anyhow::Result<()> {
    let now = parts.clock.now();
    for chore in Chore::ALL {
        for _ in 0..STEPS_MAX {
            if !within(APPLY_MAX, chore.step(parts, keeping, now)).await? {
                break;
            }
            tokio::time::sleep(REST).await;
        }
    }
    let store = &parts.store;
    let left = within(APPLY_MAX, store.to_adopt(COUNTED_MAX)).await?;
    parts.metrics.parcels_to_adopt().set(left);
    within(APPLY_MAX, store.prune_dead_letters(now)).await?;
    within(APPLY_MAX, store.prune_keys(now)).await?;
    within(
        APPLY_MAX,
        store.count_day(now.timestamp().div_euclid(86_400)),
    )
    .await
}
