//! What all workers share of an account at a carrier: its pause, its failures in a row, its calls of the day.
//!
//! Kept here and not in the cache, so that emptying the cache forgets no pause and no day's calls.

use sea_orm::ConnectionTrait;

use crate::clock::{Time, day_of, minute_of};
use crate::plan::quota::refill;
use crate::store::sql::Row;
use crate::store::{Store, StoreError};

/// The most accounts read at once; more than a configuration has.
const ACCOUNTS_MAX: i64 = 10_000;

/// The state of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct CarrierState {
    /// The account's name in the configuration.
    pub budget: String,
    pub paused_until: Option<Time>,
    pub pause_reason: String,
    /// Calls that failed for all their numbers, in a row.
    pub fails: u32,
    /// The calendar day (UTC, days since 1970) that `day_used` counts the calls of.
    pub day: i64,
    pub day_used: i64,
    /// What is in the bucket that a paced day's calls drip into, and since when.
    pub tokens: f64,
    pub tokens_at: Option<Time>,
    /// The minute (since 1970 UTC) that `minute_calls` counts, and the calls of the minute before it.
    pub minute: i64,
    pub minute_calls: i64,
    pub before_calls: i64,
}

impl CarrierState {
    /// Calls that a day of `per_day` has left, and where they are paced, that its bucket holds by now.
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

/// How many trackings a carrier has in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierCount {
    pub carrier_code: String,
    pub active: i64,
    /// Active, and their time has come.
    pub due: i64,
    /// Active, and their last check failed.
    pub failing: i64,
}

/// The columns of [`CarrierState`].
const COLUMNS: &str = "budget, paused_until, pause_reason, fails, day, day_used, tokens, tokens_at, minute, \
    minute_calls, before_calls";

impl Store {
    /// The state of every account that has one.
    pub async fn carrier_states(&self) -> Result<Vec<CarrierState>, StoreError> {
        let sql = self
            .sql(format!(
                "SELECT {COLUMNS} FROM carrier_state ORDER BY budget LIMIT $1"
            ))
            .bind(ACCOUNTS_MAX);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let mut states = Vec::with_capacity(found.len());
        for row in &found {
            match read(&Row::new(row, self.dialect, "carrier_state")) {
                Ok(state) => states.push(state),
                // Of one account; the others go on.
                Err(error) => {
                    tracing::error!("passed over an unreadable state of an account: {error}")
                }
            }
        }
        Ok(states)
    }

    /// Pauses an account for everyone until `until`; a longer pause that is there already stays.
    pub async fn pause(
        &self,
        budget: &str,
        until: Time,
        reason: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        let sql = self
            .sql(
                "INSERT INTO carrier_state (budget, paused_until, pause_reason, updated_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (budget) DO UPDATE SET paused_until = excluded.paused_until, \
                 pause_reason = excluded.pause_reason, updated_at = excluded.updated_at \
                 WHERE carrier_state.paused_until IS NULL OR carrier_state.paused_until < excluded.paused_until",
            )
            .bind(budget)
            .bind_time(until)
            .bind(reason)
            .bind_time(now);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Sets how many calls of the account have failed in a row.
    pub async fn set_fails(&self, budget: &str, fails: u32, now: Time) -> Result<(), StoreError> {
        let sql = self
            .sql(
                "INSERT INTO carrier_state (budget, fails, updated_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (budget) DO UPDATE SET fails = excluded.fails, updated_at = excluded.updated_at",
            )
            .bind(budget)
            .bind(i32::try_from(fails).unwrap_or(i32::MAX))
            .bind_time(now);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Takes up to `calls` of the account's `per_day` calls of the day of `now`; answers how many it got. With `pace`,
    /// the calls a minute that the hour gives, no more than have dripped into the bucket.
    ///
    /// What was taken counts as used, also where the worker dies before it calls.
    pub async fn take_day(
        &self,
        budget: &str,
        calls: u32,
        per_day: u32,
        pace: Option<f64>,
        now: Time,
    ) -> Result<u32, StoreError> {
        let transaction = self.begin().await?;
        let day = day_of(now);
        let ensure = self
            .sql("INSERT INTO carrier_state (budget, day, updated_at) VALUES ($1, $2, $3) ON CONFLICT (budget) DO NOTHING")
            .bind(budget)
            .bind(day)
            .bind_time(now);
        transaction.execute_raw(ensure.statement()).await?;
        let select = self
            .sql(format!(
                "SELECT {COLUMNS} FROM carrier_state WHERE budget = $1 {}",
                self.dialect.for_update()
            ))
            .bind(budget);
        let row = transaction.query_one_raw(select.statement()).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt {
            table: "carrier_state",
            column: "budget".to_owned(),
            reason: "the row just made is not there".to_owned(),
        })?;
        let state = read(&Row::new(&row, self.dialect, "carrier_state"))?;
        // A worker whose day is over already must not count into the new one from the old: the later day stays.
        let used = if state.day >= day { state.day_used } else { 0 };
        let taken = state.left(per_day, pace, now).clamp(0, i64::from(calls));
        let left = (i64::from(per_day) - used).max(0);
        let tokens = pace.map_or(0.0, |pace| state.bucket(pace, left, now) - taken as f64);
        let update = self
            .sql(
                "UPDATE carrier_state SET day = $2, day_used = $3, tokens = $4, tokens_at = $5, updated_at = $5 \
                 WHERE budget = $1",
            )
            .bind(budget)
            .bind(state.day.max(day))
            .bind(used + taken)
            .bind(tokens)
            .bind_time(state.tokens_at.map_or(now, |at| at.max(now)));
        transaction.execute_raw(update.statement()).await?;
        transaction.commit().await?;
        Ok(u32::try_from(taken).unwrap_or(0))
    }

    /// Gives back calls of the day that were taken and not made.
    pub async fn give_back_day(
        &self,
        budget: &str,
        calls: u32,
        now: Time,
    ) -> Result<(), StoreError> {
        let sql = self
            .sql(
                "UPDATE carrier_state SET day_used = CASE WHEN day_used > $3 THEN day_used - $3 ELSE 0 END, \
                 tokens = tokens + $3 WHERE budget = $1 AND day = $2",
            )
            .bind(budget)
            .bind(day_of(now))
            .bind(i64::from(calls));
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Counts calls that were made in a minute (since 1970 UTC).
    pub async fn count_calls(
        &self,
        budget: &str,
        calls: u32,
        minute: i64,
        now: Time,
    ) -> Result<(), StoreError> {
        let sql = self
            .sql(
                "INSERT INTO carrier_state (budget, minute, minute_calls, updated_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (budget) DO UPDATE SET \
                 before_calls = CASE excluded.minute - carrier_state.minute WHEN 0 THEN carrier_state.before_calls \
                 WHEN -1 THEN carrier_state.before_calls + excluded.minute_calls \
                 WHEN 1 THEN carrier_state.minute_calls ELSE 0 END, \
                 minute_calls = CASE WHEN excluded.minute > carrier_state.minute THEN excluded.minute_calls \
                 WHEN excluded.minute = carrier_state.minute THEN carrier_state.minute_calls + excluded.minute_calls \
                 ELSE carrier_state.minute_calls END, \
                 minute = CASE WHEN excluded.minute > carrier_state.minute THEN excluded.minute \
                 ELSE carrier_state.minute END WHERE excluded.minute >= carrier_state.minute - 1",
            )
            .bind(budget)
            .bind(minute)
            .bind(i64::from(calls))
            .bind_time(now);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// How many trackings each carrier has in hand, by code, at most 10,000 codes.
    pub async fn carrier_counts(&self, now: Time) -> Result<Vec<CarrierCount>, StoreError> {
        let sql = self
            .sql(
                "SELECT carrier_code, COUNT(*) AS active, \
                 SUM(CASE WHEN next_check_at <= $1 THEN 1 ELSE 0 END) AS due, \
                 SUM(CASE WHEN check_fail_count > 0 THEN 1 ELSE 0 END) AS failing \
                 FROM trackings WHERE active GROUP BY carrier_code ORDER BY carrier_code LIMIT $2",
            )
            .bind_time(now)
            .bind(ACCOUNTS_MAX);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        found
            .iter()
            .map(|row| {
                let row = Row::new(row, self.dialect, "trackings");
                Ok(CarrierCount {
                    carrier_code: row.get("carrier_code")?,
                    active: row.get("active")?,
                    due: row.get("due")?,
                    failing: row.get("failing")?,
                })
            })
            .collect()
    }
}

fn read(row: &Row) -> Result<CarrierState, StoreError> {
    Ok(CarrierState {
        budget: row.get("budget")?,
        paused_until: row.opt_time("paused_until")?,
        pause_reason: row.get("pause_reason")?,
        fails: row.get::<i32>("fails")?.unsigned_abs(),
        day: row.get("day")?,
        day_used: row.get("day_used")?,
        tokens: row.get("tokens")?,
        tokens_at: row.opt_time("tokens_at")?,
        minute: row.get("minute")?,
        minute_calls: row.get("minute_calls")?,
        before_calls: row.get("before_calls")?,
    })
}
