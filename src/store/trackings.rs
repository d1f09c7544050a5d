//! Trackings: making, reading and refreshing them.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, QueryResult};

use crate::clock::Time;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{CarrierCode, Change, Heard, TrackNumber, Tracking};
use crate::store::dialect::Dialect;
use crate::store::sql::{Row, Sql};
use crate::store::{Store, StoreError};

/// A refresh within this time of the last refresh or check changes nothing (the wire contract).
pub const REFRESH_QUIET: TimeDelta = TimeDelta::seconds(30);

/// The columns of a tracking, in the order of every statement that reads one.
pub(super) const COLUMNS: &str = "id, carrier_code, track_number, status, sub_status, direction, status_raw, \
    status_at, heard, status_checked_at, status_check_id, last_event_code, last_event_at, last_ok_at, \
    last_checked_at, last_check_id, next_check_at, check_fail_count, last_error, priority, refreshed_at, active, \
    lease_until, lease_id, journey, version, created_at, updated_at";

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refresh {
    Done(Box<Change>),
    /// Refreshed or checked within [`REFRESH_QUIET`]: nothing changed.
    TooSoon,
    Unknown,
}

impl Store {
    /// Makes the trackings that are not there yet, due at once, and answers all of them in the order of `pairs`.
    ///
    /// `pairs` must be distinct. All or nothing.
    pub async fn create_or_get(
        &self,
        pairs: &[(CarrierCode, TrackNumber)],
        now: Time,
    ) -> Result<Vec<Tracking>, StoreError> {
        let set = self
            .set(pairs)
            .column("carrier_code", |pair| pair.0.as_str().to_owned())
            .column("track_number", |pair| pair.1.as_str().to_owned());
        // In the order of the unique key, so that two requests with the same pairs cannot lock each other out.
        let insert = format!(
            "INSERT INTO trackings (carrier_code, track_number, next_check_at, created_at, updated_at) \
             SELECT u.carrier_code, u.track_number, $1, $1, $1 FROM {} WHERE TRUE \
             ORDER BY u.carrier_code, u.track_number ON CONFLICT (carrier_code, track_number) DO NOTHING",
            set.from(2)
        );
        let select = format!(
            "SELECT {} FROM {} JOIN trackings AS t \
             ON t.carrier_code = u.carrier_code AND t.track_number = u.track_number ORDER BY u.nth",
            qualified("t"),
            set.from(1)
        );
        let transaction = self.begin().await?;
        let insert = self.sql(insert).bind_time(now).bind_set(set.clone());
        transaction.execute_raw(insert.statement()).await?;
        let select = self.sql(select).bind_set(set);
        let found = transaction.query_all_raw(select.statement()).await?;
        transaction.commit().await?;
        self.read_all(&found)
    }

    /// The trackings with these ids, in any order; unknown ids are left out.
    pub async fn trackings_by_ids(&self, ids: &[i64]) -> Result<Vec<Tracking>, StoreError> {
        let found = self
            .reader
            .query_all_raw(self.by_ids_sql(ids, "").statement())
            .await?;
        self.read_all(&found)
    }

    /// Selects by id in the order of the ids, with `lock` at the end.
    pub(super) fn by_ids_sql(&self, ids: &[i64], lock: &str) -> Sql {
        let set = self.set(ids).column("row_id", |id| *id);
        self.sql(format!(
            "SELECT {COLUMNS} FROM trackings WHERE id IN (SELECT u.row_id FROM {}) ORDER BY id {lock}",
            set.from(1)
        ))
        .bind_set(set)
    }

    /// The trackings with an id above `after`, by id, at most `limit`.
    pub async fn trackings_after(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Tracking>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM trackings WHERE id > $1 ORDER BY id LIMIT $2");
        let sql = self.sql(sql).bind(after).bind(i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        self.read_all(&found)
    }

    /// How many trackings have each status.
    pub async fn status_counts(&self) -> Result<BTreeMap<Status, u64>, StoreError> {
        let sql =
            self.sql("SELECT status, COUNT(*) AS count FROM trackings GROUP BY status LIMIT 100");
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let mut counts = BTreeMap::new();
        for row in &found {
            let row = Row::new(row, self.dialect, "trackings");
            let status = Status::parse(&row.get::<String>("status")?).unwrap_or(Status::Unknown);
            *counts.entry(status).or_default() += row.get::<i64>("count")?.unsigned_abs();
        }
        Ok(counts)
    }

    /// Makes a tracking urgent: the next of its carrier to be checked, also where it is terminal.
    ///
    /// A lease that is held stays held. `before_commit` raises the cache's fence; what it knows is not yet visible.
    pub async fn refresh(
        &self,
        id: i64,
        now: Time,
        before_commit: impl AsyncFnOnce(&Change),
    ) -> Result<Refresh, StoreError> {
        let transaction = self.begin().await?;
        let select = self.by_ids_sql(&[id], self.dialect.for_update());
        let found = transaction.query_all_raw(select.statement()).await?;
        let Some(old) = self.read_all(&found)?.pop() else {
            return Ok(Refresh::Unknown);
        };
        let last = old.refreshed_at.max(old.last_checked_at);
        if last.is_some_and(|last| now - last < REFRESH_QUIET) {
            return Ok(Refresh::TooSoon);
        }
        let new = Tracking {
            urgent: true,
            active: true,
            refreshed_at: Some(now),
            next_check_at: now,
            version: old.version.saturating_add(1),
            updated_at: old.updated_at.max(now),
            ..old.clone()
        };
        let update = "UPDATE trackings SET priority = 1, active = TRUE, refreshed_at = $2, next_check_at = $2, \
                      version = version + 1, updated_at = $3 WHERE id = $1";
        let update = self
            .sql(update)
            .bind(id)
            .bind_time(now)
            .bind_time(new.updated_at);
        transaction.execute_raw(update.statement()).await?;
        let change = Change { old, new };
        before_commit(&change).await;
        transaction.commit().await?;
        Ok(Refresh::Done(Box::new(change)))
    }

    /// Reads whole rows; the first unreadable one is an error.
    pub(super) fn read_all(&self, rows: &[QueryResult]) -> Result<Vec<Tracking>, StoreError> {
        rows.iter().map(|row| read(row, self.dialect)).collect()
    }
}

/// [`COLUMNS`] of the table called `alias`.
pub(super) fn qualified(alias: &str) -> String {
    let names: Vec<String> = COLUMNS
        .split(',')
        .map(|name| format!("{alias}.{}", name.trim()))
        .collect();
    names.join(", ")
}

/// Reads one tracking. A status word that a newer program wrote reads as unknown.
pub(super) fn read(row: &QueryResult, dialect: Dialect) -> Result<Tracking, StoreError> {
    let row = Row::new(row, dialect, "trackings");
    let code = |column: &str| row.get::<String>(column);
    let carrier_code = CarrierCode::parse(code("carrier_code")?)
        .map_err(|error| row.corrupt("carrier_code", error.to_string()))?;
    let track_number = TrackNumber::parse(code("track_number")?)
        .map_err(|error| row.corrupt("track_number", error.to_string()))?;
    let sub_status: Option<String> = row.get("sub_status")?;
    Ok(Tracking {
        id: row.get("id")?,
        carrier_code,
        track_number,
        status: Status::parse(&row.get::<String>("status")?).unwrap_or(Status::Unknown),
        sub_status: sub_status.and_then(|word| SubStatus::parse(&word)),
        direction: Direction::parse(&row.get::<String>("direction")?).unwrap_or(Direction::Forward),
        status_raw: row.get("status_raw")?,
        status_at: row.opt_time("status_at")?,
        heard: Heard::from_rank(row.get("heard")?),
        status_checked_at: row.opt_time("status_checked_at")?,
        status_check_id: row.opt_uuid("status_check_id")?,
        last_event_code: row.get("last_event_code")?,
        last_event_at: row.opt_time("last_event_at")?,
        last_ok_at: row.opt_time("last_ok_at")?,
        last_checked_at: row.opt_time("last_checked_at")?,
        last_check_id: row.opt_uuid("last_check_id")?,
        next_check_at: row.time("next_check_at")?,
        check_fail_count: row.get::<i32>("check_fail_count")?.unsigned_abs(),
        last_error: row.get("last_error")?,
        urgent: row.get::<i16>("priority")? > 0,
        refreshed_at: row.opt_time("refreshed_at")?,
        active: row.get("active")?,
        lease_until: row.opt_time("lease_until")?,
        lease_id: row.opt_uuid("lease_id")?,
        journey: row.get("journey")?,
        version: row.get("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
