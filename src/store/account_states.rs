//! What all workers share of an account at a carrier: its pause, its failures in a row, its calls of the day.
//!
//! In the database rather than in the cache, so that an emptied cache forgets no pause and no call.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, Set,
};

use crate::clock::{Time, day_of, minute_of};
use crate::plan::quota::refill;
use crate::store::column::Stamp;
use crate::store::entity::account_state::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, read};
use crate::store::{Store, nothing_returned};

/// The most accounts read at once; more than a configuration has.
const ACCOUNTS_MAX: u64 = 10_000;

/// The state of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountState {
    /// The account's name in the configuration.
    pub account: String,
    pub paused_until: Option<Time>,
    pub pause_reason: String,
    /// Calls in a row that failed for all their numbers.
    pub fails: u32,
    /// The calendar day (UTC, days since 1970) that `day_used` counts the calls of.
    pub day: i64,
    pub day_used: i64,
    /// The content at `tokens_at` of the bucket that a paced day's calls drip into.
    pub tokens: f64,
    pub tokens_at: Option<Time>,
    /// The minute (since 1970 UTC) that `minute_calls` counts; `before_calls` counts the minute before it.
    pub minute: i64,
    pub minute_calls: i64,
    pub before_calls: i64,
}

impl AccountState {
    /// How many of the `per_day` calls are left; with `pace`, the calls a minute, how many of them the bucket holds by now.
    pub fn left(&self, per_day: u32, pace: Option<f64>, now: Time) -> i64 {
        let used = if self.day >= day_of(now) {
            self.day_used
        } else {
            0
        };
        let left = (i64::from(per_day) - used).max(0);
        pace.map_or(left, |pace| self.bucket(pace, left, now).floor() as i64)
    }

    fn bucket(&self, per_minute: f64, left: i64, now: Time) -> f64 {
        let since = self
            .tokens_at
            .map_or(60_000, |at| (now - at).num_milliseconds());
        let minutes = since.max(0) as f64 / 60_000.0;
        refill(self.tokens, minutes, per_minute, left as f64)
    }

    /// Calls of the last whole minute.
    pub fn calls_of_last_minute(&self, now: Time) -> i64 {
        match minute_of(now) - self.minute {
            0 => self.before_calls,
            1 => self.minute_calls,
            _ => 0,
        }
    }
}

impl Store {
    /// The state of every account that has one.
    pub async fn account_states(&self) -> Result<Vec<AccountState>, StoreError> {
        let states = Entity::find()
            .order_by_asc(Column::Account)
            .limit(ACCOUNTS_MAX)
            .into_query();
        let found = self.reader.query_all(&states).await?;
        Ok(self.rows.readable(&found))
    }

    /// Pauses an account for all workers until `until`; a pause that ends later stays.
    pub async fn pause(
        &self,
        account: &str,
        until: Time,
        reason: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        use sea_orm::sea_query::ExprTrait as _;
        let stored = Expr::col((Entity, Column::PausedUntil));
        let ours = Expr::col(("excluded", Column::PausedUntil));
        let paused = ActiveModel {
            account: Set(account.to_owned()),
            paused_until: Set(Some(Stamp(until))),
            pause_reason: Set(reason.to_owned()),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        Entity::insert(paused)
            .on_conflict(
                OnConflict::column(Column::Account)
                    .update_columns([Column::PausedUntil, Column::PauseReason, Column::UpdatedAt])
                    .action_and_where(stored.clone().is_null().or(stored.lt(ours)))
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await?;
        Ok(())
    }

    /// Sets how many calls of the account have failed in a row.
    pub async fn set_fails(&self, account: &str, fails: u32, now: Time) -> Result<(), StoreError> {
        let failing = ActiveModel {
            account: Set(account.to_owned()),
            fails: Set(i32::try_from(fails).unwrap_or(i32::MAX)),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        Entity::insert(failing)
            .on_conflict(
                OnConflict::column(Column::Account)
                    .update_columns([Column::Fails, Column::UpdatedAt])
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await?;
        Ok(())
    }

    /// Takes up to `calls` of the account's `per_day` calls of the day of `now`; returns how many it got. With `pace`, the
    /// calls a minute that the hour gives, no more than have dripped into the bucket.
    ///
    /// Calls that are taken count as used, even if the worker dies before it makes them.
    pub async fn take_day(
        &self,
        account: &str,
        calls: u32,
        per_day: u32,
        pace: Option<f64>,
        now: Time,
    ) -> Result<u32, StoreError> {
        let transaction = self.begin().await?;
        let day = day_of(now);
        let first = ActiveModel {
            account: Set(account.to_owned()),
            day: Set(day),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        Entity::insert(first)
            .on_conflict(OnConflict::column(Column::Account).do_nothing().to_owned())
            .exec_without_returning(&transaction)
            .await?;
        let locked = Entity::find_by_id(account).lock_exclusive().into_query();
        let row = transaction.query_one(&locked).await?;
        let state: AccountState = read(&row.ok_or_else(nothing_returned)?)?;
        // A worker whose clock is still in the old day must not move the counter back to that day.
        let used = if state.day >= day { state.day_used } else { 0 };
        let taken = state.left(per_day, pace, now).clamp(0, i64::from(calls));
        let left = (i64::from(per_day) - used).max(0);
        let tokens = pace.map_or(0.0, |pace| state.bucket(pace, left, now) - taken as f64);
        let now = Stamp(state.tokens_at.map_or(now, |at| at.max(now)));
        let used = ActiveModel {
            day: Set(state.day.max(day)),
            day_used: Set(used + taken),
            tokens: Set(tokens),
            tokens_at: Set(Some(now)),
            updated_at: Set(now),
            ..ActiveModel::default()
        };
        Entity::update_many()
            .set(used)
            .filter(Column::Account.eq(account))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(u32::try_from(taken).unwrap_or(0))
    }

    /// Returns calls of the day that were taken and not made.
    pub async fn give_back_day(
        &self,
        account: &str,
        calls: u32,
        now: Time,
    ) -> Result<(), StoreError> {
        use sea_orm::sea_query::ExprTrait as _;
        let calls = i64::from(calls);
        let used = Expr::case(
            Column::DayUsed.gt(calls),
            Expr::col(Column::DayUsed).sub(calls),
        );
        Entity::update_many()
            .col_expr(Column::DayUsed, used.finally(0).into())
            .col_expr(Column::Tokens, Expr::col(Column::Tokens).add(calls as f64))
            .filter(Column::Account.eq(account))
            .filter(Column::Day.eq(day_of(now)))
            .exec(&self.writer)
            .await?;
        Ok(())
    }

    /// Counts calls that were made in a minute (since 1970 UTC).
    pub async fn count_calls(
        &self,
        account: &str,
        calls: u32,
        minute: i64,
        now: Time,
    ) -> Result<(), StoreError> {
        // By hand: three CASEs over the old and the new row, which the builder takes fifty lines for. A report of the
        // minute before the current one counts there; an older report counts nowhere.
        let sql = self
            .sql(
                "INSERT INTO carrier_state (budget, minute, minute_calls, updated_at) \
                 VALUES (:account, :minute, :calls, :now) ON CONFLICT (budget) DO UPDATE SET \
                 before_calls = CASE excluded.minute - carrier_state.minute WHEN 0 THEN carrier_state.before_calls \
                 WHEN -1 THEN carrier_state.before_calls + excluded.minute_calls \
                 WHEN 1 THEN carrier_state.minute_calls ELSE 0 END, \
                 minute_calls = CASE WHEN excluded.minute > carrier_state.minute THEN excluded.minute_calls \
                 WHEN excluded.minute = carrier_state.minute THEN carrier_state.minute_calls + excluded.minute_calls \
                 ELSE carrier_state.minute_calls END, \
                 minute = CASE WHEN excluded.minute > carrier_state.minute THEN excluded.minute \
                 ELSE carrier_state.minute END WHERE excluded.minute >= carrier_state.minute - 1",
            )
            .bind("account", account)
            .bind("minute", minute)
            .bind("calls", i64::from(calls))
            .bind("now", now);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

impl Readable for AccountState {
    const TABLE: &'static str = "carrier_state";
    const KEY: &'static str = "budget";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            account: row.account,
            paused_until: row.paused_until.map(|at| at.0),
            pause_reason: row.pause_reason,
            fails: row.fails.unsigned_abs(),
            day: row.day,
            day_used: row.day_used,
            tokens: row.tokens,
            tokens_at: row.tokens_at.map(|at| at.0),
            minute: row.minute,
            minute_calls: row.minute_calls,
            before_calls: row.before_calls,
        })
    }
}
