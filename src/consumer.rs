//! Role `consume`: reads the topic, makes every record take effect exactly once, and keeps the cache fresh.
//!
//! One [`Consumer::step`] fetches what is there, reads it, and applies it batch by batch, each together with the
//! partition's offset in one transaction. What cannot be read goes to the dead letters in the same transaction; a batch
//! that the database refuses is halved until the culprit stands alone, and one that takes it too long until it does not.

mod apply;
pub mod group;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::consumer::group::{BALANCE_EVERY, Group, Position};
use crate::current::Current;
use crate::kafka::Bus;
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::store::{Store, StoreError};

/// How long a partition rests after a failure of the store or the bus.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often old dead letters are ended.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// How long the store may take to say whose partitions are whose.
const STORE_MAX: Duration = Duration::from_secs(10);

/// How long one transaction may take.
const APPLY_MAX: Duration = Duration::from_secs(120);

/// What a consumer works with.
#[derive(Clone)]
pub struct ConsumerParts {
    pub store: Store,
    pub bus: Bus,
    pub current: Current,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

/// How long giving the partitions back may take; who cannot lets the leases end.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// The consumer of all partitions that this process owns.
pub struct Consumer {
    parts: ConsumerParts,
    group: Group,
    /// The most records applied in one transaction.
    batch: usize,
    /// How long a fetch waits for the first record.
    wait: Duration,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing was there.
    Idle,
    /// So many records took effect, dead letters included.
    Applied(usize),
    /// Somebody else has gone on; the next step asks the store where to.
    Lost,
    /// The partition is somebody else's.
    NotOwned,
}

impl Consumer {
    pub fn new(parts: ConsumerParts, batch: usize, wait: Duration) -> Self {
        Self {
            group: Group::new(parts.store.clone(), parts.bus.clone(), parts.clock.clone()),
            parts,
            batch: batch.max(1),
            wait,
        }
    }

    /// Applies what comes until `stop`; the batch under way is finished first.
    ///
    /// The store or the bus being away is waited out; nothing is lost meanwhile.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let consumer = Arc::new(self);
        let mut tasks = JoinSet::new();
        let mut running: HashMap<i32, Id> = HashMap::new();
        tasks.spawn(Arc::clone(&consumer).run_pruning(stop.clone()));
        let mut outage = Outage::new("sharing the partitions");
        while !stop.is_cancelled() {
            let balanced = tokio::select! {
                balanced = consumer.balance() => balanced,
                () = stop.cancelled() => break,
            };
            match balanced {
                Ok(()) => outage.over(),
                Err(error) => outage.failed(format_args!("{error:#}")),
            }
            for partition in consumer.group.partitions() {
                running.entry(partition).or_insert_with(|| {
                    let task = Arc::clone(&consumer).run_partition(partition, stop.clone());
                    tasks.spawn(task).id()
                });
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(BALANCE_EVERY) => {}
                Some(ended) = tasks.join_next_with_id() => {
                    let (id, ()) = ended.context("a partition's consumer died")?;
                    running.retain(|_, task| *task != id);
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a partition's consumer died")?;
        }
        match tokio::time::timeout(LEAVE_MAX, consumer.group.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the partitions' leases end by themselves: {error:#}"),
            Err(_) => tracing::warn!("the partitions' leases end by themselves: no answer in time"),
        }
        Ok(())
    }

    /// Looks after this process's share of the partitions; see [`Group::balance`].
    ///
    /// # Errors
    /// Where the store or the bus is away.
    pub async fn balance(&self) -> anyhow::Result<()> {
        let counted = self.parts.bus.prepare().await;
        counted.context("cannot count the partitions")?;
        within(STORE_MAX, self.group.balance()).await
    }

    /// The partitions that are this process's now.
    pub fn partitions(&self) -> Vec<i32> {
        self.group.partitions()
    }

    async fn run_partition(self: Arc<Self>, partition: i32, stop: CancellationToken) {
        let mut outage = Outage::new("consuming");
        while !stop.is_cancelled() {
            let failed = match self.step_until(partition, &stop).await {
                Ok(Step::NotOwned) => {
                    self.parts.metrics.forget_lag(partition);
                    return;
                }
                Ok(_) => {
                    outage.over();
                    false
                }
                Err(error) => {
                    outage.failed(format_args!("{error:#} (partition {partition})"));
                    true
                }
            };
            if failed {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                }
            }
        }
    }

    async fn run_pruning(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PRUNE_EVERY) => {}
            }
            let pruning = self.parts.store.prune_dead_letters(self.parts.clock.now());
            let pruned = tokio::select! {
                pruned = within(APPLY_MAX, pruning) => pruned,
                () = stop.cancelled() => return,
            };
            if let Err(error) = pruned {
                tracing::warn!("old dead letters stay for now: {error:#}");
            }
        }
    }

    /// Fetches records of `partition`, reads and applies them.
    ///
    /// # Errors
    /// Where the store or the bus is away; the next step goes on at the same record.
    pub async fn step(&self, partition: i32) -> anyhow::Result<Step> {
        self.step_until(partition, &CancellationToken::new()).await
    }

    async fn step_until(&self, partition: i32, stop: &CancellationToken) -> anyhow::Result<Step> {
        let Some(position) = self.group.position(partition).await? else {
            return Ok(Step::NotOwned);
        };
        let fetch = self
            .parts
            .bus
            .fetch(partition, position.next_offset, self.wait);
        let fetched = tokio::select! {
            fetched = fetch => fetched.context("cannot fetch")?,
            () = stop.cancelled() => return Ok(Step::Idle),
        };
        let passed_over = fetched.from != position.next_offset;
        let position = if passed_over {
            self.pass_over(position, &fetched).await?
        } else {
            position
        };
        let records = fetched.records;
        let lag = |next_offset: i64| {
            let lag = fetched.high_watermark.saturating_sub(next_offset).max(0);
            self.parts.metrics.lag(partition, lag);
        };
        if records.is_empty() {
            lag(position.next_offset);
            let end = Some(fetched.high_watermark);
            self.group.moved(Position { end, ..position });
            return Ok(Step::Idle);
        }
        let Position {
            ownership,
            next_offset,
            ..
        } = position;
        let applying = self.apply_all(&ownership, next_offset, &records, stop);
        match applying.await {
            Ok(next_offset) => {
                self.group.moved(Position {
                    ownership,
                    next_offset,
                    end: Some(fetched.high_watermark),
                });
                self.parts.bus.applied(partition, next_offset);
                lag(next_offset);
                let applied = records.iter().filter(|record| record.offset < next_offset);
                Ok(Step::Applied(applied.count()))
            }
            Err(error) => {
                // Whether the last transaction was committed may be unknown: the store knows.
                self.group.forget(partition);
                match error.downcast_ref() {
                    Some(StoreError::OffsetMoved { .. }) => Ok(Step::Lost),
                    _ => Err(error).context("cannot apply a batch"),
                }
            }
        }
    }
}

/// What the store answers to `call`, unless that takes longer than `deadline`.
async fn within<T, E: Into<anyhow::Error>>(
    deadline: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    let answer = tokio::time::timeout(deadline, call).await;
    let answer = answer.context("the database did not answer in time")?;
    answer.map_err(Into::into)
}
