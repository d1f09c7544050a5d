//! Applies fetched records in transactions of a batch, and sets aside those that cannot be applied.

use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock::Time;
use crate::consumer::parts::ConsumerParts;
use crate::kafka::message;
use crate::kafka::record::{Fetched, Record};
use crate::model::{Update, clean_text};
use crate::store::dead_letters::DeadLetter;
use crate::store::error::StoreError;
use crate::store::partitions::Ownership;
use crate::store::updates::Batch;
use crate::together::{Together, Turns};

/// How long the store may take for anything but applying a batch.
pub const STORE_MAX: Duration = Duration::from_secs(10);

/// How long one transaction of a batch may take.
pub const APPLY_MAX: Duration = Duration::from_secs(120);

/// How many transactions are under way at once, and of how many partitions' full batches one of them is at most.
const TURNS: usize = 2;
const PARTITIONS_TOGETHER: usize = 4;

/// What a record says, or why it cannot be read.
type Read = Result<Update, String>;

/// Applies records that were fetched.
pub struct Applier {
    parts: ConsumerParts,
    /// The most records of a partition applied in one transaction.
    batch: usize,
    together: Together<Transactions>,
}

impl Applier {
    pub fn new(parts: ConsumerParts, batch: usize) -> Self {
        Self {
            together: Together::new(
                Transactions(parts.clone()),
                TURNS,
                batch.saturating_mul(PARTITIONS_TOGETHER),
            ),
            batch: batch.max(1),
            parts,
        }
    }

    /// Moves the offset from `first` to where `fetched` begins. If the records between cannot be decoded, a dead letter
    /// says so.
    pub async fn pass_over(
        &self,
        ownership: &Ownership,
        first: i64,
        fetched: &Fetched,
    ) -> anyhow::Result<()> {
        let now = self.parts.clock.now();
        let next = fetched.from;
        let letter = fetched.unreadable.as_ref().map(|reason| DeadLetter {
            id: 0,
            topic: ownership.topic.clone(),
            partition: ownership.partition,
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
            ownership: ownership.clone(),
            first_offset: first,
            next_offset: next,
            updates: Vec::new(),
            dead_letters: letter.into_iter().collect(),
        };
        let applying = self.apply_alone(&batch);
        let applied = within(STORE_MAX, applying).await;
        applied.context("cannot pass over records")
    }

    fn read(&self, record: &Record) -> Read {
        let now = self.parts.clock.now();
        let update = message::decode(record.value.as_deref(), record.timestamp, now);
        update.map_err(|error| error.to_string())
    }

    /// Applies all records in ranges of a batch, each in a transaction of its own, and answers the next offset.
    ///
    /// A range that the database rejects, or that takes it too long, is halved; a single rejected record becomes a dead
    /// letter. After `stop` only the transaction under way is finished.
    pub async fn apply_all(
        &self,
        ownership: &Ownership,
        first_offset: i64,
        records: &[Record],
        stop: &CancellationToken,
    ) -> anyhow::Result<i64> {
        let read: Vec<Read> = records.iter().map(|record| self.read(record)).collect();
        let mut position = first_offset;
        let starts = (0..records.len()).step_by(self.batch);
        let mut ranges: Vec<(usize, usize)> = starts
            .map(|start| (start, records.len().min(start + self.batch)))
            .rev()
            .collect();
        while !stop.is_cancelled()
            && let Some((start, end)) = ranges.pop()
        {
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
                    let Ownership {
                        topic, partition, ..
                    } = ownership;
                    tracing::warn!(
                        topic,
                        partition,
                        records = some.len(),
                        "halving a batch of {} records of partition {partition} of {topic}: {error}",
                        some.len()
                    );
                    let middle = start + some.len() / 2;
                    ranges.push((middle, end));
                    ranges.push((start, middle));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(position)
    }

    /// Applies the updates of these records in one transaction. With `refused`, all of them become dead letters instead.
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
        let mut applicable = Vec::new();
        for (record, outcome) in records.iter().zip(read) {
            let error = match (refused, outcome) {
                (Some(reason), _) => reason,
                (None, Err(reason)) => reason,
                (None, Ok(update)) => {
                    batch.updates.push(update.clone());
                    applicable.push(record);
                    continue;
                }
            };
            batch
                .dead_letters
                .push(dead_letter(ownership, record, error, now));
        }
        let next_offset = batch.next_offset;
        let Some(Failed { mut batch, error }) = self.apply_with_others(batch).await? else {
            return Ok(next_offset);
        };
        let applied = match error {
            None => self.apply_alone(&batch).await,
            Some(error) => Err(error),
        };
        match applied {
            Err(StoreError::OtherParcels(strangers)) => {
                for (place, error) in strangers.iter().rev() {
                    batch.updates.remove(*place);
                    let letter = dead_letter(ownership, applicable[*place], error, now);
                    batch.dead_letters.push(letter);
                }
                batch.dead_letters.sort_by_key(|letter| letter.offset);
                self.apply_alone(&batch).await?;
            }
            applied => applied?,
        }
        Ok(next_offset)
    }

    /// Applies a batch in one transaction with those of other partitions; gives it back if that did not succeed.
    async fn apply_with_others(&self, batch: Batch) -> Result<Option<Failed>, StoreError> {
        if !self.parts.bus.is_shared() {
            // Nothing would be saved.
            return Ok(Some(Failed { batch, error: None }));
        }
        let size = batch.updates.len();
        let applied = self.together.run(batch, size).await;
        applied.map_err(|stopped| StoreError::busy(stopped.to_string()))
    }

    async fn apply_alone(&self, batch: &Batch) -> Result<(), StoreError> {
        apply(&self.parts, std::slice::from_ref(batch)).await
    }
}

/// Applies the batches of several partitions at once.
struct Transactions(ConsumerParts);

/// A batch that was not applied.
struct Failed {
    batch: Batch,
    /// Why; `None` if it was tried only with others, whose fault it may be.
    error: Option<StoreError>,
}

impl Turns for Transactions {
    type Work = Batch;
    type Result = Option<Failed>;

    async fn do_all(&self, mut batches: Vec<Batch>) -> Vec<Option<Failed>> {
        match apply(&self.0, &batches).await {
            Ok(()) => batches.iter().map(|_| None).collect(),
            Err(error) if batches.len() == 1 => {
                let error = Some(error);
                vec![batches.pop().map(|batch| Failed { batch, error })]
            }
            Err(error) => {
                let partitions = batches.len();
                tracing::debug!(
                    partitions,
                    "applying {partitions} partitions one by one, since together it failed: {error}"
                );
                let failed = |batch| Some(Failed { batch, error: None });
                batches.into_iter().map(failed).collect()
            }
        }
    }
}

/// Applies batches in one transaction, and counts what they did.
async fn apply(parts: &ConsumerParts, batches: &[Batch]) -> Result<(), StoreError> {
    let applied = parts.current.apply(batches, parts.clock.now()).await?;
    let metrics = &parts.metrics;
    let passed_over = applied.unknown_trackings + applied.without_effect;
    let updates: usize = batches.iter().map(|batch| batch.updates.len()).sum();
    metrics
        .updates_applied()
        .inc_by((updates as u64).saturating_sub(passed_over));
    metrics
        .updates_without_effect()
        .inc_by(applied.without_effect);
    metrics
        .updates_unknown_tracking()
        .inc_by(applied.unknown_trackings);
    metrics.events_new().inc_by(applied.events_new);
    metrics.events_unmapped().inc_by(applied.events_unmapped);
    for letter in batches.iter().flat_map(|batch| &batch.dead_letters) {
        metrics.dead_letters().inc();
        tracing::error!(
            topic = letter.topic,
            partition = letter.partition,
            offset = letter.offset,
            "set aside offset {} of partition {} of {}: {}",
            letter.offset,
            letter.partition,
            letter.topic,
            letter.error
        );
    }
    Ok(())
}

fn dead_letter(ownership: &Ownership, record: &Record, error: &str, at: Time) -> DeadLetter {
    let value = record.value.as_deref().unwrap_or_default();
    DeadLetter {
        id: 0,
        topic: ownership.topic.clone(),
        partition: ownership.partition,
        offset: record.offset,
        key: record.key.clone(),
        value: value.to_vec(),
        size_bytes: i64::try_from(value.len()).unwrap_or(i64::MAX),
        error: clean_text(error),
        at,
    }
}

/// What the store answers to `call`, unless it takes longer than `deadline`.
pub async fn within<T, E: Into<anyhow::Error>>(
    deadline: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    let answer = tokio::time::timeout(deadline, call).await;
    let answer = answer.context("the database did not answer in time")?;
    answer.map_err(Into::into)
}
