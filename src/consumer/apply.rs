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
use crate::store::updates::{Applied, Batch};

/// How long the store may take for anything but applying a batch.
pub const STORE_MAX: Duration = Duration::from_secs(10);

/// How long one transaction of a batch may take.
pub const APPLY_MAX: Duration = Duration::from_secs(120);

/// What a record says, or why it cannot be read.
type Read = Result<Update, String>;

/// Applies records that were fetched.
pub struct Applier {
    parts: ConsumerParts,
    /// The most records applied in one transaction.
    batch: usize,
}

impl Applier {
    pub fn new(parts: ConsumerParts, batch: usize) -> Self {
        Self {
            parts,
            batch: batch.max(1),
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
        let applying = self.parts.current.apply(&batch, now);
        let applied = within(STORE_MAX, applying).await;
        self.count(&applied.context("cannot pass over records")?, &batch);
        Ok(())
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
        let applied = match self.parts.current.apply(&batch, now).await {
            Err(StoreError::OtherParcels(strangers)) => {
                for (place, error) in strangers.iter().rev() {
                    batch.updates.remove(*place);
                    let letter = dead_letter(ownership, applicable[*place], error, now);
                    batch.dead_letters.push(letter);
                }
                batch.dead_letters.sort_by_key(|letter| letter.offset);
                self.parts.current.apply(&batch, now).await?
            }
            applied => applied?,
        };
        self.count(&applied, &batch);
        Ok(batch.next_offset)
    }

    fn count(&self, applied: &Applied, batch: &Batch) {
        let metrics = &self.parts.metrics;
        let passed_over = applied.unknown_trackings + applied.without_effect;
        metrics
            .updates_applied()
            .inc_by((batch.updates.len() as u64).saturating_sub(passed_over));
        metrics
            .updates_without_effect()
            .inc_by(applied.without_effect);
        metrics
            .updates_unknown_tracking()
            .inc_by(applied.unknown_trackings);
        metrics.events_new().inc_by(applied.events_new);
        metrics.events_unmapped().inc_by(applied.events_unmapped);
        metrics
            .dead_letters()
            .inc_by(batch.dead_letters.len() as u64);
        for letter in &batch.dead_letters {
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
    }
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
