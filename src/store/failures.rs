//! What failed calls say of an account, its pause, the gate of an account that is called one call at a time, and the calls
//! that are to be halved.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveValue, ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _,
    QueryResult, Set,
};

use crate::clock::Time;
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::entity::account_state::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// The longest pause of an account.
pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A gate that is closed for longer than this was never closed so.
const GATE_MAX: TimeDelta = TimeDelta::days(1);

/// The failures of an account that have not been ended by a success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Calls in a row that failed on the way: a time-out, no connection, trouble of the carrier's own.
    pub fails: u32,
    /// How often in a row the account was paused because its carrier refused it.
    pub refusals: u32,
    /// The error with which so many numbers in a row failed alike; empty if nothing is suspected.
    pub suspicion: String,
    /// How many numbers in a row failed with the suspicion.
    pub suspects: u32,
}

/// Leave to make the one call of an account that is called one call at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    until: Time,
}

/// How many numbers the next call with a tracking may take at most.
struct Split {
    tracking: i64,
    numbers: u32,
}

impl Readable for Split {
    const TABLE: &'static str = "call_splits";
    const KEY: &'static str = "tracking_id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            tracking: get(row, "tracking_id")?,
            numbers: std::cmp::max(get::<i32>(row, "numbers")?.unsigned_abs(), 1),
        })
    }
}

/// A count as its column holds it.
fn whole(count: u32) -> ActiveValue<i32> {
    Set(i32::try_from(count).unwrap_or(i32::MAX))
}

/// The change that ends a pause and forgets the failures.
pub(super) fn without_failures(now: Time) -> ActiveModel {
    ActiveModel {
        paused_until: Set(None),
        pause_reason: Set(String::new()),
        fails: Set(0),
        refusals: Set(0),
        suspicion: Set(String::new()),
        suspects: Set(0),
        gate_until: Set(None),
        updated_at: Set(Stamp(now)),
        ..ActiveModel::default()
    }
}

impl Store {
    /// Pauses an account for all workers until `until`; a pause that ends later stays.
    pub async fn pause(
        &self,
        account: &str,
        until: Time,
        reason: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        let stored = Expr::col((Entity, Column::PausedUntil));
        let ours = Expr::col(("excluded", Column::PausedUntil));
        let is_free = stored.clone().is_null();
        let is_absurd = stored.clone().gt(Stamp(now + PAUSE_MAX * 2));
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
                    .action_and_where(is_free.or(stored.clone().lt(ours)).or(is_absurd))
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await?;
        Ok(())
    }

    /// Ends an account's pause and forgets its failures and refused log-ins. Does nothing to an account that was never called.
    pub async fn lift_pause(&self, account: &str, now: Time) -> Result<(), StoreError> {
        Entity::update_many()
            .set(without_failures(now))
            .filter(Column::Account.eq(account))
            .exec(&self.writer)
            .await?;
        self.forget_refusals(account).await
    }

    /// Replaces what is known of the account's failures.
    pub async fn set_failures(
        &self,
        account: &str,
        failures: &Failures,
        now: Time,
    ) -> Result<(), StoreError> {
        let failing = ActiveModel {
            account: Set(account.to_owned()),
            fails: whole(failures.fails),
            refusals: whole(failures.refusals),
            suspicion: Set(failures.suspicion.clone()),
            suspects: whole(failures.suspects),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        let changed = [
            Column::Fails,
            Column::Refusals,
            Column::Suspicion,
            Column::Suspects,
            Column::UpdatedAt,
        ];
        Entity::insert(failing)
            .on_conflict(
                OnConflict::column(Column::Account)
                    .update_columns(changed)
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await?;
        Ok(())
    }

    /// Passes the account's gate, if it is open, and closes it for `hold`. Of several workers one passes.
    pub async fn pass_gate(
        &self,
        account: &str,
        hold: Duration,
        now: Time,
    ) -> Result<Option<Gate>, StoreError> {
        let until = now + hold;
        let gate = Expr::col((Entity, Column::GateUntil));
        let is_open = gate.clone().is_null().or(gate.clone().lte(Stamp(now)));
        let is_absurd = gate.gt(Stamp(std::cmp::max(until, now + GATE_MAX)));
        let closed = ActiveModel {
            account: Set(account.to_owned()),
            gate_until: Set(Some(Stamp(until))),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        let passed = Entity::insert(closed)
            .on_conflict(
                OnConflict::column(Column::Account)
                    .update_column(Column::GateUntil)
                    .action_and_where(is_open.or(is_absurd))
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await?;
        Ok((passed == 1).then_some(Gate { until }))
    }

    /// Opens the account's gate again, unless it has been passed by another worker meanwhile.
    pub async fn open_gate(&self, account: &str, gate: Gate) -> Result<(), StoreError> {
        let open = ActiveModel {
            gate_until: Set(None),
            ..ActiveModel::default()
        };
        Entity::update_many()
            .set(open)
            .filter(Column::Account.eq(account))
            .filter(Column::GateUntil.eq(Stamp(gate.until)))
            .exec(&self.writer)
            .await?;
        Ok(())
    }

    /// Notes that the next call with any of these trackings may take so many numbers at most.
    pub async fn split_calls(&self, trackings: &[i64], numbers: u32) -> Result<(), StoreError> {
        let numbers = i32::try_from(numbers).unwrap_or(i32::MAX);
        let mut trackings = trackings.to_vec();
        trackings.sort_unstable();
        let set = self.set(&trackings).column("tracking_id", |id| *id);
        // Without the condition, SQLite would take ON CONFLICT for a part of the join.
        let sql = format!(
            "INSERT INTO call_splits (tracking_id, numbers) SELECT u.tracking_id, CAST(:numbers AS INTEGER) FROM {} \
             WHERE TRUE ON CONFLICT (tracking_id) DO UPDATE SET numbers = excluded.numbers",
            set.from()
        );
        let sql = self.sql(sql).bind("numbers", numbers).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// How many numbers at most the next call with each of these trackings may take, for those that have been noted.
    pub async fn call_splits(&self, trackings: &[i64]) -> Result<HashMap<i64, u32>, StoreError> {
        let set = self.set(trackings).column("row_id", |id| *id);
        let sql = format!(
            "SELECT s.tracking_id, s.numbers FROM {} JOIN call_splits AS s ON s.tracking_id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = self.writer.query_all_raw(sql.statement()).await?;
        let splits: Vec<Split> = self.rows.readable(&found);
        Ok(splits
            .into_iter()
            .map(|split| (split.tracking, split.numbers))
            .collect())
    }

    /// Forgets the notes on these trackings.
    pub async fn end_splits(&self, trackings: &[i64]) -> Result<(), StoreError> {
        let set = self.set(trackings).column("row_id", |id| *id);
        let sql = format!(
            "DELETE FROM call_splits WHERE tracking_id IN (SELECT u.row_id FROM {})",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}
