//! Role `consume`: reads the topic, applies every record exactly once, and keeps the cache fresh.
//!
//! One [`Consumer::step`] fetches records of a partition and applies them in batches. A batch and the partition's new
//! offset are one transaction, with those of other partitions that came meanwhile; it also stores unreadable records as dead
//! letters. A batch that the database rejects is bisected down to the bad record, which is set aside; a batch that times out
//! is halved until it fits.

mod apply;
pub mod chores;
mod group;
pub mod parts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::consumer::apply::{Applier, STORE_MAX, within};
use crate::consumer::chores::Keeping;
use crate::consumer::group::{BALANCE_EVERY, Group, Position};
use crate::consumer::parts::ConsumerParts;
use crate::kafka::record::Fetched;
use crate::outage::Outage;
use crate::store::error::StoreError;

/// How long to wait after a failure of the store or the bus before the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long releasing the partitions may take at the end. After that their leases have to expire.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// The consumer of all partitions that this process owns.
pub struct Consumer {
    parts: ConsumerParts,
    group: Group,
    applier: Applier,
    /// How long a fetch waits for the first record.
    wait: Duration,
    keeping: Keeping,
}

/// What one step of a partition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// There was no record.
    Idle,
    /// This many records were applied, dead letters included.
    Applied(usize),
    /// Another process has moved the partition's offset. The next step reads it from the store.
    Lost,
    /// Another process owns the partition.
    NotOwned,
}

impl Consumer {
    pub fn new(parts: ConsumerParts, batch: usize, wait: Duration) -> Self {
        let topic = parts.bus.topic().to_owned();
        Self {
            group: Group::new(parts.store.clone(), parts.clock.clone(), topic),
            applier: Applier::new(parts.clone(), batch),
            parts,
            wait,
            keeping: Keeping::default(),
        }
    }

    /// The same, and what is older than this is deleted.
    #[must_use]
    pub fn keeping(self, keeping: Keeping) -> Self {
        Self { keeping, ..self }
    }

    /// Applies records until `stop`, and finishes the batch under way.
    ///
    /// While the store or the bus is away it retries; no record is lost.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let consumer = Arc::new(self);
        let mut tasks = JoinSet::new();
        let mut running: HashMap<i32, Id> = HashMap::new();
        let parts = consumer.parts.clone();
        tasks.spawn(chores::run(parts, consumer.keeping, stop.clone()));
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
            for partition in consumer.partitions() {
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
        if consumer.parts.bus.is_shared()
            && let Err(error) = within(LEAVE_MAX, consumer.group.leave()).await
        {
            tracing::warn!("cannot release the partitions, their leases will expire: {error:#}");
        }
        Ok(())
    }

    /// Renews, releases and takes partitions, so that this process owns its fair share; see [`Group::balance`].
    ///
    /// # Errors
    /// If the store or the bus is away.
    pub async fn balance(&self) -> anyhow::Result<()> {
        let bus = &self.parts.bus;
        bus.prepare().await.context("cannot count the partitions")?;
        if bus.is_shared() {
            within(STORE_MAX, self.group.balance(&bus.partitions())).await?;
        }
        Ok(())
    }

    /// The partitions that this process owns now: all of them, if no other process can read the bus.
    pub fn partitions(&self) -> Vec<i32> {
        if self.parts.bus.is_shared() {
            self.group.partitions()
        } else {
            self.parts.bus.partitions()
        }
    }

    /// Where to continue with `partition`; `None` if another process owns it.
    async fn position(&self, partition: i32) -> anyhow::Result<Option<Position>> {
        match self.group.position(partition) {
            None if !self.parts.bus.is_shared() => self.group.take(partition).await.map(Some),
            position => Ok(position),
        }
    }

    async fn run_partition(self: Arc<Self>, partition: i32, stop: CancellationToken) {
        let mut outage = Outage::new("consuming");
        while !stop.is_cancelled() {
            let failed = match self.step_until(partition, &stop).await {
                Ok(Consumed::NotOwned) => {
                    self.parts.metrics.forget_lag(partition);
                    return;
                }
                Ok(_) => {
                    outage.over();
                    false
                }
                Err(error) => {
                    outage.failed(format_args!("partition {partition}: {error:#}"));
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

    /// Fetches records of `partition` and applies them.
    ///
    /// # Errors
    /// If the store or the bus is away. The next step continues at the same record.
    pub async fn step(&self, partition: i32) -> anyhow::Result<Consumed> {
        self.step_until(partition, &CancellationToken::new()).await
    }

    async fn step_until(
        &self,
        partition: i32,
        stop: &CancellationToken,
    ) -> anyhow::Result<Consumed> {
        let Some(position) = self.position(partition).await? else {
            return Ok(Consumed::NotOwned);
        };
        let fetch = self
            .parts
            .bus
            .fetch(partition, position.next_offset, self.wait);
        let fetched = tokio::select! {
            fetched = fetch => fetched.context("cannot fetch")?,
            () = stop.cancelled() => return Ok(Consumed::Idle),
        };
        let position = if fetched.from == position.next_offset {
            position
        } else {
            self.pass_over(position, &fetched).await?
        };
        if fetched.records.is_empty() {
            self.reached(position, fetched.high_watermark);
            return Ok(Consumed::Idle);
        }
        self.apply(position, fetched, stop).await
    }

    /// Continues where the bus did, if it left out offsets: they are no longer there, or cannot be decoded.
    async fn pass_over(&self, position: Position, fetched: &Fetched) -> anyhow::Result<Position> {
        let Position {
            ownership,
            next_offset,
            ..
        } = &position;
        let passed = self.applier.pass_over(ownership, *next_offset, fetched);
        if let Err(error) = passed.await {
            self.group.forget(ownership.partition);
            return Err(error);
        }
        let position = Position {
            next_offset: fetched.from,
            ..position
        };
        self.group.moved(position.clone());
        Ok(position)
    }

    async fn apply(
        &self,
        position: Position,
        fetched: Fetched,
        stop: &CancellationToken,
    ) -> anyhow::Result<Consumed> {
        let Position {
            ownership,
            next_offset,
            ..
        } = position;
        let partition = ownership.partition;
        let records = &fetched.records;
        let applying = self
            .applier
            .apply_all(&ownership, next_offset, records, stop);
        match applying.await {
            Ok(next_offset) => {
                let applied = records.iter().filter(|record| record.offset < next_offset);
                let applied = applied.count();
                let position = Position {
                    ownership,
                    next_offset,
                    end: None,
                };
                self.reached(position, fetched.high_watermark);
                self.parts.bus.applied(partition, next_offset);
                Ok(Consumed::Applied(applied))
            }
            Err(error) => {
                // The last transaction may have been committed or not: read from the store where to continue.
                self.group.forget(partition);
                match error.downcast_ref() {
                    Some(StoreError::OffsetMoved { .. }) => Ok(Consumed::Lost),
                    _ => Err(error).context("cannot apply a batch"),
                }
            }
        }
    }

    /// Remembers that the partition was applied up to `position`, of a log that ends at `high_watermark`.
    fn reached(&self, position: Position, high_watermark: i64) {
        let lag = high_watermark.saturating_sub(position.next_offset).max(0);
        self.parts
            .metrics
            .consumer_lag(position.ownership.partition)
            .set(lag);
        let end = Some(high_watermark);
        self.group.moved(Position { end, ..position });
    }
}
