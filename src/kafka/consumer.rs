//! Role `consume`: reads the topic, makes every record take effect exactly once, and keeps the cache fresh.
//!
//! One [`Consumer::step`] fetches a batch, reads it, and applies it together with the partition's offset in one
//! transaction. What cannot be read goes to the dead letters in the same transaction; a batch that the database refuses
//! is halved until the culprit stands alone, and one that takes it too long until it does not.

pub mod group;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::kafka::consumer::group::{BALANCE_EVERY, Group, Position};
use crate::kafka::{Bus, Fetched, Record, message};
use crate::metrics::Metrics;
use crate::model::{Tracking, Update};
use crate::outage::Outage;
use crate::store::dead_letters::{DeadLetter, VALUE_BYTES_MAX};
use crate::store::partitions::Ownership;
use crate::store::updates::{Applied, Batch};
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
pub struct Parts {
    pub store: Store,
    pub bus: Bus,
    pub cache: Cache,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

/// How long giving the partitions back may take; who cannot lets the leases end.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// The consumer of all partitions that this process owns.
pub struct Consumer {
    parts: Parts,
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

/// A record as far as it could be read.
enum Read {
    Update(Update),
    Unreadable(String),
}

impl Consumer {
    pub fn new(parts: Parts, batch: usize, wait: Duration) -> Self {
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
            match consumer.balance().await {
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
            if let Err(error) = within(APPLY_MAX, pruning).await {
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
        let read: Vec<Read> = records.iter().map(|record| self.read(record)).collect();
        let Position {
            ownership,
            next_offset,
            ..
        } = position;
        match self
            .apply_all(&ownership, next_offset, &records, &read)
            .await
        {
            Ok(next_offset) => {
                self.group.moved(Position {
                    ownership,
                    next_offset,
                    end: Some(fetched.high_watermark),
                });
                self.parts.bus.applied(partition, next_offset);
                lag(next_offset);
                Ok(Step::Applied(records.len()))
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

    /// Moves the offset to where the bus went on, and sets aside what could not even be taken apart.
    async fn pass_over(&self, position: Position, fetched: &Fetched) -> anyhow::Result<Position> {
        let now = self.parts.clock.now();
        let (first, next) = (position.next_offset, fetched.from);
        let letter = fetched.unreadable.as_ref().map(|reason| DeadLetter {
            id: 0,
            topic: position.ownership.topic.clone(),
            partition: position.ownership.partition,
            offset: first,
            key: None,
            value: Vec::new(),
            size_bytes: 0,
            error: format!(
                "the records from offset {first} to {} cannot be decoded: {reason}",
                next - 1
            ),
            at: now,
        });
        let batch = Batch {
            ownership: position.ownership.clone(),
            first_offset: first,
            next_offset: next,
            updates: Vec::new(),
            dead_letters: letter.into_iter().collect(),
        };
        let applying = self.parts.store.apply(&batch, now, async |_| {});
        let applied = within(STORE_MAX, applying).await;
        if applied.is_err() {
            self.group.forget(position.ownership.partition);
        }
        self.count(&applied.context("cannot pass over records")?, &batch);
        let position = Position {
            next_offset: next,
            ..position
        };
        self.group.moved(position.clone());
        Ok(position)
    }

    fn read(&self, record: &Record) -> Read {
        let now = self.parts.clock.now();
        match message::decode(record.value.as_deref(), record.timestamp, now) {
            Ok(update) => Read::Update(update),
            Err(error) => Read::Unreadable(error.to_string()),
        }
    }

    /// Applies all records in ranges of a batch, halving one that the database refuses or takes too long over; answers the
    /// next offset. Each range is a transaction of its own, so halving makes progress.
    async fn apply_all(
        &self,
        ownership: &Ownership,
        first_offset: i64,
        records: &[Record],
        read: &[Read],
    ) -> anyhow::Result<i64> {
        let mut position = first_offset;
        let starts = (0..records.len()).step_by(self.batch);
        let mut ranges: Vec<(usize, usize)> = starts
            .map(|start| (start, records.len().min(start + self.batch)))
            .rev()
            .collect();
        while let Some((start, end)) = ranges.pop() {
            let (some, outcomes) = (&records[start..end], &read[start..end]);
            let applying = self.apply_range(ownership, position, some, outcomes, None);
            let applied = tokio::time::timeout(APPLY_MAX, applying).await;
            match applied.context("the database did not answer in time")? {
                Ok(next_offset) => position = next_offset,
                Err(StoreError::Refused(error)) if some.len() == 1 => {
                    let reason = format!("the database refused it: {error}");
                    let setting_aside =
                        self.apply_range(ownership, position, some, outcomes, Some(&reason));
                    position = within(APPLY_MAX, setting_aside).await?;
                }
                Err(error @ (StoreError::Refused(_) | StoreError::Slow(_))) if some.len() > 1 => {
                    tracing::warn!("halving a batch of {} records: {error}", some.len());
                    let middle = start + some.len() / 2;
                    ranges.push((middle, end));
                    ranges.push((start, middle));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(position)
    }

    /// One transaction: the updates of these records, or with `refused` all of them as dead letters.
    async fn apply_range(
        &self,
        ownership: &Ownership,
        first_offset: i64,
        records: &[Record],
        read: &[Read],
        refused: Option<&str>,
    ) -> Result<i64, StoreError> {
        let now = self.parts.clock.now();
        let mut batch = Batch {
            ownership: ownership.clone(),
            first_offset,
            next_offset: records
                .last()
                .map_or(first_offset, |record| record.offset + 1),
            updates: Vec::new(),
            dead_letters: Vec::new(),
        };
        for (record, outcome) in records.iter().zip(read) {
            let error = match (refused, outcome) {
                (Some(reason), _) => reason,
                (None, Read::Unreadable(reason)) => reason,
                (None, Read::Update(update)) => {
                    batch.updates.push(update.clone());
                    continue;
                }
            };
            batch
                .dead_letters
                .push(dead_letter(ownership, record, error, now));
        }
        let ticket = self.parts.cache.ticket().await;
        let applied = self
            .parts
            .store
            .apply(&batch, now, async |changes| {
                let versions: Vec<(i64, i64)> = changes
                    .iter()
                    .map(|change| (change.new.id, change.new.version))
                    .collect();
                self.parts.cache.fence(&versions).await;
            })
            .await?;
        let rows: Vec<Tracking> = applied
            .changes
            .iter()
            .map(|change| change.new.clone())
            .collect();
        self.parts.cache.put(&rows, &ticket).await;
        self.count(&applied, &batch);
        Ok(batch.next_offset)
    }

    fn count(&self, applied: &Applied, batch: &Batch) {
        let metrics = &self.parts.metrics;
        let passed_over = applied.unknown_trackings + applied.without_effect;
        metrics.updates_applied((batch.updates.len() as u64).saturating_sub(passed_over));
        metrics.updates_without_effect(applied.without_effect);
        metrics.updates_unknown_tracking(applied.unknown_trackings);
        metrics.events_new(applied.events_new);
        metrics.events_unmapped(applied.events_unmapped);
        metrics.dead_letters(batch.dead_letters.len() as u64);
        for letter in &batch.dead_letters {
            tracing::error!(
                topic = letter.topic,
                partition = letter.partition,
                offset = letter.offset,
                "set a record aside: {}",
                letter.error
            );
        }
    }
}

fn dead_letter(
    ownership: &Ownership,
    record: &Record,
    error: &str,
    at: crate::clock::Time,
) -> DeadLetter {
    let value = record.value.as_deref().unwrap_or_default();
    DeadLetter {
        id: 0,
        topic: ownership.topic.clone(),
        partition: ownership.partition,
        offset: record.offset,
        key: record.key.clone(),
        value: value[..value.len().min(VALUE_BYTES_MAX)].to_vec(),
        size_bytes: i64::try_from(value.len()).unwrap_or(i64::MAX),
        error: crate::model::clean_text(error),
        at,
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
