//! Next checks that are brought forward, because the settings that they follow from have changed.

use chrono::TimeDelta;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QueryResult, QuerySelect as _, QueryTrait as _,
};

use crate::clock::Time;
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::entity::tracking::{Column, Entity};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// A tracking, and its last answer.
struct Answered {
    id: i64,
    at: Time,
}

impl Readable for Answered {
    const TABLE: &'static str = "trackings";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            id: get(row, "id")?,
            at: get::<Stamp>(row, "last_ok_at")?.0,
        })
    }
}

impl Store {
    /// Brings the next checks of a carrier that lie more than `longest` ahead to `longest` after the last answer, those of
    /// `limit` trackings at most. Answers how many it moved: fewer than `limit` if none is left.
    ///
    /// Trackings that fail keep their back-off.
    pub async fn pull_in(
        &self,
        carrier: &str,
        longest: TimeDelta,
        now: Time,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let ahead = Entity::find()
            .select_only()
            .columns([Column::Id, Column::LastOkAt])
            .filter(Column::CarrierCode.eq(carrier))
            .filter(Column::Active.eq(true))
            .filter(Column::Priority.eq(0))
            .filter(Column::NextCheckAt.gt(Stamp(now + longest)))
            .filter(Column::CheckFailCount.eq(0))
            .filter(Column::LastOkAt.is_not_null())
            .order_by_asc(Column::NextCheckAt)
            .limit(u64::from(limit));
        let found = self.writer.query_all(&ahead.into_query()).await?;
        let mut answered: Vec<Answered> = self.rows.readable(&found);
        // By id, as everywhere, so that two transactions cannot deadlock.
        answered.sort_unstable_by_key(|it| it.id);
        if answered.is_empty() {
            return Ok(0);
        }
        let set = self
            .set(&answered)
            .column("row_id", |it| it.id)
            .column("answered_at", |it| it.at)
            .column("due_at", |it| it.at + longest);
        // An answer that came meanwhile has set a time of its own.
        let sql = format!(
            "UPDATE trackings SET next_check_at = u.due_at FROM {} WHERE trackings.id = u.row_id \
             AND trackings.last_ok_at = u.answered_at AND trackings.next_check_at > u.due_at",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let moved = self.writer.execute_raw(sql.statement()).await?;
        Ok(moved.rows_affected())
    }
}
