//! Dead letters: records that could not be read or applied, kept with their place, for people to look at.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, QueryResult};

use crate::clock::Time;
use crate::store::dialect::Dialect;
use crate::store::sql::Row;
use crate::store::{Store, StoreError};

/// The most bytes kept of a record's value.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The most bytes kept of a record's key; ours are ids of at most 20.
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
    /// Kept are the first [`KEY_BYTES_MAX`] bytes.
    pub key: Option<Vec<u8>>,
    /// Kept are the first [`VALUE_BYTES_MAX`] bytes.
    pub value: Vec<u8>,
    /// How long the whole value was.
    pub size_bytes: i64,
    pub error: String,
    pub at: Time,
}

const COLUMNS: &str =
    "id, topic, partition, record_offset, record_key, value, size_bytes, error, at";

impl Store {
    /// The newest letters with an id below `before_id`, at most `limit`.
    pub async fn dead_letters(
        &self,
        before_id: Option<i64>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM dead_letters WHERE id < $1 ORDER BY id DESC LIMIT $2");
        let sql = self
            .sql(sql)
            .bind(before_id.unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        found.iter().map(|row| read(row, self.dialect)).collect()
    }

    pub async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = $1");
        let sql = self.sql(sql).bind(id);
        let found = self.reader.query_one_raw(sql.statement()).await?;
        found
            .as_ref()
            .map(|row| read(row, self.dialect))
            .transpose()
    }

    /// Forgets one letter; answers whether it was there.
    pub async fn delete_dead_letter(&self, id: i64) -> Result<bool, StoreError> {
        let sql = self.sql("DELETE FROM dead_letters WHERE id = $1").bind(id);
        Ok(self
            .writer
            .execute_raw(sql.statement())
            .await?
            .rows_affected()
            > 0)
    }

    /// Ends letters older than [`LETTERS_KEPT`] and all beyond the newest [`LETTERS_MAX`]; answers how many.
    pub async fn prune_dead_letters(&self, now: Time) -> Result<u64, StoreError> {
        let sql = self
            .sql(
                "DELETE FROM dead_letters WHERE at < $1 OR id <= (SELECT COALESCE(MIN(kept.id), 0) - 1 FROM \
                 (SELECT id FROM dead_letters ORDER BY id DESC LIMIT $2) AS kept)",
            )
            .bind_time(now - LETTERS_KEPT)
            .bind(LETTERS_MAX);
        Ok(self
            .writer
            .execute_raw(sql.statement())
            .await?
            .rows_affected())
    }
}

fn read(row: &QueryResult, dialect: Dialect) -> Result<DeadLetter, StoreError> {
    let row = Row::new(row, dialect, "dead_letters");
    Ok(DeadLetter {
        id: row.get("id")?,
        topic: row.get("topic")?,
        partition: row.get("partition")?,
        offset: row.get("record_offset")?,
        key: row.get("record_key")?,
        value: row.get("value")?,
        size_bytes: row.get("size_bytes")?,
        error: row.get("error")?,
        at: row.time("at")?,
    })
}
