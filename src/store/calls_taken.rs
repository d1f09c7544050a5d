//! The calls that were taken of accounts with a limit by day or month, by the quarter of an hour.
//!
//! Every such limit is counted from these, so a change of limits or of a time zone forgets no call. The row of
//! `carrier_state` is locked first: one worker at a time takes calls of an account. Its columns `day` and `day_used` count
//! the calls of the day (UTC) once more, for workers of the version before, which know no other limit.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryResult,
    QuerySelect as _, QueryTrait as _, Set,
};

use crate::clock::{Time, at_quarter, day_of, hours, not_ahead, quarter_of};
use crate::model::limits::Limits;
use crate::model::quota::{Period, Quota};
use crate::plan::pace::per_minute;
use crate::plan::quota::{Shares, refill};
use crate::store::column::Stamp;
use crate::store::entity::account_state::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::{Store, nothing_returned};

/// The quarters of a day.
const DAY: i64 = 96;

/// How long calls are kept, in quarters: longer than a month.
const KEPT: i64 = 32 * DAY;

/// Calls that were taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallsTaken {
    pub calls: u32,
    /// The quarter that they count for.
    pub quarter: i64,
    /// When it is worth asking for more.
    pub next: Time,
}

/// What an account's row says of its calls.
struct Bucket {
    day: i64,
    day_used: i64,
    /// The content at `filled_at` of the bucket that paced calls drip into.
    tokens: f64,
    filled_at: Time,
}

impl Store {
    /// Takes up to `calls` calls within the account's limits by day and month.
    ///
    /// Those of a day or month are spread over what is left of it by `shares`, unless the account's other limits are
    /// stricter. Calls that are taken count as used, even if the worker dies before it makes them.
    pub async fn take_calls(
        &self,
        account: &str,
        calls: u32,
        limits: &Limits,
        shares: &Shares,
        now: Time,
    ) -> Result<CallsTaken, StoreError> {
        let transaction = self.begin().await?;
        let bucket = lock(&transaction, account, now).await?;
        // A worker whose clock is behind must not count into a day that is over for the others.
        let newest = self.newest_quarter(&transaction, account, now).await?;
        let at = newest.map_or(now, |newest| now.max(at_quarter(newest)));
        let most = limits.calls_per_hour_of_windows();
        let most = most.unwrap_or(f64::INFINITY);
        let (mut left, mut pace, mut next) = (i64::MAX, None, now);
        for quota in &limits.quotas {
            let stretch = quota.stretch(at);
            let used = self.used(&transaction, account, quota, at).await?;
            let unused = i64::from(quota.calls) - used.max(bucket.used(quota, at));
            if unused <= 0 {
                next = next.max(stretch.ends);
            }
            left = left.min(unused.max(0));
            let rate = per_minute(unused as f64, hours(at), hours(stretch.ends), shares, most);
            pace = rate.map_or(pace, |rate: f64| {
                Some(pace.map_or(rate, |pace: f64| pace.min(rate)))
            });
        }
        let tokens = pace.map(|pace| bucket.filled(pace, left, now));
        let allowed = tokens.map_or(left, |tokens| tokens.floor() as i64);
        let taken = allowed.clamp(0, i64::from(calls));
        let tokens = tokens.unwrap_or_default() - taken as f64;
        if let Some(pace) = pace.filter(|_| left > 0 && taken < i64::from(calls)) {
            let secs = (1.0 - tokens.fract()) * 60.0 / pace;
            next = next.max(now + wait(secs));
        }
        let quarter = quarter_of(at);
        if taken > 0 {
            self.add(&transaction, account, quarter, taken, newest)
                .await?;
        }
        let day = bucket.day.max(day_of(now));
        let used = if bucket.day == day {
            bucket.day_used
        } else {
            0
        };
        let used = ActiveModel {
            day: Set(day),
            day_used: Set(used.saturating_add(taken)),
            tokens: Set(tokens),
            tokens_at: Set(Some(Stamp(now))),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        Entity::update_many()
            .set(used)
            .filter(Column::Account.eq(account))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(CallsTaken {
            calls: u32::try_from(taken).unwrap_or(0),
            quarter,
            next,
        })
    }

    /// Returns calls that were taken in `quarter` and not made.
    pub async fn give_back_calls(
        &self,
        account: &str,
        calls: u32,
        quarter: i64,
    ) -> Result<(), StoreError> {
        let statements = [
            "UPDATE calls_taken SET calls = CASE WHEN calls > :calls THEN calls - :calls ELSE 0 END \
             WHERE budget = :account AND quarter = :quarter",
            "UPDATE carrier_state SET tokens = tokens + :calls, day_used = CASE WHEN day <> :day THEN day_used \
             WHEN day_used > :calls THEN day_used - :calls ELSE 0 END WHERE budget = :account",
        ];
        for text in statements {
            let sql = self
                .sql(text)
                .bind("account", account)
                .bind("calls", i64::from(calls))
                .bind("quarter", quarter)
                .bind("day", quarter.div_euclid(DAY));
            self.writer.execute_raw(sql.statement()).await?;
        }
        Ok(())
    }

    /// How many calls of each of `quotas` are used.
    pub async fn calls_used(
        &self,
        account: &str,
        quotas: &[Quota],
        now: Time,
    ) -> Result<Vec<i64>, StoreError> {
        let mut used = Vec::with_capacity(quotas.len());
        for quota in quotas {
            used.push(self.used(&self.reader, account, quota, now).await?);
        }
        Ok(used)
    }

    /// The calls of the quota's day or month at the time `at`. Calls further ahead than a clock can be are not counted.
    async fn used(
        &self,
        database: &impl ConnectionTrait,
        account: &str,
        quota: &Quota,
        at: Time,
    ) -> Result<i64, StoreError> {
        let sql = self
            .sql(
                "SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT) AS used FROM calls_taken \
                 WHERE budget = :account AND quarter BETWEEN :first AND :last",
            )
            .bind("account", account)
            .bind("first", quarter_of(quota.stretch(at).began))
            .bind("last", quarter_of(at) + DAY);
        let row = database.query_one_raw(sql.statement()).await?;
        Ok(row.ok_or_else(nothing_returned)?.try_get("", "used")?)
    }

    async fn newest_quarter(
        &self,
        transaction: &Transaction,
        account: &str,
        now: Time,
    ) -> Result<Option<i64>, StoreError> {
        let sql = self
            .sql("SELECT MAX(quarter) AS newest FROM calls_taken WHERE budget = :account AND quarter <= :last")
            .bind("account", account)
            .bind("last", quarter_of(now) + DAY);
        let row = transaction.query_one_raw(sql.statement()).await?;
        Ok(row.ok_or_else(nothing_returned)?.try_get("", "newest")?)
    }

    /// Adds calls to a quarter. A new one ends the oldest.
    async fn add(
        &self,
        transaction: &Transaction,
        account: &str,
        quarter: i64,
        calls: i64,
        newest: Option<i64>,
    ) -> Result<(), StoreError> {
        let mut statements = vec![
            "INSERT INTO calls_taken (budget, quarter, calls) VALUES (:account, :quarter, :calls) \
             ON CONFLICT (budget, quarter) DO UPDATE SET calls = calls_taken.calls + excluded.calls",
        ];
        if newest != Some(quarter) {
            statements
                .push("DELETE FROM calls_taken WHERE budget = :account AND quarter < :oldest");
        }
        for text in statements {
            let sql = self
                .sql(text)
                .bind("account", account)
                .bind("quarter", quarter)
                .bind("calls", calls)
                .bind("oldest", quarter - KEPT);
            transaction.execute_raw(sql.statement()).await?;
        }
        Ok(())
    }
}

/// Locks the account's row, which is made if there is none, and reads it.
async fn lock(transaction: &Transaction, account: &str, now: Time) -> Result<Bucket, StoreError> {
    let first = ActiveModel {
        account: Set(account.to_owned()),
        day: Set(day_of(now)),
        updated_at: Set(Stamp(now)),
        ..ActiveModel::default()
    };
    Entity::insert(first)
        .on_conflict(OnConflict::column(Column::Account).do_nothing().to_owned())
        .exec_without_returning(transaction)
        .await?;
    let locked = Entity::find_by_id(account)
        .select_only()
        .columns([
            Column::Day,
            Column::DayUsed,
            Column::Tokens,
            Column::TokensAt,
        ])
        .lock_exclusive()
        .into_query();
    let row = transaction.query_one(&locked).await?;
    Ok(Bucket::read(&row.ok_or_else(nothing_returned)?, now))
}

impl Bucket {
    /// Reads a row. What it cannot be, it was not: a clock was wrong, or the value is corrupt.
    fn read(row: &QueryResult, now: Time) -> Self {
        let today = day_of(now);
        let tokens_at = row.try_get::<Option<Stamp>>("", "tokens_at");
        let tokens = row.try_get::<f64>("", "tokens").ok();
        let is_new = matches!(tokens_at, Ok(None));
        let filled_at = tokens_at.ok().flatten().map_or(now, |at| at.0.min(now));
        Self {
            day: row
                .try_get("", "day")
                .map_or(today, |day| not_ahead(day, today, 1)),
            day_used: row.try_get("", "day_used").unwrap_or(i64::MAX),
            // The first call of an account need not wait.
            tokens: if is_new {
                1.0
            } else {
                tokens
                    .filter(|tokens| tokens.is_finite())
                    .unwrap_or_default()
            },
            filled_at,
        }
    }

    /// What it holds by now, if calls drip in at this pace and `left` are left.
    fn filled(&self, per_minute: f64, left: i64, now: Time) -> f64 {
        let minutes = (now - self.filled_at).num_milliseconds() as f64 / 60_000.0;
        refill(self.tokens, minutes, per_minute, left as f64)
    }

    /// How many calls of the day workers of the version before took. A count that cannot be is all of them.
    fn used(&self, quota: &Quota, at: Time) -> i64 {
        let all = i64::from(quota.calls);
        let counts = quota.period == Period::Day && quota.zone == chrono_tz::UTC;
        if !counts || self.day < day_of(at) {
            0
        } else if (0..=all).contains(&self.day_used) {
            self.day_used
        } else {
            all
        }
    }
}

/// A wait of this many seconds, at most a day.
fn wait(secs: f64) -> chrono::TimeDelta {
    chrono::TimeDelta::milliseconds((secs.clamp(0.0, 86_400.0) * 1_000.0).ceil() as i64)
}
