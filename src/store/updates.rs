//! Apply: one transaction gives batches of records their effect and moves their partitions' offsets.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sea_orm::{ConnectionTrait as _, IdenStatic as _};

use crate::clock::Time;
use crate::model::news::tell;
use crate::model::{Change, Heard, Outcome, Tracking, Unreadable, Update};
use crate::store::dead_letters::{DeadLetter, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::store::entity::{dead_letter, tracking};
use crate::store::error::StoreError;
use crate::store::facts;
use crate::store::feed::Head;
use crate::store::learned::Lesson;
use crate::store::native::Transaction;
use crate::store::parcels::Moves;
use crate::store::partitions::{GROUP, Ownership};
use crate::store::set::Set;
use crate::store::{Store, WholeStore};

/// Records of one partition in the order of their offsets, read and ready to take effect.
#[derive(Clone, Debug)]
pub struct Batch {
    pub ownership: Ownership,
    /// The offset that was asked for: the partition's offset must be exactly this.
    pub first_offset: i64,
    /// The partition's offset afterwards: the last one seen + 1, even if no record was kept.
    pub next_offset: i64,
    pub updates: Vec<Update>,
    pub dead_letters: Vec<DeadLetter>,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub changes: Vec<Change>,
    /// Updates of trackings that do not exist.
    pub unknown_trackings: u64,
    /// Updates that changed nothing: repeated or overtaken.
    pub without_effect: u64,
    /// Events that were added, or got a newer mapping's status.
    pub events_new: u64,
    /// How many of these have an unmapped code.
    pub events_unmapped: u64,
    /// Where the feeds of the tenants who were told something end now.
    pub heads: Vec<Head>,
}

impl WholeStore {
    /// Applies batches of different partitions, all of them whole or none. Repeating a batch that was applied is
    /// [`StoreError::OffsetMoved`].
    ///
    /// `before_commit` invalidates the cached values of the changes, which are not visible to others yet.
    ///
    /// # Errors
    /// [`StoreError::OffsetMoved`] if a partition has another owner or offset, [`StoreError::OtherParcels`] if updates name
    /// other parcels than their trackings, [`StoreError::Refused`] if the database rejects something in the batch,
    /// [`StoreError::Unavailable`] if it cannot be reached.
    pub async fn apply(
        &self,
        batches: &[Batch],
        now: Time,
        before_commit: impl AsyncFnOnce(&[Change]),
    ) -> Result<Applied, StoreError> {
        let transaction = self.begin().await?;
        self.move_offsets(&transaction, batches, now).await?;
        let mut applied = Applied::default();
        let updates: Vec<&Update> = batches.iter().flat_map(|batch| &batch.updates).collect();
        let rows = self.lock(&transaction, &updates).await?;
        let by_tracking = self.by_tracking(&transaction, &updates, &rows).await?;
        let known: HashSet<i64> = rows.iter().map(|row| row.id).collect();
        for (id, updates) in &by_tracking {
            if !known.contains(id) {
                applied.unknown_trackings += updates.len() as u64;
            }
        }
        let mut histories = self
            .histories(&transaction, &with_news(&rows, &by_tracking))
            .await?;
        let (mut write, mut news) = (Vec::new(), Vec::new());
        let mut lesson = Lesson::default();
        for old in rows {
            let mut new = old.clone();
            let history = histories.entry(old.id).or_default();
            for update in by_tracking.get(&old.id).into_iter().flatten() {
                lesson.add(&self.sections, &new, update);
                let (next, told) = tell(&new, update, history, now);
                applied.without_effect += u64::from(next.version == new.version);
                news.extend(told);
                new = next;
            }
            if new != old {
                write.push(Change { old, new });
            }
        }
        self.write_trackings(&transaction, &write).await?;
        (applied.events_new, applied.events_unmapped) =
            self.write_histories(&transaction, &histories, now).await?;
        let letters = batches.iter().flat_map(|batch| &batch.dead_letters);
        let letters: Vec<&DeadLetter> = letters.collect();
        self.write_dead_letters(&transaction, &letters).await?;
        let mut moves = Moves::default();
        let told = self
            .fan_out(&transaction, &write, &news, &mut moves)
            .await?;
        // The end of a lease is not a visible change.
        write.retain(|change| change.new.version != change.old.version);
        before_commit(&write).await;
        self.write_lesson(&transaction, lesson).await?;
        applied.heads = self.tell(&transaction, told, moves, now).await?;
        transaction.commit().await?;
        applied.changes = write;
        Ok(applied)
    }
}

impl Store {
    /// The fence: only the owner that has applied everything before the first offset may go on.
    async fn move_offsets(
        &self,
        transaction: &Transaction,
        batches: &[Batch],
        now: Time,
    ) -> Result<(), StoreError> {
        let set = self
            .set(batches)
            .column("topic", |batch| batch.ownership.topic.clone())
            .column("partition", |batch| batch.ownership.partition)
            .column("owner", |batch| batch.ownership.member)
            .column("epoch", |batch| batch.ownership.epoch)
            .column("first_offset", |batch| batch.first_offset)
            .column("next_offset", |batch| batch.next_offset);
        let sql = format!(
            "UPDATE consumer_partitions AS p SET next_offset = u.next_offset, updated_at = :now FROM {} \
             WHERE p.group_name = :group AND p.topic = u.topic AND p.partition = u.partition AND p.owner = u.owner \
             AND p.epoch = u.epoch AND p.next_offset = u.first_offset",
            set.from()
        );
        let sql = self.sql(sql).bind("now", now).bind("group", GROUP);
        let sql = sql.bind_set(set);
        let moved = transaction.execute_raw(sql.statement()).await?;
        if moved.rows_affected() == batches.len() as u64 {
            return Ok(());
        }
        let partitions = batches.iter().map(|batch| batch.ownership.partition);
        let first = batches.first().map(|batch| batch.ownership.topic.clone());
        Err(StoreError::OffsetMoved {
            topic: first.unwrap_or_default(),
            partitions: partitions.collect(),
        })
    }

    /// Locks the batch's trackings in the order of their ids, so that two consumers cannot deadlock. A corrupt one is
    /// skipped like an unknown one.
    async fn lock(
        &self,
        transaction: &Transaction,
        updates: &[&Update],
    ) -> Result<Vec<Tracking>, StoreError> {
        if updates.is_empty() {
            return Ok(Vec::new());
        }
        let ids: BTreeSet<i64> = updates.iter().map(|update| update.tracking_id).collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let sql = self.by_ids_sql(&ids, self.dialect.for_update());
        let found = transaction.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }

    pub(super) async fn write_trackings(
        &self,
        transaction: &Transaction,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let rarely = changes.iter().filter(|it| rare(&it.new) != rare(&it.old));
        let rarely: Vec<Change> = rarely.cloned().collect();
        self.write_set(transaction, with_rare(self.set(&rarely)))
            .await?;
        let written = self
            .write_set(transaction, with_written(self.set(changes)))
            .await?;
        if written == changes.len() as u64 {
            Ok(())
        } else {
            Err(StoreError::Corrupt {
                table: "trackings",
                row: "unknown".to_owned(),
                column: "id".to_owned(),
                reason: format!("{written} of {} locked rows were written", changes.len()),
            })
        }
    }

    /// Writes a set of columns; returns how many rows were written.
    async fn write_set(
        &self,
        transaction: &Transaction,
        set: Set<'_, Change>,
    ) -> Result<u64, StoreError> {
        if set.is_empty() {
            return Ok(0);
        }
        let assignments = set.assignments();
        let set = set.column("row_id", |change| change.new.id);
        let sql = format!(
            "UPDATE trackings SET {assignments} FROM {} WHERE trackings.id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let written = transaction.execute_raw(sql.statement()).await?;
        Ok(written.rows_affected())
    }

    async fn write_dead_letters(
        &self,
        transaction: &Transaction,
        letters: &[&DeadLetter],
    ) -> Result<(), StoreError> {
        use dead_letter::Column;
        if letters.is_empty() {
            return Ok(());
        }
        let cut = |bytes: &[u8], max: usize| bytes[..bytes.len().min(max)].to_vec();
        let set = self
            .set(letters)
            .column(Column::Topic.as_str(), |letter| letter.topic.clone())
            .column(Column::Partition.as_str(), |letter| letter.partition)
            .column(Column::RecordOffset.as_str(), |letter| letter.offset)
            .nullable(Column::RecordKey.as_str(), |letter| {
                letter.key.as_deref().map(|key| cut(key, KEY_BYTES_MAX))
            })
            .column(Column::Value.as_str(), |letter| {
                cut(&letter.value, VALUE_BYTES_MAX)
            })
            .column(Column::SizeBytes.as_str(), |letter| letter.size_bytes)
            .column(Column::Error.as_str(), |letter| letter.error.clone())
            .column(Column::At.as_str(), |letter| letter.at);
        let sql = format!(
            "{} ON CONFLICT (topic, partition, record_offset) DO NOTHING",
            set.insert_into("dead_letters")
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

/// What few updates change.
fn rare(row: &Tracking) -> (&Unreadable, bool, bool, i16, facts::Columns<'_>) {
    let facts = facts::Columns::of(row);
    let turn = row.extras.turn();
    (&row.unreadable, row.looks_again, row.wanted, turn, facts)
}

/// The columns of [`rare`].
fn with_rare(set: Set<Change>) -> Set<Change> {
    use tracking::Column;
    set.column(Column::UnreadableEvents.as_str(), |c| {
        i32::try_from(c.new.unreadable.count).unwrap_or(i32::MAX)
    })
    .column(Column::UnreadableExample.as_str(), |c| {
        c.new.unreadable.example.clone()
    })
    .column(Column::LooksAgain.as_str(), |c| c.new.looks_again)
    .column(Column::Wanted.as_str(), |c| c.new.wanted)
    .column(Column::ExtraTurn.as_str(), |c| c.new.extras.turn())
    .column(Column::Facts.as_str(), |c| {
        facts::Columns::of(&c.new).json()
    })
    .nullable(Column::FactsCheckedAt.as_str(), |c| {
        facts::Columns::of(&c.new).check.map(|(at, _)| at)
    })
    .nullable(Column::FactsCheckId.as_str(), |c| {
        facts::Columns::of(&c.new).check.map(|(_, id)| id)
    })
}

/// The columns that most updates change.
fn with_written(set: Set<Change>) -> Set<Change> {
    use tracking::Column;
    set.column(Column::Status.as_str(), |c| c.new.status.to_string())
        .nullable(Column::SubStatus.as_str(), |c| {
            c.new.sub_status.map(|s| s.to_string())
        })
        .column(Column::Direction.as_str(), |c| c.new.direction.to_string())
        .column(Column::StatusRaw.as_str(), |c| c.new.status_raw.clone())
        .nullable(Column::StatusAt.as_str(), |c| c.new.status_at)
        .column(Column::Heard.as_str(), |c| c.new.heard.rank())
        .nullable(Column::StatusCheckedAt.as_str(), |c| {
            c.new.status_checked_at
        })
        .nullable(Column::StatusCheckId.as_str(), |c| c.new.status_check_id)
        .nullable(Column::LastEventCode.as_str(), |c| {
            c.new.last_event_code.clone()
        })
        .nullable(Column::LastEventAt.as_str(), |c| c.new.last_event_at)
        .nullable(Column::LastOkAt.as_str(), |c| c.new.last_ok_at)
        .nullable(Column::LastCheckedAt.as_str(), |c| c.new.last_checked_at)
        .nullable(Column::LastCheckId.as_str(), |c| c.new.last_check_id)
        .column(Column::NextCheckAt.as_str(), |c| c.new.next_check_at)
        .column(Column::CheckFailCount.as_str(), |c| {
            i32::try_from(c.new.check_fail_count).unwrap_or(i32::MAX)
        })
        .column(Column::LastError.as_str(), |c| c.new.last_error.clone())
        .column(Column::Priority.as_str(), |c| i16::from(c.new.urgent))
        .column(Column::Active.as_str(), |c| c.new.active)
        .nullable(Column::LeaseUntil.as_str(), |c| c.new.lease_until)
        .nullable(Column::LeaseId.as_str(), |c| c.new.lease_id)
        .column(Column::Stage.as_str(), |c| c.new.stage.to_string())
        .nullable(Column::FirstEventAt.as_str(), |c| c.new.first_event_at)
        .column(Column::Version.as_str(), |c| c.new.version)
        .column(Column::ChangeSeq.as_str(), |c| c.new.change_seq)
        .nullable(Column::ChangedAt.as_str(), |c| c.new.changed_at)
        .column(Column::UpdatedAt.as_str(), |c| c.new.updated_at)
}

/// The rows with an answer in the batch and a history in the store.
fn with_news(rows: &[Tracking], by_tracking: &BTreeMap<i64, Vec<&Update>>) -> Vec<i64> {
    let has_answer = |id: &i64| {
        let updates = by_tracking.get(id).into_iter().flatten();
        updates
            .into_iter()
            .any(|update| matches!(update.outcome, Outcome::Seen { .. } | Outcome::Replayed(_)))
    };
    // A parcel that is not seen now may have been, before its answers were read again.
    let has_history = |row: &&Tracking| row.heard != Heard::Nothing || row.last_ok_at.is_some();
    let ids = rows.iter().filter(has_history).map(|row| row.id);
    ids.filter(has_answer).collect()
}
