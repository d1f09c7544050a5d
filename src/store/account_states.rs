//! What all workers share of an account at a carrier: its pause, its failures in a row, its calls of the day.
//!
//! In the database rather than in the cache, so that an emptied cache forgets no pause and no call.

use std::collections::HashSet;

use chrono::TimeDelta;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, Set,
};

use crate::clock::{Time, day_of};
use crate::plan::quota::refill;
use crate::store::column::Stamp;
use crate::store::entity::account_state::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::failures::Failures;
use crate::store::rows::{Readable, Unreadable, get, read};
use crate::store::{Store, nothing_returned};

/// The most accounts read at once; more than a configuration has.
const ACCOUNTS_MAX: u64 = 10_000;

/// How far ahead of now a stored time of the past may lie.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(1);

/// The state of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountState {
    /// The account's name in the configuration.
    pub account: String,
    pub paused_until: Option<Time>,
    pub pause_reason: String,
    pub failures: Failures,
    /// The calendar day (UTC, days since 1970) that `day_used` counts the calls of.
    pub day: i64,
    pub day_used: i64,
    /// The content at `tokens_at` of the bucket that a paced day's calls drip into.
    pub tokens: f64,
    pub tokens_at: Option<Time>,
}

impl AccountState {
    /// How many of the `per_day` calls are left; with `pace`, the calls a minute, how many of them the bucket holds by now.
    pub fn left(&self, per_day: u32, pace: Option<f64>, now: Time) -> i64 {
        let left = i64::from(per_day) - self.used(per_day, now);
        pace.map_or(left, |pace| self.bucket(pace, left, now).floor() as i64)
    }

    /// How many of the day's calls are used up. A count that cannot be right counts as all of them.
    pub fn used(&self, per_day: u32, now: Time) -> i64 {
        let per_day = i64::from(per_day);
        if self.day < day_of(now) {
            0
        } else if (0..=per_day).contains(&self.day_used) {
            self.day_used
        } else {
            per_day
        }
    }

    /// Whether all of it can be from the past. A worker's clock may be ahead of ours by minutes, so its day may be the
    /// next one.
    fn is_possible(&self, now: Time) -> bool {
        let bucket = self.tokens_at.is_none_or(|at| at <= now + AHEAD_MAX);
        self.day <= day_of(now) + 1 && bucket && self.tokens.is_finite()
    }

    fn bucket(&self, per_minute: f64, left: i64, now: Time) -> f64 {
        let since = self
            .tokens_at
            .map_or(60_000, |at| (now - at).num_milliseconds());
        let minutes = since.max(0) as f64 / 60_000.0;
        refill(self.tokens, minutes, per_minute, left as f64)
    }
}

impl Store {
    /// The state of every account that has one. Leaves out those that cannot be read.
    pub async fn account_states(&self) -> Result<Vec<AccountState>, StoreError> {
        Ok(self.rows.readable(&self.state_rows().await?))
    }

    /// The state of every account that has one. A state that cannot be right is replaced: no pause, and the day's calls
    /// used up.
    pub async fn mended_account_states(&self, now: Time) -> Result<Vec<AccountState>, StoreError> {
        let found = self.state_rows().await?;
        let mut states: Vec<AccountState> = self.rows.readable(&found);
        states.retain(|state| state.is_possible(now));
        let good: HashSet<&str> = states.iter().map(|state| state.account.as_str()).collect();
        let names = found.iter().filter_map(|row| get(row, "budget").ok());
        let spoiled: Vec<String> = names
            .filter(|name: &String| !good.contains(name.as_str()))
            .collect();
        if spoiled.is_empty() {
            return Ok(states);
        }
        let used_up = ActiveModel {
            paused_until: Set(None),
            pause_reason: Set(String::new()),
            fails: Set(0),
            refusals: Set(0),
            suspicion: Set(String::new()),
            suspects: Set(0),
            gate_until: Set(None),
            day: Set(day_of(now)),
            day_used: Set(i64::MAX),
            tokens: Set(0.0),
            tokens_at: Set(None),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        Entity::update_many()
            .set(used_up)
            .filter(Column::Account.is_in(&spoiled))
            .exec(&self.writer)
            .await?;
        for account in spoiled {
            tracing::error!(
                account,
                "replaced the state of account {account}, which could not be right: it makes no more calls today if \
                 its limit is by day"
            );
        }
        Ok(states)
    }

    async fn state_rows(&self) -> Result<Vec<QueryResult>, StoreError> {
        let states = Entity::find()
            .order_by_asc(Column::Account)
            .limit(ACCOUNTS_MAX)
            .into_query();
        Ok(self.reader.query_all(&states).await?)
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
        let used = state.used(per_day, now);
        let taken = state.left(per_day, pace, now).clamp(0, i64::from(calls));
        let left = i64::from(per_day) - used;
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

    /// Returns calls of a day (UTC, days since 1970) that were taken and not made. Does nothing once a later day has begun
    /// to be counted.
    pub async fn give_back_day(
        &self,
        account: &str,
        calls: u32,
        day: i64,
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
            .filter(Column::Day.eq(day))
            .exec(&self.writer)
            .await?;
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
            failures: Failures {
                fails: row.fails.unsigned_abs(),
                refusals: row.refusals.unsigned_abs(),
                suspicion: row.suspicion,
                suspects: row.suspects.unsigned_abs(),
            },
            day: row.day,
            day_used: row.day_used,
            tokens: row.tokens,
            tokens_at: row.tokens_at.map(|at| at.0),
        })
    }
}
