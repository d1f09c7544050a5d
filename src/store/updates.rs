//! Apply: a batch of a partition's records takes effect, together with the partition's offset, in one transaction.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::clock::Time;
use crate::model::merge::merge;
use crate::model::status::Status;
use crate::model::{Change, Event, Outcome, Tracking, Update};
use crate::store::dead_letters::{DeadLetter, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::store::learned::Lesson;
use crate::store::partitions::{GROUP, Ownership};
use crate::store::set::Set;
use crate::store::sql::Row;
use crate::store::{Store, StoreError};

/// Records of one partition in the order of their offsets, read and ready to take effect.
#[derive(Clone, Debug)]
pub struct Batch {
    pub ownership: Ownership,
    /// The offset that was asked for: the partition must stand exactly there.
    pub first_offset: i64,
    /// Where the partition stands afterwards: the last offset seen + 1, also where nothing was kept.
    pub next_offset: i64,
    pub updates: Vec<Update>,
    pub dead_letters: Vec<DeadLetter>,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub changes: Vec<Change>,
    /// Updates of trackings that are not there.
    pub unknown_trackings: u64,
    /// Updates that were no news: repeated or overtaken.
    pub without_effect: u64,
    /// Events that were not there before, or got a newer mapping's status.
    pub events_new: u64,
    /// Of these, how many have a code that nobody mapped.
    pub events_unmapped: u64,
}

impl Store {
    /// Applies `batch` whole or not at all. Repeating a batch that was applied is [`StoreError::OffsetMoved`].
    ///
    /// `before_commit` raises the cache's fence for the changes, which are not yet visible to anybody.
    ///
    /// # Errors
    /// [`StoreError::OffsetMoved`] where the partition has another owner or offset, [`StoreError::Refused`] where the
    /// database refuses something in the batch, [`StoreError::Unavailable`] where it is away.
    pub async fn apply(
        &self,
        batch: &Batch,
        now: Time,
        before_commit: impl AsyncFnOnce(&[Change]),
    ) -> Result<Applied, StoreError> {
        let transaction = self.begin().await?;
        self.move_offset(&transaction, batch, now).await?;
        let mut by_tracking: BTreeMap<i64, Vec<&Update>> = BTreeMap::new();
        for update in &batch.updates {
            by_tracking
                .entry(update.tracking_id)
                .or_default()
                .push(update);
        }
        let mut applied = Applied::default();
        let rows = self.lock(&transaction, &by_tracking).await?;
        let known: BTreeMap<i64, i32> = rows.iter().map(|row| (row.id, row.journey)).collect();
        for (id, updates) in &by_tracking {
            if !known.contains_key(id) {
                applied.unknown_trackings += updates.len() as u64;
            }
        }
        let (mut write, mut lesson) = (Vec::new(), Lesson::default());
        for old in rows {
            let mut new = old.clone();
            for update in by_tracking.get(&old.id).into_iter().flatten() {
                lesson.add(&self.sections, &new, update);
                let next = merge(&new, update, now);
                applied.without_effect += u64::from(next.version == new.version);
                new = next;
            }
            if new != old {
                write.push(Change { old, new });
            }
        }
        self.write_trackings(&transaction, &write).await?;
        self.write_events(&transaction, &by_tracking, &known, now, &mut applied)
            .await?;
        self.write_dead_letters(&transaction, &batch.dead_letters)
            .await?;
        // A lease that ended is no change that anybody sees.
        write.retain(|change| change.new.version != change.old.version);
        before_commit(&write).await;
        self.write_lesson(&transaction, lesson).await?;
        transaction.commit().await?;
        applied.changes = write;
        Ok(applied)
    }

    /// The fence: only the owner whose last word was `first_offset` goes on.
    async fn move_offset(
        &self,
        transaction: &DatabaseTransaction,
        batch: &Batch,
        now: Time,
    ) -> Result<(), StoreError> {
        let owner = &batch.ownership;
        let sql = self
            .sql(
                "UPDATE consumer_partitions SET next_offset = $1, updated_at = $2 WHERE group_name = $3 \
                 AND topic = $4 AND partition = $5 AND owner = $6 AND epoch = $7 AND next_offset = $8",
            )
            .bind(batch.next_offset)
            .bind_time(now)
            .bind(GROUP)
            .bind(owner.topic.as_str())
            .bind(owner.partition)
            .bind_uuid(owner.member)
            .bind(owner.epoch)
            .bind(batch.first_offset);
        let moved = transaction.execute_raw(sql.statement()).await?;
        if moved.rows_affected() == 1 {
            Ok(())
        } else {
            Err(StoreError::OffsetMoved {
                topic: owner.topic.clone(),
                partition: owner.partition,
            })
        }
    }

    /// Locks the batch's trackings in the order of their ids, so that two consumers cannot lock each other out.
    async fn lock(
        &self,
        transaction: &DatabaseTransaction,
        by_tracking: &BTreeMap<i64, Vec<&Update>>,
    ) -> Result<Vec<Tracking>, StoreError> {
        if by_tracking.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = by_tracking.keys().copied().collect();
        let sql = self.by_ids_sql(&ids, self.dialect.for_update());
        let found = transaction.query_all_raw(sql.statement()).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            match crate::store::trackings::read(row, self.dialect) {
                Ok(row) => rows.push(row),
                // Passed over like an unknown one: a row that nobody can read must not stop its partition.
                Err(error) => tracing::error!("passed over an unreadable tracking: {error}"),
            }
        }
        Ok(rows)
    }

    async fn write_trackings(
        &self,
        transaction: &DatabaseTransaction,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let set = with_written(self.set(changes));
        let list: Vec<String> = set
            .names()
            .iter()
            .map(|name| format!("{name} = u.{name}"))
            .collect();
        let set = set.column("row_id", |change| change.new.id);
        let sql = format!(
            "UPDATE trackings SET {} FROM {} WHERE trackings.id = u.row_id",
            list.join(", "),
            set.from(1)
        );
        let sql = self.sql(sql).bind_set(set);
        let written = transaction
            .execute_raw(sql.statement())
            .await?
            .rows_affected();
        if written == changes.len() as u64 {
            Ok(())
        } else {
            Err(StoreError::Corrupt {
                table: "trackings",
                column: "id".to_owned(),
                reason: format!("{written} of {} locked rows were written", changes.len()),
            })
        }
    }

    async fn write_events(
        &self,
        transaction: &DatabaseTransaction,
        by_tracking: &BTreeMap<i64, Vec<&Update>>,
        journeys: &BTreeMap<i64, i32>,
        now: Time,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        let rows = event_rows(by_tracking, journeys);
        if rows.is_empty() {
            return Ok(());
        }
        let set = self
            .set(&rows)
            .column("tracking_id", |row| row.tracking_id)
            .column("status", |row| row.event.status.to_string())
            .nullable("sub_status", |row| {
                row.event.sub_status.map(|s| s.to_string())
            })
            .column("status_raw", |row| row.event.status_raw.clone())
            .column("event_time", |row| row.event.event_time)
            .column("location", |row| row.event.location.clone())
            .column("message", |row| row.event.message.clone())
            .column("payload_json", |row| row.event.payload_json.clone())
            .column("journey", |row| row.journey)
            .column("digest", |row| row.digest.to_vec())
            .column("mapping_version", |row| row.event.mapping_version);
        let sql = format!(
            "INSERT INTO tracking_events (tracking_id, status, sub_status, status_raw, event_time, location, message, \
             payload_json, journey, digest, mapping_version, created_at) \
             SELECT u.tracking_id, u.status, u.sub_status, u.status_raw, u.event_time, u.location, u.message, \
             u.payload_json, u.journey, u.digest, u.mapping_version, $1 FROM {} WHERE TRUE ORDER BY u.nth \
             ON CONFLICT (tracking_id, digest) DO UPDATE SET status = excluded.status, \
             sub_status = excluded.sub_status, mapping_version = excluded.mapping_version \
             WHERE excluded.mapping_version > tracking_events.mapping_version RETURNING status",
            set.from(2)
        );
        let sql = self.sql(sql).bind_time(now).bind_set(set);
        let written = transaction.query_all_raw(sql.statement()).await?;
        applied.events_new = written.len() as u64;
        for row in &written {
            let status: String = Row::new(row, self.dialect, "tracking_events").get("status")?;
            applied.events_unmapped += u64::from(status == Status::Unknown.as_str());
        }
        Ok(())
    }

    async fn write_dead_letters(
        &self,
        transaction: &DatabaseTransaction,
        letters: &[DeadLetter],
    ) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        let cut = |bytes: &[u8], max: usize| bytes[..bytes.len().min(max)].to_vec();
        let set = self
            .set(letters)
            .column("topic", |letter| letter.topic.clone())
            .column("partition", |letter| letter.partition)
            .column("record_offset", |letter| letter.offset)
            .nullable("record_key", |letter| {
                letter.key.as_deref().map(|key| cut(key, KEY_BYTES_MAX))
            })
            .column("value", |letter| cut(&letter.value, VALUE_BYTES_MAX))
            .column("size_bytes", |letter| letter.size_bytes)
            .column("error", |letter| letter.error.clone())
            .column("at", |letter| letter.at);
        let sql = format!(
            "INSERT INTO dead_letters (topic, partition, record_offset, record_key, value, size_bytes, error, at) \
             SELECT u.topic, u.partition, u.record_offset, u.record_key, u.value, u.size_bytes, u.error, u.at \
             FROM {} WHERE TRUE ORDER BY u.nth ON CONFLICT (topic, partition, record_offset) DO NOTHING",
            set.from(1)
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

/// The columns that an update may change.
fn with_written<'a>(set: Set<'a, Change>) -> Set<'a, Change> {
    set.column("status", |c| c.new.status.to_string())
        .nullable("sub_status", |c| c.new.sub_status.map(|s| s.to_string()))
        .column("direction", |c| c.new.direction.to_string())
        .column("status_raw", |c| c.new.status_raw.clone())
        .nullable("status_at", |c| c.new.status_at)
        .column("heard", |c| c.new.heard.rank())
        .nullable("status_checked_at", |c| c.new.status_checked_at)
        .nullable("status_check_id", |c| c.new.status_check_id)
        .nullable("last_event_code", |c| c.new.last_event_code.clone())
        .nullable("last_event_at", |c| c.new.last_event_at)
        .nullable("last_ok_at", |c| c.new.last_ok_at)
        .nullable("last_checked_at", |c| c.new.last_checked_at)
        .nullable("last_check_id", |c| c.new.last_check_id)
        .column("next_check_at", |c| c.new.next_check_at)
        .column("check_fail_count", |c| {
            i32::try_from(c.new.check_fail_count).unwrap_or(i32::MAX)
        })
        .column("last_error", |c| c.new.last_error.clone())
        .column("priority", |c| i16::from(c.new.urgent))
        .column("active", |c| c.new.active)
        .nullable("lease_until", |c| c.new.lease_until)
        .nullable("lease_id", |c| c.new.lease_id)
        .column("version", |c| c.new.version)
        .column("updated_at", |c| c.new.updated_at)
}

/// An event to write.
struct EventRow<'a> {
    tracking_id: i64,
    journey: i32,
    event: &'a Event,
    digest: [u8; 32],
}

/// Every event of known trackings once: of a repeated one the newest mapping's, else the first.
fn event_rows<'a>(
    by_tracking: &BTreeMap<i64, Vec<&'a Update>>,
    journeys: &BTreeMap<i64, i32>,
) -> Vec<EventRow<'a>> {
    let mut rows = Vec::new();
    for (id, updates) in by_tracking {
        let Some(journey) = journeys.get(id) else {
            continue;
        };
        let mut events: Vec<&Event> = updates
            .iter()
            .filter_map(|update| match &update.outcome {
                Outcome::Seen { events, .. } => Some(events),
                Outcome::NotFoundYet | Outcome::Failed { .. } => None,
            })
            .flatten()
            .collect();
        // Stable: of one mapping the first stays first. By time, so that ids follow time where they can.
        events.sort_by_key(|event| std::cmp::Reverse(event.mapping_version));
        let mut seen = HashSet::with_capacity(events.len());
        let mut distinct: Vec<(&Event, [u8; 32])> = events
            .into_iter()
            .map(|event| (event, event.digest(*journey)))
            .filter(|(_, digest)| seen.insert(*digest))
            .collect();
        distinct.sort_by_key(|(event, _)| event.event_time);
        rows.extend(distinct.into_iter().map(|(event, digest)| EventRow {
            tracking_id: *id,
            journey: *journey,
            event,
            digest,
        }));
    }
    rows
}
