//! Trackings: reading, counting and refreshing them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::sea_query::{Expr, Func};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult, QueryFilter as _,
    QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, Set,
};

use crate::clock::{Time, delta};
use crate::model::extra::Extras;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::tenant::{Payer, Tenant};
use crate::model::{CarrierCode, Change, Heard, TrackNumber, Tracking, Unreadable};
use crate::store::column::Stamp;
use crate::store::entity::columns;
use crate::store::entity::tracking::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::facts;
use crate::store::rows::{self, Readable, get};
use crate::store::sql::Sql;
use crate::store::{Store, WholeStore};

/// A refresh within this time of the last refresh or check changes nothing (the wire contract).
pub const REFRESH_QUIET: TimeDelta = TimeDelta::seconds(30);

/// The most carriers counted at once; more than a configuration has.
const CARRIERS_MAX: u64 = 10_000;

const TABLE: &str = "trackings";

/// A carrier's active trackings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    pub carrier_code: String,
    pub active: i64,
    /// Those whose last check failed.
    pub failing: i64,
    /// Those that never had an answer, and did not fail.
    pub unanswered: i64,
    /// The earliest last answer; for a tracking without one, its creation. `None` if it is corrupt.
    pub unanswered_since: Option<Time>,
}

impl Readable for Census {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "carrier_code";

    fn read(row: &QueryResult) -> Result<Self, rows::Unreadable> {
        let since: Option<Stamp> = get(row, "unanswered_since").unwrap_or_default();
        Ok(Self {
            carrier_code: get(row, "carrier_code")?,
            active: get(row, "active")?,
            failing: get(row, "failing")?,
            unanswered: get(row, "unanswered")?,
            unanswered_since: since.map(|at| at.0),
        })
    }
}

/// The result of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refresh {
    Done(Box<Change>),
    /// Refreshed or checked within [`REFRESH_QUIET`]: nothing changed.
    TooSoon,
    Unknown,
}

/// How many trackings a carrier has.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct CarrierCount {
    pub carrier_code: String,
    pub active: i64,
    /// Active and due.
    pub due: i64,
    /// Active, and the last check failed.
    pub failing: i64,
}

/// One of a tracking's owners.
#[derive(Clone, Copy)]
struct Owner {
    owners_version: i64,
    /// Who pays from now on if it refreshes it.
    payer: Payer,
}

/// A tracking, and one of its owners.
struct OwnedBy {
    row: Tracking,
    owner: Owner,
}

impl Readable for OwnedBy {
    const TABLE: &'static str = TABLE;

    fn read(row: &QueryResult) -> Result<Self, rows::Unreadable> {
        Ok(Self {
            row: Tracking::read(row)?,
            owner: Owner {
                owners_version: get(row, "owners_version")?,
                payer: Payer::from_row(get(row, "pays")?),
            },
        })
    }
}

impl WholeStore {
    /// The trackings with these ids, by id; unknown ids are left out. The id of a tracking that was folded into another one
    /// gives that one.
    pub async fn trackings_by_ids(&self, ids: &[i64]) -> Result<Vec<Tracking>, StoreError> {
        let sql = self.by_ids_sql(ids, "");
        let found = self.reader.query_all_raw(sql.statement()).await?;
        self.rows.answer(&found)
    }

    /// The tenant's tracking of this id, or the one that it was folded into; `None` if the tenant has no such tracking.
    pub async fn tracking_of(
        &self,
        tenant: Tenant,
        id: i64,
    ) -> Result<Option<Tracking>, StoreError> {
        Ok(self.owned_by(tenant, id).await?.map(|it| it.row))
    }

    async fn owned_by(&self, tenant: Tenant, id: i64) -> Result<Option<OwnedBy>, StoreError> {
        let sql = format!(
            "SELECT {}, t.owners_version, CASE WHEN p.state = 0 OR NOT t.wanted THEN :own ELSE t.payer END AS pays \
             FROM trackings AS t LEFT JOIN parcels AS p ON p.tenant_id = :tenant AND p.tracking_id = t.id WHERE t.id = \
             COALESCE((SELECT a.tracking_id FROM tracking_aliases AS a WHERE a.old_id = :id), :id) \
             AND (p.tenant_id IS NOT NULL OR t.owners < 0 AND :tenant = 1)",
            columns::<Entity>("t.")
        );
        let sql = self.sql(sql).bind("id", id).bind("tenant", tenant.id());
        let sql = sql.bind("own", tenant.payer().slot());
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.answer(&found)?.into_iter().next())
    }

    /// Makes a tracking urgent: its carrier's next one to be checked, even if its status is terminal. `rests` says how long
    /// it is not asked for again after a check. If the tenant follows it, or nobody does, it pays from now on: so no refresh
    /// takes another's calls.
    ///
    /// A lease stays. `before_write` invalidates the cached value; the change is not visible to others yet. `None` if another
    /// change came in between: try again.
    pub async fn refresh(
        &self,
        tenant: Tenant,
        id: i64,
        now: Time,
        rests: impl FnOnce(&CarrierCode) -> Duration,
        before_write: impl AsyncFnOnce(&Change),
    ) -> Result<Option<Refresh>, StoreError> {
        let Some(OwnedBy { row: old, owner }) = self.owned_by(tenant, id).await? else {
            return Ok(Some(Refresh::Unknown));
        };
        let last = old.refreshed_at.max(old.last_checked_at);
        if last.is_some_and(|last| now - last < REFRESH_QUIET) {
            return Ok(Some(Refresh::TooSoon));
        }
        let rested = |at: Time| now.max(at + delta(rests(&old.carrier_code)));
        let new = Tracking {
            urgent: true,
            active: true,
            refreshed_at: Some(now),
            next_check_at: old.last_checked_at.map_or(now, rested),
            version: old.version.saturating_add(1),
            updated_at: old.updated_at.max(now),
            ..old.clone()
        };
        let change = Change { old, new };
        before_write(&change).await;
        let written = self.write_refreshed(&change, owner).await?;
        Ok(written.then(|| Refresh::Done(Box::new(change))))
    }

    /// Writes a refreshed tracking, unless another change came first.
    async fn write_refreshed(
        &self,
        Change { old, new }: &Change,
        owner: Owner,
    ) -> Result<bool, StoreError> {
        use sea_orm::sea_query::ExprTrait as _;
        let urgent = ActiveModel {
            priority: Set(1),
            payer: Set(owner.payer.slot()),
            active: Set(true),
            refreshed_at: Set(new.refreshed_at.map(Stamp)),
            next_check_at: Set(Stamp(new.next_check_at)),
            version: Set(new.version),
            updated_at: Set(Stamp(new.updated_at)),
            ..ActiveModel::default()
        };
        let written = Entity::update_many()
            .set(urgent)
            .filter(Column::Id.eq(old.id))
            .filter(Column::Version.eq(old.version))
            .filter(Expr::col("owners_version").eq(owner.owners_version))
            .exec(&self.writer)
            .await?;
        Ok(written.rows_affected == 1)
    }
}

impl Store {
    /// Selects by id in the order of the ids, with `lock` at the end. Old ids lead to the trackings that live on, in the
    /// same statement, so that all are locked in one order.
    pub(super) fn by_ids_sql(&self, ids: &[i64], lock: &str) -> Sql {
        let set = self.set(ids).column("row_id", |id| *id);
        self.sql(format!(
            "SELECT {} FROM trackings WHERE id IN (SELECT COALESCE(a.tracking_id, u.row_id) FROM {} \
             LEFT JOIN tracking_aliases AS a ON a.old_id = u.row_id) ORDER BY id {lock}",
            columns::<Entity>(""),
            set.from()
        ))
        .bind_set(set)
    }

    /// The trackings with an id above `after`, by id, at most `limit`.
    pub async fn trackings_after(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Tracking>, StoreError> {
        let trackings = Entity::find()
            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(u64::from(limit));
        self.find(trackings).await
    }

    /// How many trackings have each status.
    pub async fn status_counts(&self) -> Result<BTreeMap<Status, u64>, StoreError> {
        let counts = Entity::find()
            .select_only()
            .column(Column::Status)
            .column_as(Column::Id.count(), "count")
            .group_by(Column::Status)
            .limit(100);
        let rows: Vec<(String, i64)> = counts.into_tuple().all(&self.reader).await?;
        let mut counts = BTreeMap::new();
        for (status, count) in rows {
            let status = Status::parse(&status).unwrap_or(Status::Unknown);
            *counts.entry(status).or_default() += count.unsigned_abs();
        }
        Ok(counts)
    }

    /// How many trackings each carrier has, by code, at most 10,000 codes.
    pub async fn carrier_counts(&self, now: Time) -> Result<Vec<CarrierCount>, StoreError> {
        use sea_orm::sea_query::ExprTrait as _;
        let one_if = |condition: Expr| Expr::case(condition, 1).finally(0);
        let counts = Entity::find()
            .select_only()
            .column(Column::CarrierCode)
            .column_as(Column::Id.count(), "active")
            .column_as(
                Expr::expr(one_if(Column::NextCheckAt.lte(Stamp(now)))).sum(),
                "due",
            )
            .column_as(
                Expr::expr(one_if(Column::CheckFailCount.gt(0))).sum(),
                "failing",
            )
            .filter(Column::Active.eq(true))
            .group_by(Column::CarrierCode)
            .order_by_asc(Column::CarrierCode)
            .limit(CARRIERS_MAX);
        Ok(counts.into_model().all(&self.reader).await?)
    }

    /// What is to be known of each carrier's active trackings, by code, at most 10,000 codes. Reads all of them: not for
    /// every step.
    pub async fn census(&self) -> Result<Vec<Census>, StoreError> {
        use sea_orm::sea_query::ExprTrait as _;
        let one_if = |condition: Expr| Expr::case(condition, 1).finally(0);
        let answered = Func::coalesce([Expr::col(Column::LastOkAt), Expr::col(Column::CreatedAt)]);
        let waits = Column::LastOkAt.is_null().and(Column::CheckFailCount.eq(0));
        let counts = Entity::find()
            .select_only()
            .column(Column::CarrierCode)
            .column_as(Column::Id.count(), "active")
            .column_as(
                Expr::expr(one_if(Column::CheckFailCount.gt(0))).sum(),
                "failing",
            )
            .column_as(Expr::expr(one_if(waits)).sum(), "unanswered")
            .column_as(Expr::expr(answered).min(), "unanswered_since")
            .filter(Column::Active.eq(true))
            .group_by(Column::CarrierCode)
            .order_by_asc(Column::CarrierCode)
            .limit(CARRIERS_MAX);
        let found = self.reader.query_all(&counts.into_query()).await?;
        Ok(self.rows.readable(&found))
    }
}

/// A status that a newer program wrote reads as unknown.
impl Readable for Tracking {
    const TABLE: &'static str = TABLE;

    fn read(row: &QueryResult) -> Result<Self, rows::Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        let facts = facts::read(&row);
        let carrier_code = CarrierCode::parse(row.carrier_code)
            .map_err(|error| rows::Unreadable::new("carrier_code", error))?;
        let track_number = TrackNumber::parse(row.track_number)
            .map_err(|error| rows::Unreadable::new("track_number", error))?;
        let extras = Extras::read(&row.extras, row.extra_turn)
            .map_err(|error| rows::Unreadable::new("extras", error))?;
        Ok(Self {
            id: row.id,
            carrier_code,
            track_number,
            status: Status::parse(&row.status).unwrap_or(Status::Unknown),
            sub_status: row.sub_status.and_then(|word| SubStatus::parse(&word)),
            direction: Direction::parse(&row.direction).unwrap_or(Direction::Forward),
            status_raw: row.status_raw,
            status_at: row.status_at.map(|at| at.0),
            heard: Heard::from_rank(row.heard),
            status_checked_at: row.status_checked_at.map(|at| at.0),
            status_check_id: row.status_check_id.map(|id| id.0),
            last_event_code: row.last_event_code,
            last_event_at: row.last_event_at.map(|at| at.0),
            last_ok_at: row.last_ok_at.map(|at| at.0),
            last_checked_at: row.last_checked_at.map(|at| at.0),
            last_check_id: row.last_check_id.map(|id| id.0),
            next_check_at: row.next_check_at.0,
            check_fail_count: row.check_fail_count.unsigned_abs(),
            last_error: row.last_error,
            urgent: row.priority > 0,
            refreshed_at: row.refreshed_at.map(|at| at.0),
            active: row.active,
            lease_until: row.lease_until.map(|at| at.0),
            lease_id: row.lease_id.map(|id| id.0),
            journey: row.journey,
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
            unreadable: Unreadable {
                count: row.unreadable_events.unsigned_abs(),
                example: row.unreadable_example,
            },
            stage: Status::parse(match row.stage.as_str() {
                "" => &row.status,
                stage => stage,
            })
            .unwrap_or(Status::Unknown),
            first_event_at: row.first_event_at.map(|at| at.0),
            looks_again: row.looks_again,
            hinted_at: row.hinted_at.map(|at| at.0),
            facts,
            change_seq: row.change_seq,
            changed_at: row.changed_at.map(|at| at.0),
            extras,
            wanted: row.wanted,
            owners: row.owners,
        })
    }
}
