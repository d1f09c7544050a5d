//! Apply: a batch of a partition's records takes effect, together with the partition's offset, in one transaction.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde_json::json;

use crate::clock::Time;
use crate::model::merge::merge;
use crate::model::status::Status;
use crate::model::{Change, Event, Outcome, Tracking, Update};
use crate::store::dead_letters::{DeadLetter, VALUE_BYTES_MAX};
use crate::store::learned::Lesson;
use crate::store::partitions::{GROUP, Ownership};
use crate::store::sql::{Dialect, Kind, Row, Sql};
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
        let set: Vec<String> = WRITTEN
            .iter()
            .map(|(name, _)| format!("{name} = u.{name}"))
            .collect();
        let mut columns = vec![("row_id", Kind::BigInt)];
        columns.extend_from_slice(WRITTEN);
        let sql = format!(
            "UPDATE trackings SET {} FROM {} WHERE trackings.id = u.row_id",
            set.join(", "),
            Sql::rows(self.dialect, 1, "u", &columns)
        );
        let rows = changes
            .iter()
            .map(|change| tracking_json(&change.new, self.dialect))
            .collect();
        let sql = self.sql(sql).bind_rows(rows);
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
        let rows = event_rows(by_tracking, journeys, self.dialect);
        if rows.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO tracking_events (tracking_id, status, sub_status, status_raw, event_time, location, message, \
             payload_json, journey, digest, mapping_version, created_at) \
             SELECT u.tracking_id, u.status, u.sub_status, u.status_raw, u.event_time, u.location, u.message, \
             u.payload_json, u.journey, {}, u.mapping_version, $2 FROM {} WHERE TRUE ORDER BY u.nth \
             ON CONFLICT (tracking_id, digest) DO UPDATE SET status = excluded.status, \
             sub_status = excluded.sub_status, mapping_version = excluded.mapping_version \
             WHERE excluded.mapping_version > tracking_events.mapping_version RETURNING status",
            self.dialect.from_hex("u.digest"),
            Sql::rows(self.dialect, 1, "u", EVENT_COLUMNS)
        );
        let sql = self.sql(sql).bind_rows(rows).bind_time(now);
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
        // One statement a letter: they are few, and their bytes fit no JSON.
        for letter in letters {
            let value = &letter.value[..letter.value.len().min(VALUE_BYTES_MAX)];
            let sql = self
                .sql(
                    "INSERT INTO dead_letters (topic, partition, record_offset, record_key, value, size_bytes, error, at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (topic, partition, record_offset) DO NOTHING",
                )
                .bind(letter.topic.as_str())
                .bind(letter.partition)
                .bind(letter.offset)
                .bind(letter.key.clone())
                .bind(value.to_vec())
                .bind(letter.size_bytes)
                .bind(letter.error.as_str())
                .bind_time(letter.at);
            transaction.execute_raw(sql.statement()).await?;
        }
        Ok(())
    }
}

/// The columns that an update may change.
const WRITTEN: &[(&str, Kind)] = &[
    ("status", Kind::Text),
    ("sub_status", Kind::Text),
    ("direction", Kind::Text),
    ("status_raw", Kind::Text),
    ("status_at", Kind::Time),
    ("heard", Kind::SmallInt),
    ("status_checked_at", Kind::Time),
    ("status_check_id", Kind::Uuid),
    ("last_event_code", Kind::Text),
    ("last_event_at", Kind::Time),
    ("last_ok_at", Kind::Time),
    ("last_checked_at", Kind::Time),
    ("last_check_id", Kind::Uuid),
    ("next_check_at", Kind::Time),
    ("check_fail_count", Kind::Int),
    ("last_error", Kind::Text),
    ("priority", Kind::SmallInt),
    ("active", Kind::Bool),
    ("lease_until", Kind::Time),
    ("lease_id", Kind::Uuid),
    ("version", Kind::BigInt),
    ("updated_at", Kind::Time),
];

fn tracking_json(row: &Tracking, dialect: Dialect) -> serde_json::Value {
    json!({
        "row_id": row.id,
        "status": row.status,
        "sub_status": row.sub_status,
        "direction": row.direction,
        "status_raw": row.status_raw,
        "status_at": dialect.json_time(row.status_at),
        "heard": row.heard.rank(),
        "status_checked_at": dialect.json_time(row.status_checked_at),
        "status_check_id": row.status_check_id,
        "last_event_code": row.last_event_code,
        "last_event_at": dialect.json_time(row.last_event_at),
        "last_ok_at": dialect.json_time(row.last_ok_at),
        "last_checked_at": dialect.json_time(row.last_checked_at),
        "last_check_id": row.last_check_id,
        "next_check_at": dialect.json_time(Some(row.next_check_at)),
        "check_fail_count": i32::try_from(row.check_fail_count).unwrap_or(i32::MAX),
        "last_error": row.last_error,
        "priority": i16::from(row.urgent),
        "active": row.active,
        "lease_until": dialect.json_time(row.lease_until),
        "lease_id": row.lease_id,
        "version": row.version,
        "updated_at": dialect.json_time(Some(row.updated_at)),
    })
}

const EVENT_COLUMNS: &[(&str, Kind)] = &[
    ("tracking_id", Kind::BigInt),
    ("status", Kind::Text),
    ("sub_status", Kind::Text),
    ("status_raw", Kind::Text),
    ("event_time", Kind::Time),
    ("location", Kind::Text),
    ("message", Kind::Text),
    ("payload_json", Kind::Text),
    ("journey", Kind::Int),
    ("digest", Kind::Text),
    ("mapping_version", Kind::Int),
];

/// Every event of known trackings once: of a repeated one the newest mapping's, else the first.
fn event_rows(
    by_tracking: &BTreeMap<i64, Vec<&Update>>,
    journeys: &BTreeMap<i64, i32>,
    dialect: Dialect,
) -> Vec<serde_json::Value> {
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
        rows.extend(
            distinct
                .into_iter()
                .map(|(event, digest)| event_json(*id, *journey, event, &digest, dialect)),
        );
    }
    rows
}

fn event_json(
    tracking_id: i64,
    journey: i32,
    event: &Event,
    digest: &[u8; 32],
    dialect: Dialect,
) -> serde_json::Value {
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "tracking_id": tracking_id,
        "status": event.status,
        "sub_status": event.sub_status,
        "status_raw": event.status_raw,
        "event_time": dialect.json_time(Some(event.event_time)),
        "location": event.location,
        "message": event.message,
        "payload_json": event.payload_json,
        "journey": journey,
        "digest": digest,
        "mapping_version": event.mapping_version,
    })
}
