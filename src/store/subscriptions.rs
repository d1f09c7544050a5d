//! What carriers were asked to push, until when, and when to ask again.
//!
//! In the database, so that neither a restart nor a second worker subscribes twice. The calls of a section are made one after
//! the other, by the worker that took its row of tracking 0, and ever more seldom while they fail.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, QueryResult};
use uuid::Uuid;

use crate::clock::{Time, delta};
use crate::model::Tracking;
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::entity::columns;
use crate::store::entity::tracking::Entity;
use crate::store::error::StoreError;
use crate::store::logins::rest;
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable, get};

/// When a number is tried again that the carrier did not take.
const NOT_TAKEN_WAIT: TimeDelta = TimeDelta::days(1);

/// The most rows of ended parcels that one look forgets.
const FORGOTTEN_MAX: i64 = 1_000;

/// The most sections that are read; more than a configuration has.
const SECTIONS_MAX: i64 = 10_000;

/// Leave to make one call of a section. Until it is ended it counts as a failure.
#[derive(Clone, Debug)]
pub struct Subscribing {
    section: String,
    lease: Uuid,
    fails: u32,
    /// The parcels to subscribe; none of an account as a whole.
    pub rows: Vec<Tracking>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// It is subscribed, but for these trackings. It holds for so long; `None`: until another takes its place.
    Made {
        lasts: Option<Duration>,
        not_taken: &'a [i64],
    },
    Failed {
        reason: &'a str,
    },
    /// No call was made.
    Unmade,
}

/// What is known of a section's subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    pub section: String,
    /// When one was last made.
    pub made_at: Option<Time>,
    /// When that of the account ends; `None` if it does not, or if its numbers have one each.
    pub ends_at: Option<Time>,
    /// When it is next asked for; `None` if it need not be.
    pub ask_at: Option<Time>,
    /// Tries in a row that failed, and why the last one did.
    pub fails: u32,
    pub error: String,
}

impl Readable for SubscriptionState {
    const TABLE: &'static str = "push_subscriptions";
    const KEY: &'static str = "section";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let at = |name| get::<Option<Stamp>>(row, name).map(|at| at.map(|at| at.0));
        Ok(Self {
            section: get(row, "section")?,
            made_at: at("made_at")?,
            ends_at: at("ends_at")?,
            ask_at: at("ask_at")?,
            fails: get::<i32>(row, "fails")?.unsigned_abs(),
            error: get(row, "error")?,
        })
    }
}

/// When a subscription that holds for so long is made again: early enough for several tries.
fn renewed_at(now: Time, lasts: Duration) -> Time {
    now + delta(lasts / 7 * 6)
}

impl Store {
    /// Notes that a section subscribes, under `address`, a hash of all that a subscription hangs on. If it is another than
    /// before, everything is asked for anew.
    pub async fn meet_subscription(
        &self,
        section: &str,
        address: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        let bound = |sql: &str| {
            let sql = self.sql(sql).bind("section", section);
            sql.bind("address", address).bind("now", now).statement()
        };
        let met = "INSERT INTO push_subscriptions (tracking_id, section, address, ask_at) \
                   VALUES (0, :section, :address, :now) ON CONFLICT (tracking_id, section) DO UPDATE SET \
                   address = excluded.address, ask_at = excluded.ask_at, ends_at = NULL, fails = 0, error = '', \
                   lease_id = NULL WHERE push_subscriptions.address <> excluded.address";
        if transaction.execute_raw(bound(met)).await?.rows_affected() > 0 {
            let all = "UPDATE push_subscriptions SET ask_at = :now WHERE section = :section AND tracking_id <> 0";
            transaction.execute_raw(bound(all)).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Notes parcels that a section is to subscribe, if they are not noted yet.
    pub async fn want_subscriptions(
        &self,
        section: &str,
        ids: &[i64],
        now: Time,
    ) -> Result<(), StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let set = self
            .set(&ids)
            .column("tracking_id", |id| *id)
            .column("section", |_| section.to_owned())
            .column("ask_at", |_| now);
        let sql = format!(
            "{} ON CONFLICT (tracking_id, section) DO NOTHING",
            set.insert_into("push_subscriptions")
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Takes leave to make the next call of a section, of at most `numbers` parcels, or of the account as a whole if that is
    /// 0. `None` if there is nothing to ask for now, or another worker is asking. A worker that does not end it within `hold`
    /// has failed.
    pub async fn take_subscriptions(
        &self,
        section: &str,
        numbers: usize,
        hold: Duration,
        now: Time,
    ) -> Result<Option<Subscribing>, StoreError> {
        let due = "SELECT 1 FROM push_subscriptions WHERE section = :section AND ask_at <= :now AND tracking_id <> 0 LIMIT 1";
        let bound = |sql: String| self.sql(sql).bind("section", section).bind("now", now);
        let sql = bound(due.to_owned()).statement();
        if numbers > 0 && self.reader.query_one_raw(sql).await?.is_none() {
            return Ok(None);
        }
        let transaction = self.begin().await?;
        let sql = bound(format!(
            "SELECT section, made_at, ends_at, ask_at, fails, error FROM push_subscriptions \
             WHERE tracking_id = 0 AND section = :section AND ask_at <= :now{}",
            self.skip_locked()
        ));
        let found = transaction.query_all_raw(sql.statement()).await?;
        let Some(state) = self
            .rows
            .readable::<SubscriptionState>(&found)
            .into_iter()
            .next()
        else {
            return Ok(None);
        };
        let rows = match numbers {
            0 => Vec::new(),
            _ => {
                let rows = self.due_numbers(&transaction, section, numbers, now);
                let rows = rows.await?;
                if rows.is_empty() {
                    transaction.commit().await?;
                    return Ok(None);
                }
                rows
            }
        };
        let (lease, fails) = (Uuid::now_v7(), state.fails.saturating_add(1));
        let sql = bound(
            "UPDATE push_subscriptions SET fails = :fails, lease_id = :lease, ask_at = :until, error = 'no answer was noted' \
             WHERE tracking_id = 0 AND section = :section"
                .to_owned(),
        );
        let sql = sql
            .bind("fails", i32::try_from(fails).unwrap_or(i32::MAX))
            .bind("lease", lease)
            .bind("until", now + delta(hold.max(rest(fails))));
        transaction.execute_raw(sql.statement()).await?;
        transaction.commit().await?;
        Ok(Some(Subscribing {
            section: section.to_owned(),
            lease,
            fails,
            rows,
        }))
    }

    /// The next parcels to subscribe. Forgets those that are no longer followed.
    async fn due_numbers(
        &self,
        transaction: &Transaction,
        section: &str,
        numbers: usize,
        now: Time,
    ) -> Result<Vec<Tracking>, StoreError> {
        let due = "FROM push_subscriptions AS s LEFT JOIN trackings AS t ON t.id = s.tracking_id \
                   WHERE s.section = :section AND s.tracking_id <> 0 AND s.ask_at <= :now";
        let bound = |sql: String, limit: i64| {
            let sql = self.sql(sql).bind("section", section).bind("now", now);
            sql.bind("limit", limit).statement()
        };
        let sql = format!(
            "DELETE FROM push_subscriptions WHERE section = :section AND tracking_id IN \
             (SELECT s.tracking_id {due} AND (t.id IS NULL OR NOT t.active) ORDER BY s.ask_at LIMIT :limit)"
        );
        transaction.execute_raw(bound(sql, FORGOTTEN_MAX)).await?;
        let sql = format!(
            "SELECT {} {due} AND t.active ORDER BY s.ask_at, s.tracking_id LIMIT :limit",
            columns::<Entity>("t.")
        );
        let limit = i64::try_from(numbers).unwrap_or(i64::MAX);
        let found = transaction.query_all_raw(bound(sql, limit)).await?;
        Ok(self.rows.readable(&found))
    }

    /// Notes how a call ended. Does nothing if another worker took it meanwhile.
    pub async fn end_subscriptions(
        &self,
        held: &Subscribing,
        ending: Ending<'_>,
        now: Time,
    ) -> Result<(), StoreError> {
        let is_whole = held.rows.is_empty();
        let failed = i32::try_from(held.fails).unwrap_or(i32::MAX);
        let (change, fails, error, ask_at) = match &ending {
            Ending::Made { lasts, .. } => {
                let renewed = lasts.map(|lasts| renewed_at(now, lasts));
                let ask_at = if is_whole { renewed } else { Some(now) };
                (", made_at = :now, ends_at = :ends_at", 0, "", ask_at)
            }
            Ending::Failed { reason } => ("", failed, *reason, Some(now + delta(rest(held.fails)))),
            Ending::Unmade => ("", failed - 1, "", Some(now)),
        };
        let ends_at = match &ending {
            Ending::Made { lasts, .. } => lasts.map(|lasts| now + delta(lasts)),
            Ending::Failed { .. } | Ending::Unmade => None,
        };
        let transaction = self.begin().await?;
        let sql = format!(
            "UPDATE push_subscriptions SET fails = :fails, error = :error, ask_at = :ask_at, lease_id = NULL{change} \
             WHERE tracking_id = 0 AND section = :section AND lease_id = :lease"
        );
        let sql = self
            .sql(sql)
            .bind("fails", fails)
            .bind("error", error)
            .bind("ask_at", ask_at)
            .bind("ends_at", ends_at.filter(|_| is_whole))
            .bind("section", held.section.as_str())
            .bind("lease", held.lease)
            .bind("now", now);
        let ended = transaction.execute_raw(sql.statement()).await?;
        if ended.rows_affected() == 0 {
            return Ok(());
        }
        if let (Ending::Made { lasts, not_taken }, false) = (&ending, is_whole) {
            let is_made = |row: &Tracking| !not_taken.contains(&row.id);
            let renewed = lasts.map(|lasts| renewed_at(now, lasts));
            let retried = Some(now + NOT_TAKEN_WAIT);
            let set = self
                .set(&held.rows)
                .column("row_id", |row| row.id)
                .nullable("next", |row| if is_made(row) { renewed } else { retried })
                .nullable("made", |row| is_made(row).then_some(now))
                .nullable("ends", |row| ends_at.filter(|_| is_made(row)));
            let sql = format!(
                "UPDATE push_subscriptions SET ask_at = u.next, made_at = u.made, ends_at = u.ends, \
                 fails = CASE WHEN u.made IS NULL THEN fails + 1 ELSE 0 END \
                 FROM {} WHERE push_subscriptions.tracking_id = u.row_id AND push_subscriptions.section = :section",
                set.from()
            );
            let sql = self.sql(sql).bind("section", held.section.as_str());
            transaction
                .execute_raw(sql.bind_set(set).statement())
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// What is known of each section's subscriptions.
    pub async fn subscription_states(&self) -> Result<Vec<SubscriptionState>, StoreError> {
        let sql = "SELECT section, made_at, ends_at, ask_at, fails, error FROM push_subscriptions \
                   WHERE tracking_id = 0 ORDER BY section LIMIT :limit";
        let sql = self.sql(sql).bind("limit", SECTIONS_MAX);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }
}
