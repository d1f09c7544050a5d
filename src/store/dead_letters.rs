//! Dead letters: records that could not be read or applied, kept with their place, for people to look at.

use chrono::TimeDelta;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _,
};

use crate::clock::Time;
use crate::store::Store;
use crate::store::entity::dead_letter::{Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable};

/// The most bytes kept of a record's value.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The most bytes kept of a record's key; our own keys are ids of at most 20.
pub const KEY_BYTES_MAX: usize = 1024;

/// The most dead letters kept; the oldest go first.
pub const LETTERS_MAX: i64 = 100_000;

/// How long a dead letter is kept.
pub const LETTERS_KEPT: TimeDelta = TimeDelta::days(30);

/// A record that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// 0 for one that is not stored yet.
    pub id: i64,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The store keeps the first [`KEY_BYTES_MAX`] bytes.
    pub key: Option<Vec<u8>>,
    /// The store keeps the first [`VALUE_BYTES_MAX`] bytes.
    pub value: Vec<u8>,
    /// The length of the whole value.
    pub size_bytes: i64,
    pub error: String,
    pub at: Time,
}

impl Store {
    /// The newest letters with an id below `before_id`, at most `limit`.
    pub async fn dead_letters(
        &self,
        before_id: Option<i64>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let letters = Entity::find()
            .filter(Column::Id.lt(before_id.unwrap_or(i64::MAX)))
            .order_by_desc(Column::Id)
            .limit(u64::from(limit));
        self.find(letters).await
    }

    pub async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, StoreError> {
        Ok(self.find(Entity::find_by_id(id)).await?.pop())
    }

    /// Deletes one letter; returns whether it was there.
    pub async fn delete_dead_letter(&self, id: i64) -> Result<bool, StoreError> {
        let deleted = Entity::delete_by_id(id).exec(&self.writer).await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Deletes letters older than [`LETTERS_KEPT`] and all beyond the newest [`LETTERS_MAX`]; returns how many.
    pub async fn prune_dead_letters(&self, now: Time) -> Result<u64, StoreError> {
        let sql = self
            .sql(
                "DELETE FROM dead_letters WHERE at < :expired OR id <= (SELECT COALESCE(MIN(kept.id), 0) - 1 FROM \
                 (SELECT id FROM dead_letters ORDER BY id DESC LIMIT :kept) AS kept)",
            )
            .bind("expired", now - LETTERS_KEPT)
            .bind("kept", LETTERS_MAX);
        let deleted = self.writer.execute_raw(sql.statement()).await?;
        Ok(deleted.rows_affected())
    }
}

impl Readable for DeadLetter {
    const TABLE: &'static str = "dead_letters";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            id: row.id,
            topic: row.topic,
            partition: row.partition,
            offset: row.record_offset,
            key: row.record_key,
            value: row.value,
            size_bytes: row.size_bytes,
            error: row.error,
            at: row.at.0,
        })
    }
}
