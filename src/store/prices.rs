//! The price of a call at each account, and who adjusts it: one worker at a time, under a lease.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::clock::Time;
use crate::plan::price::Price;
use crate::plan::quota::Shares;
use crate::store::sql::{Row, Sql};
use crate::store::{Store, StoreError};

/// The most accounts read at once; more than a configuration has.
const ACCOUNTS_MAX: i64 = 10_000;

/// What all workers know of an account's calls.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPlan {
    /// The account's name in the configuration.
    pub budget: String,
    pub price: Price,
    /// How the day's calls are spread, and for which day (UTC, days since 1970) this was said.
    pub shares: Shares,
    pub shares_day: i64,
    /// Parcels that are checked, and when they were counted.
    pub parcels: i64,
    pub counted_at: Time,
    pub adjusted_at: Time,
    /// When what was learned was fitted last.
    pub refitted_at: Time,
}

const COLUMNS: &str = "budget, whole, by_hour, by_day, round, shares, shares_day, parcels, counted_at, adjusted_at, refitted_at";

impl Store {
    /// What is known of an account; `None` before a worker has led it.
    pub async fn pricing(&self, budget: &str) -> Result<Option<AccountPlan>, StoreError> {
        let sql = self
            .sql(format!("SELECT {COLUMNS} FROM prices WHERE budget = $1"))
            .bind(budget);
        let found = self.reader.query_one_raw(sql.statement()).await?;
        found
            .map(|row| read(&Row::new(&row, self.dialect, "prices")))
            .transpose()
    }

    /// Makes `member` the one who adjusts an account's price until `now + lease`, unless another one is; answers what is
    /// known of the account where it is the one. `start` is what an account without a price begins with.
    pub async fn lead(
        &self,
        start: &AccountPlan,
        member: Uuid,
        now: Time,
        lease: TimeDelta,
    ) -> Result<Option<AccountPlan>, StoreError> {
        let sql = format!(
            "INSERT INTO prices ({COLUMNS}, owner, lease_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
             ON CONFLICT (budget) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until \
             WHERE prices.owner = excluded.owner OR prices.lease_until < $14 RETURNING {COLUMNS}"
        );
        let sql = bind(self.sql(sql), start)
            .bind_uuid(member)
            .bind_time(now + lease)
            .bind_time(now);
        let found = self.writer.query_one_raw(sql.statement()).await?;
        found
            .map(|row| read(&Row::new(&row, self.dialect, "prices")))
            .transpose()
    }

    /// Writes what the one who adjusts has found; nothing where it is somebody else by now.
    ///
    /// Where `refit` says since when nothing was forgotten of which sections, what their memories lose by
    /// `pricing.refitted_at` is taken off in the same transaction: once, however many workers there are.
    pub async fn set_pricing(
        &self,
        pricing: &AccountPlan,
        member: Uuid,
        refit: Option<(Time, &[String])>,
    ) -> Result<bool, StoreError> {
        let transaction = self.begin().await?;
        let sql = self.sql(
            "UPDATE prices SET whole = $2, by_hour = $3, by_day = $4, round = $5, shares = $6, shares_day = $7, \
             parcels = $8, counted_at = $9, adjusted_at = $10, refitted_at = $11 WHERE budget = $1 AND owner = $12",
        );
        let sql = bind(sql, pricing).bind_uuid(member);
        let written = transaction.execute_raw(sql.statement()).await?;
        if written.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some((before, sections)) = refit {
            let hours = (pricing.refitted_at - before).num_seconds() as f64 / 3_600.0;
            self.forget(&transaction, sections, hours).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends the lease of `member` on every account, so that the next one need not wait.
    pub async fn stop_leading(&self, member: Uuid, now: Time) -> Result<(), StoreError> {
        let sql = self
            .sql("UPDATE prices SET lease_until = $2 WHERE owner = $1 AND lease_until > $2")
            .bind_uuid(member)
            .bind_time(now - TimeDelta::seconds(1));
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// How many active trackings each carrier has, by code, at most 10,000 codes. Goes over all of them: for now and then.
    pub async fn active_counts(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = self
            .sql(
                "SELECT carrier_code, COUNT(*) AS active FROM trackings WHERE active GROUP BY carrier_code \
                 ORDER BY carrier_code LIMIT $1",
            )
            .bind(ACCOUNTS_MAX);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        found
            .iter()
            .map(|row| {
                let row = Row::new(row, self.dialect, "trackings");
                Ok((row.get("carrier_code")?, row.get("active")?))
            })
            .collect()
    }
}

/// Adds all of it as parameters, in the order of [`COLUMNS`].
fn bind(sql: Sql, pricing: &AccountPlan) -> Sql {
    sql.bind(pricing.budget.as_str())
        .bind(pricing.price.whole)
        .bind(list(&pricing.price.by_hour))
        .bind(list(&pricing.price.by_day))
        .bind(pricing.price.round)
        .bind(list(&pricing.shares.0))
        .bind(pricing.shares_day)
        .bind(pricing.parcels)
        .bind_time(pricing.counted_at)
        .bind_time(pricing.adjusted_at)
        .bind_time(pricing.refitted_at)
}

fn list(numbers: &[f64]) -> String {
    serde_json::json!(numbers).to_string()
}

fn read(row: &Row) -> Result<AccountPlan, StoreError> {
    Ok(AccountPlan {
        budget: row.get("budget")?,
        price: Price {
            whole: positive(row, "whole")?,
            by_hour: numbers(row, "by_hour")?,
            by_day: numbers(row, "by_day")?,
            round: positive(row, "round")?,
        },
        shares: Shares(numbers(row, "shares")?),
        shares_day: row.get("shares_day")?,
        parcels: row.get("parcels")?,
        counted_at: row.time("counted_at")?,
        adjusted_at: row.time("adjusted_at")?,
        refitted_at: row.time("refitted_at")?,
    })
}

fn positive(row: &Row, column: &str) -> Result<f64, StoreError> {
    let number: f64 = row.get(column)?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err(row.corrupt(column, format!("{number} is not more than 0")))
    }
}

/// So many numbers of at least 0.
fn numbers<const N: usize>(row: &Row, column: &str) -> Result<[f64; N], StoreError> {
    let text: String = row.get(column)?;
    let numbers: Vec<f64> =
        serde_json::from_str(&text).map_err(|error| row.corrupt(column, error.to_string()))?;
    let numbers: [f64; N] = numbers
        .try_into()
        .map_err(|_| row.corrupt(column, format!("not {N} numbers")))?;
    if numbers.iter().all(|number| *number >= 0.0) {
        Ok(numbers)
    } else {
        Err(row.corrupt(column, "a number below 0".to_owned()))
    }
}
