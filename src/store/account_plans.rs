//! The plan of each account's calls: what a call is worth and how the day's calls are spread. One worker at a time adjusts
//! it, under a lease.

use chrono::TimeDelta;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _, Iterable as _,
    NotSet, QueryFilter as _, QueryResult, QueryTrait as _, Set,
};
use uuid::Uuid;

use crate::clock::Time;
use crate::plan::price::Price;
use crate::plan::quota::Shares;
use crate::store::Store;
use crate::store::column::{Key, Stamp};
use crate::store::entity::account_plan::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, read};

/// More parcels than an account can have.
const PARCELS_MAX: i64 = 1_000_000_000;

/// What all workers know of an account's calls.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPlan {
    /// The account's name in the configuration.
    pub account: String,
    pub price: Price,
    /// How the calls of the day `shares_day` (UTC, days since 1970) are spread.
    pub shares: Shares,
    pub shares_day: i64,
    /// Until when the price stands still.
    pub held_until: Option<Time>,
    /// How many parcels are checked, as counted at `counted_at`.
    pub parcels: i64,
    /// Of these, those whose last check failed.
    pub failing: i64,
    /// The earliest last answer among them; for one that never had an answer, its creation.
    pub unanswered_since: Option<Time>,
    pub counted_at: Time,
    /// The policy and the limits by which the next checks of its parcels were set, as one text.
    pub made_by: String,
    pub adjusted_at: Time,
    /// When the learned counts were last fitted.
    pub refitted_at: Time,
}

impl Store {
    /// An account's plan; `None` before a worker has made one.
    pub async fn account_plan(&self, account: &str) -> Result<Option<AccountPlan>, StoreError> {
        Ok(self.find(Entity::find_by_id(account)).await?.pop())
    }

    /// Elects `member` to adjust an account's plan until `now + lease`, unless another worker holds the lease; returns the
    /// plan if `member` holds it. `start` is the plan of an account without one.
    pub async fn lead(
        &self,
        start: &AccountPlan,
        member: Uuid,
        now: Time,
        lease: TimeDelta,
    ) -> Result<Option<AccountPlan>, StoreError> {
        let led = ActiveModel {
            account: Set(start.account.clone()),
            owner: Set(Key(member)),
            lease_until: Set(Stamp(now + lease)),
            ..adjusted(start)
        };
        let ours = Expr::col((Entity, Column::Owner)).eq(Expr::col(("excluded", Column::Owner)));
        let ended = Expr::col((Entity, Column::LeaseUntil)).lt(Stamp(now));
        let mut insert = Entity::insert(led)
            .on_conflict(
                OnConflict::column(Column::Account)
                    .update_columns([Column::Owner, Column::LeaseUntil])
                    .action_and_where(ours.or(ended))
                    .to_owned(),
            )
            .into_query();
        insert.returning(Query::returning().columns(Column::iter()));
        let found = self.writer.query_one(&insert).await?;
        found.as_ref().map(read).transpose()
    }

    /// Writes an adjusted plan; `false`, and nothing is written, if another worker leads by now.
    ///
    /// `refit` gives sections, and the time up to which their memories were aged. What they lose from then to
    /// `plan.refitted_at` is taken off in the same transaction: once, however many workers there are.
    pub async fn set_account_plan(
        &self,
        plan: &AccountPlan,
        member: Uuid,
        refit: Option<(Time, &[String])>,
    ) -> Result<bool, StoreError> {
        let transaction = self.begin().await?;
        let written = Entity::update_many()
            .set(adjusted(plan))
            .filter(Column::Account.eq(plan.account.as_str()))
            .filter(Column::Owner.eq(Key(member)))
            .exec(&transaction)
            .await?;
        if written.rows_affected == 0 {
            return Ok(false);
        }
        if let Some((before, sections)) = refit {
            let hours = (plan.refitted_at - before).num_seconds() as f64 / 3_600.0;
            self.forget(&transaction, sections, hours).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends the lease of `member` on every account, so that the next worker need not wait for its end.
    pub async fn stop_leading(&self, member: Uuid, now: Time) -> Result<(), StoreError> {
        let ended = Stamp(now - TimeDelta::seconds(1));
        Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(ended))
            .filter(Column::Owner.eq(Key(member)))
            .filter(Column::LeaseUntil.gt(ended))
            .exec(&self.writer)
            .await?;
        Ok(())
    }
}

/// The columns that adjusting a plan may change.
fn adjusted(plan: &AccountPlan) -> ActiveModel {
    ActiveModel {
        account: NotSet,
        whole: Set(plan.price.whole),
        by_hour: Set(list(&plan.price.by_hour)),
        by_day: Set(list(&plan.price.by_day)),
        round: Set(plan.price.round),
        shares: Set(list(&plan.shares.0)),
        shares_day: Set(plan.shares_day),
        held_until: Set(plan.held_until.map(Stamp)),
        parcels: Set(plan.parcels),
        failing: Set(plan.failing),
        unanswered_since: Set(plan.unanswered_since.map(Stamp)),
        made_by: Set(plan.made_by.clone()),
        counted_at: Set(Stamp(plan.counted_at)),
        adjusted_at: Set(Stamp(plan.adjusted_at)),
        refitted_at: Set(Stamp(plan.refitted_at)),
        owner: NotSet,
        lease_until: NotSet,
    }
}

fn list(numbers: &[f64]) -> String {
    serde_json::json!(numbers).to_string()
}

impl Readable for AccountPlan {
    const TABLE: &'static str = "prices";
    const KEY: &'static str = "budget";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        let is_counted = (0..=PARCELS_MAX).contains(&row.parcels);
        Ok(Self {
            account: row.account,
            price: Price {
                whole: positive("whole", row.whole)?,
                by_hour: numbers("by_hour", &row.by_hour)?,
                by_day: numbers("by_day", &row.by_day)?,
                round: positive("round", row.round)?,
            }
            .bounded(),
            shares: Shares(numbers("shares", &row.shares)?),
            shares_day: row.shares_day,
            held_until: row.held_until.map(|at| at.0),
            parcels: if is_counted { row.parcels } else { 0 },
            failing: row.failing.clamp(0, PARCELS_MAX),
            unanswered_since: row.unanswered_since.map(|at| at.0),
            made_by: row.made_by,
            // Counted anew at once if the number cannot be right.
            counted_at: if is_counted {
                row.counted_at.0
            } else {
                Time::UNIX_EPOCH
            },
            adjusted_at: row.adjusted_at.0,
            refitted_at: row.refitted_at.0,
        })
    }
}

fn positive(column: &str, number: f64) -> Result<f64, Unreadable> {
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        let reason = format!("{number} is not more than 0");
        Err(Unreadable::new(column, reason))
    }
}

/// Reads a JSON list of N numbers of at least 0.
fn numbers<const N: usize>(column: &str, text: &str) -> Result<[f64; N], Unreadable> {
    let numbers: Vec<f64> =
        serde_json::from_str(text).map_err(|error| Unreadable::new(column, error))?;
    let numbers: [f64; N] = numbers
        .try_into()
        .map_err(|_| Unreadable::new(column, format!("not {N} numbers")))?;
    if numbers.iter().all(|number| *number >= 0.0) {
        Ok(numbers)
    } else {
        Err(Unreadable::new(column, "a number below 0"))
    }
}
