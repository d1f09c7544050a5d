//! The archive: carriers' answers about one number each, kept to be read again.
//!
//! It may be in a database of its own, so no statement here names another table, but for [`Store::existing`], which asks the
//! parcels' database.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait as _, QueryResult};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::archived::{Archived, Reading};
use crate::model::{CarrierCode, TrackNumber};
use crate::store::Store;
use crate::store::column::{Key, Stamp};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

const TABLE: &str = "archived_answers";

/// What a row takes besides the body and its texts, with its indexes: about what PostgreSQL 15 and SQLite 3 show.
const ROW_BYTES: usize = 200;

/// How many answers there are, and how much they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub answers: u64,
    pub bytes: u64,
}

/// A parcel with archived answers, and how much they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedParcel {
    pub tracking_id: i64,
    pub bytes: u64,
}

/// The place of an archived answer, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedRow {
    pub id: i64,
    pub tracking_id: i64,
}

impl Store {
    /// Keeps these answers. One that was read as a kept one of the same parcel only makes that one's last time later.
    pub async fn archive(&self, answers: &[Archived]) -> Result<(), StoreError> {
        // A statement may change a row only once.
        let mut by_key: HashMap<(i64, Reading), Archived> = HashMap::new();
        for answer in answers {
            let key = (answer.tracking_id, answer.reading);
            let known = by_key.entry(key).or_insert_with(|| answer.clone());
            known.first = known.first.min(answer.first);
            known.last = known.last.max(answer.last);
        }
        let mut rows: Vec<Archived> = by_key.into_values().collect();
        if rows.is_empty() {
            return Ok(());
        }
        // By key, so that two workers cannot deadlock.
        rows.sort_by_key(|row| (row.tracking_id, row.reading));
        let set = self
            .set(&rows)
            .column("tracking_id", |row| row.tracking_id)
            .column("carrier_code", |row| row.carrier_code.to_string())
            .column("track_number", |row| row.track_number.to_string())
            .column("adapter", |row| row.adapter.clone())
            .column("status", |row| i32::from(row.status))
            .column("reading", |row| row.reading.to_vec())
            .column("asked_at", |row| row.first.0)
            .column("check_id", |row| row.first.1)
            .column("last_asked_at", |row| row.last.0)
            .column("last_check_id", |row| row.last.1)
            .column("size_bytes", size_bytes)
            .column("body", |row| row.body.clone());
        let sql = format!(
            "{} ON CONFLICT (tracking_id, reading) DO UPDATE SET last_asked_at = excluded.last_asked_at, \
             last_check_id = excluded.last_check_id WHERE archived_answers.last_asked_at < excluded.last_asked_at",
            set.insert_into("archived_answers")
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// All answers of these parcels, by parcel and in the order of asking.
    pub async fn archived(&self, tracking_ids: &[i64]) -> Result<Vec<Archived>, StoreError> {
        let set = self.set(tracking_ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT id, tracking_id, carrier_code, track_number, adapter, status, reading, asked_at, check_id, last_asked_at, \
             last_check_id, body FROM archived_answers WHERE tracking_id IN (SELECT u.row_id FROM {}) \
             ORDER BY tracking_id, asked_at, id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }

    /// Parcels with an id above `after` that have answers, by id, at most `limit`; only those that were asked for as
    /// `carrier`'s, and those whose answers said something else than before at `since` or later, if these are given.
    pub async fn archived_parcels(
        &self,
        after: i64,
        limit: u32,
        carrier: Option<&CarrierCode>,
        since: Option<Time>,
    ) -> Result<Vec<ArchivedParcel>, StoreError> {
        let of_carrier = carrier.map_or("", |_| "AND carrier_code = :carrier");
        let newer = since.map_or("", |_| "HAVING MAX(last_asked_at) >= :since");
        let sql = format!(
            "SELECT tracking_id, CAST(SUM(size_bytes) AS BIGINT) AS bytes FROM archived_answers \
             WHERE tracking_id > :after {of_carrier} GROUP BY tracking_id {newer} ORDER BY tracking_id LIMIT :limit"
        );
        let mut sql = self.sql(sql).bind("after", after);
        if let Some(carrier) = carrier {
            sql = sql.bind("carrier", carrier.as_str());
        }
        if let Some(since) = since {
            sql = sql.bind("since", since);
        }
        let sql = sql.bind("limit", i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }

    /// How many parcels have answers.
    pub async fn count_archived_parcels(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(DISTINCT tracking_id) AS count FROM archived_answers";
        let found = self.reader.query_one_raw(self.sql(sql).statement()).await?;
        let count = found.map(|row| row.try_get::<i64>("", "count"));
        Ok(count.transpose()?.unwrap_or_default().unsigned_abs())
    }

    /// How much there is. It reads the sizes of all answers.
    pub async fn archived_amount(&self) -> Result<Amount, StoreError> {
        let sql = "SELECT COUNT(*) AS answers, CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM archived_answers";
        let found = self.reader.query_one_raw(self.sql(sql).statement()).await?;
        let Some(row) = found else {
            return Ok(Amount::default());
        };
        Ok(Amount {
            answers: row.try_get::<i64>("", "answers")?.unsigned_abs(),
            bytes: row.try_get::<i64>("", "bytes")?.unsigned_abs(),
        })
    }

    /// Deletes the oldest answers, at most `limit` of them; only those first asked for before `before`, if it is given. Tells what
    /// was deleted.
    pub async fn delete_oldest_archived(
        &self,
        before: Option<Time>,
        limit: u32,
    ) -> Result<Amount, StoreError> {
        let older = before.map_or("", |_| "WHERE asked_at < :before");
        let sql = format!(
            "DELETE FROM archived_answers WHERE id IN \
             (SELECT id FROM archived_answers {older} ORDER BY asked_at LIMIT :limit) RETURNING size_bytes"
        );
        let mut sql = self.sql(sql).bind("limit", i64::from(limit));
        if let Some(before) = before {
            sql = sql.bind("before", before);
        }
        let deleted = self.writer.query_all_raw(sql.statement()).await?;
        let mut amount = Amount::default();
        for row in &deleted {
            amount.answers += 1;
            amount.bytes += row.try_get::<i64>("", "size_bytes")?.unsigned_abs();
        }
        Ok(amount)
    }

    /// Deletes all answers of these parcels; returns how many.
    pub async fn delete_archived(&self, tracking_ids: &[i64]) -> Result<u64, StoreError> {
        if tracking_ids.is_empty() {
            return Ok(0);
        }
        let set = self.set(tracking_ids).column("row_id", |id| *id);
        let sql = format!(
            "DELETE FROM archived_answers WHERE tracking_id IN (SELECT u.row_id FROM {})",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let deleted = self.writer.execute_raw(sql.statement()).await?;
        Ok(deleted.rows_affected())
    }

    /// The answers that came after the one with the id `after`, at most `limit`, in that order.
    pub async fn archived_after(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ArchivedRow>, StoreError> {
        let sql = self
            .sql("SELECT id, tracking_id FROM archived_answers WHERE id > :after ORDER BY id LIMIT :limit")
            .bind("after", after)
            .bind("limit", i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }

    /// Those of these ids that are of a tracking.
    pub async fn existing(&self, tracking_ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        let set = self.set(tracking_ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT id FROM trackings WHERE id IN (SELECT u.row_id FROM {})",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let ids = found.iter().map(|row| row.try_get::<i64>("", "id"));
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

fn size_bytes(row: &Archived) -> i64 {
    let texts = [
        row.carrier_code.as_str(),
        row.track_number.as_str(),
        &row.adapter,
    ];
    let texts: usize = texts.into_iter().map(str::len).sum();
    i64::try_from(row.body.len() + texts + ROW_BYTES).unwrap_or(i64::MAX)
}

impl Readable for Archived {
    const TABLE: &'static str = TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let check = |at, id| -> Result<(Time, Uuid), Unreadable> {
            Ok((get::<Stamp>(row, at)?.0, get::<Key>(row, id)?.0))
        };
        let code: String = get(row, "carrier_code")?;
        let number: String = get(row, "track_number")?;
        let reading: Vec<u8> = get(row, "reading")?;
        let status: i32 = get(row, "status")?;
        Ok(Self {
            tracking_id: get(row, "tracking_id")?,
            carrier_code: CarrierCode::parse(&code)
                .map_err(|error| Unreadable::new("carrier_code", error))?,
            track_number: TrackNumber::parse(&number)
                .map_err(|error| Unreadable::new("track_number", error))?,
            adapter: get(row, "adapter")?,
            status: u16::try_from(status).map_err(|error| Unreadable::new("status", error))?,
            reading: reading
                .try_into()
                .map_err(|_| Unreadable::new("reading", "it has not 16 bytes"))?,
            first: check("asked_at", "check_id")?,
            last: check("last_asked_at", "last_check_id")?,
            body: get(row, "body")?,
        })
    }
}

impl Readable for ArchivedParcel {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "tracking_id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            tracking_id: get(row, "tracking_id")?,
            bytes: get::<i64>(row, "bytes")?.unsigned_abs(),
        })
    }
}

impl Readable for ArchivedRow {
    const TABLE: &'static str = TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            id: get(row, "id")?,
            tracking_id: get(row, "tracking_id")?,
        })
    }
}
