//! What all workers did for each account, minute by minute for a day, and what failed, hour by hour for a week.
//!
//! Workers add to the same rows. Sums are made here rather than in SQL, so that a count that cannot be right stays small.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};

use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _,
};

use crate::clock::{Time, hour_of, minute_of};
use crate::store::Store;
use crate::store::entity::{call_error, call_minute};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable};

/// How long counts of minutes and of errors are kept.
const MINUTES_KEPT: i64 = 24 * 60;
const HOURS_KEPT: i64 = 7 * 24;

/// The most accounts whose counts of a minute are read.
const ACCOUNTS_MAX: u64 = 10_000;

/// The most errors of an account that are shown: a few kinds an hour.
const ERRORS_MAX: u64 = 1_000;

/// More than workers can do in a minute. A larger count was never counted.
const COUNT_MAX: i64 = 1_000_000_000;

/// What workers did for an account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallCounts {
    /// Calls made.
    pub calls: i64,
    /// Numbers asked about in them.
    pub numbers: i64,
    /// Parcels claimed that had an answer before and were not refreshed.
    pub claimed: i64,
    /// By how many hours these were overdue together; early ones count negative.
    pub late: f64,
    /// Parcels claimed that never had an answer.
    pub first: i64,
    /// Numbers that calls had room for and no parcel filled.
    pub idle: i64,
}

impl AddAssign for CallCounts {
    fn add_assign(&mut self, more: Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.numbers = self.numbers.saturating_add(more.numbers);
        self.claimed = self.claimed.saturating_add(more.claimed);
        self.late += more.late;
        self.first = self.first.saturating_add(more.first);
        self.idle = self.idle.saturating_add(more.idle);
    }
}

/// One kind of failure in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallErrors {
    pub kind: String,
    pub count: i64,
    /// What was said the last time.
    pub words: String,
    pub last_at: Time,
}

/// An account and a minute (since 1970 UTC), and what was done.
pub type MinuteOf = ((i64, String), CallCounts);

/// An account and an hour (since 1970 UTC), and what failed.
pub type HourOf = ((i64, String), CallErrors);

impl Store {
    /// Adds to the counts of minutes.
    pub async fn add_calls(&self, minutes: &[MinuteOf]) -> Result<(), StoreError> {
        if minutes.is_empty() {
            return Ok(());
        }
        let set = self
            .set(minutes)
            .column("minute", |((minute, _), _)| *minute)
            .column("budget", |((_, account), _)| account.clone())
            .column("calls", |(_, counts)| counts.calls)
            .column("numbers", |(_, counts)| counts.numbers)
            .column("claimed", |(_, counts)| counts.claimed)
            .column("late", |(_, counts)| counts.late)
            .column("first", |(_, counts)| counts.first)
            .column("idle", |(_, counts)| counts.idle);
        let added = ["calls", "numbers", "claimed", "late", "first", "idle"]
            .map(|name| format!("{name} = call_minutes.{name} + excluded.{name}"));
        let sql = format!(
            "{} ON CONFLICT (minute, budget) DO UPDATE SET {}",
            set.insert_into("call_minutes"),
            added.join(", ")
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Adds to the counts of errors.
    pub async fn add_errors(&self, errors: &[HourOf]) -> Result<(), StoreError> {
        if errors.is_empty() {
            return Ok(());
        }
        let set = self
            .set(errors)
            .column("hour", |((hour, _), _)| *hour)
            .column("budget", |((_, account), _)| account.clone())
            .column("kind", |(_, errors)| errors.kind.clone())
            .column("count", |(_, errors)| errors.count)
            .column("words", |(_, errors)| errors.words.clone())
            .column("last_at", |(_, errors)| errors.last_at);
        let sql = format!(
            "{} ON CONFLICT (hour, budget, kind) DO UPDATE SET count = call_errors.count + excluded.count, \
             words = excluded.words, last_at = excluded.last_at",
            set.insert_into("call_errors")
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// What was done for an account in each of these minutes in which something was.
    pub async fn calls_by_minute(
        &self,
        account: &str,
        minutes: Range<i64>,
    ) -> Result<BTreeMap<i64, CallCounts>, StoreError> {
        use call_minute::{Column, Entity};
        let found = Entity::find()
            .filter(Column::Minute.gte(minutes.start))
            .filter(Column::Minute.lt(minutes.end))
            .filter(Column::Account.eq(account))
            .limit(MINUTES_KEPT.unsigned_abs() + 1);
        let found = self.reader.query_all(&found.into_query()).await?;
        let counted: Vec<MinuteOf> = self.rows.readable(&found);
        Ok(counted
            .into_iter()
            .map(|((minute, _), counts)| (minute, counts))
            .collect())
    }

    /// The calls that each account made in a minute.
    pub async fn calls_of_minute(&self, minute: i64) -> Result<BTreeMap<String, i64>, StoreError> {
        use call_minute::{Column, Entity};
        let found = Entity::find()
            .filter(Column::Minute.eq(minute))
            .limit(ACCOUNTS_MAX);
        let found = self.reader.query_all(&found.into_query()).await?;
        let counted: Vec<MinuteOf> = self.rows.readable(&found);
        Ok(counted
            .into_iter()
            .map(|((_, account), counts)| (account, counts.calls))
            .collect())
    }

    /// An account's errors, the latest hour first.
    pub async fn errors_by_hour(&self, account: &str) -> Result<Vec<HourOf>, StoreError> {
        use call_error::{Column, Entity};
        let found = Entity::find()
            .filter(Column::Account.eq(account))
            .order_by_desc(Column::Hour)
            .order_by_asc(Column::Kind)
            .limit(ERRORS_MAX);
        let found = self.reader.query_all(&found.into_query()).await?;
        Ok(self.rows.readable(&found))
    }

    /// Deletes the counts that are too old.
    pub async fn forget_counts(&self, now: Time) -> Result<(), StoreError> {
        call_minute::Entity::delete_many()
            .filter(call_minute::Column::Minute.lt(minute_of(now) - MINUTES_KEPT))
            .exec(&self.writer)
            .await?;
        call_error::Entity::delete_many()
            .filter(call_error::Column::Hour.lt(hour_of(now) - HOURS_KEPT))
            .exec(&self.writer)
            .await?;
        Ok(())
    }
}

impl Readable for MinuteOf {
    const TABLE: &'static str = "call_minutes";
    const KEY: &'static str = "minute";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = call_minute::Model::from_query_result_nullable(row, "")?;
        if !row.late.is_finite() {
            return Err(Unreadable::new("late", "it is not a number"));
        }
        let count = |count: i64| count.clamp(0, COUNT_MAX);
        let counts = CallCounts {
            calls: count(row.calls),
            numbers: count(row.numbers),
            claimed: count(row.claimed),
            late: row.late,
            first: count(row.first),
            idle: count(row.idle),
        };
        Ok(((row.minute, row.account), counts))
    }
}

impl Readable for HourOf {
    const TABLE: &'static str = "call_errors";
    const KEY: &'static str = "hour";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = call_error::Model::from_query_result_nullable(row, "")?;
        let errors = CallErrors {
            kind: row.kind,
            count: row.count.clamp(0, COUNT_MAX),
            words: row.words,
            last_at: row.last_at.0,
        };
        Ok(((row.hour, row.account), errors))
    }
}
