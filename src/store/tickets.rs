//! Tickets: numbers that a carrier took and answers later. A ticket's parcels stay claimed until their answer has taken effect,
//! or until the ticket ends.
//!
//! In the database, so that it outlives the worker that got the ticket: any other one asks for the answer.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryResult, Set,
};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::Tracking;
use crate::store::Store;
use crate::store::column::{Key, Stamp};
use crate::store::entity::carrier_ticket::{ActiveModel, Column, Entity, Model};
use crate::store::entity::{columns, tracking};
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable, get};

/// A lease that ends later than this was never taken so.
const LEASE_MAX: TimeDelta = TimeDelta::days(1);

/// A ticket that a carrier gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTicket<'a> {
    pub account: &'a str,
    pub adapter: &'a str,
    /// The carrier's own name for it.
    pub ticket: &'a str,
    /// When its numbers were asked for.
    pub asked_at: Time,
    /// When its answer is asked for.
    pub ask_at: Time,
    /// How long to wait before that is done again.
    pub wait: Duration,
    /// From when on it is given up.
    pub ends_at: Time,
}

/// A ticket that no worker is asking for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTicket {
    pub id: Uuid,
    pub account: String,
    pub ask_at: Time,
    pub ends_at: Time,
    /// Whether a parcel of it still waits for the answer.
    pub is_awaited: bool,
}

/// A ticket that one worker may ask for, under a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTicket {
    pub id: Uuid,
    pub adapter: String,
    pub ticket: String,
    pub asked_at: Time,
    pub wait: Duration,
    pub ends_at: Time,
    /// How often it was asked for.
    pub tries: u32,
    /// How many times in a row that failed.
    pub fails: u32,
    lease: Uuid,
}

impl Readable for OpenTicket {
    const TABLE: &'static str = "carrier_tickets";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let at = |name| get::<Stamp>(row, name).map(|at| at.0);
        Ok(Self {
            id: get::<Key>(row, "id")?.0,
            account: get(row, "budget")?,
            ask_at: at("ask_at")?,
            ends_at: at("ends_at")?,
            is_awaited: get(row, "is_awaited")?,
        })
    }
}

impl Readable for HeldTicket {
    const TABLE: &'static str = "carrier_tickets";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        let wait = u64::try_from(row.wait_ms).map_err(|error| Unreadable::new("wait_ms", error))?;
        let lease = row.lease_id.map(|key| key.0);
        Ok(Self {
            id: row.id.0,
            adapter: row.adapter,
            ticket: row.ticket,
            asked_at: row.asked_at.0,
            wait: Duration::from_millis(wait),
            ends_at: row.ends_at.0,
            tries: row.tries.unsigned_abs(),
            fails: row.fails.unsigned_abs(),
            lease: lease.ok_or_else(|| Unreadable::new("lease_id", "it is NULL"))?,
        })
    }
}

/// Whether no worker holds a ticket.
const FREE: &str = "(c.lease_until IS NULL OR c.lease_until <= :now OR c.lease_until > :absurd)";

/// Whether a parcel's check waits for its ticket.
const IS_AWAITED: &str = "EXISTS (SELECT 1 FROM carrier_ticket_parcels AS p JOIN trackings AS t ON t.id = p.tracking_id \
     WHERE p.ticket_id = c.id AND t.lease_id = p.check_id)";

impl Store {
    /// Keeps a ticket with its parcels, whose leases and next checks are put off until it ends. Answers how many of them
    /// were still held by the check that asked; if none is, nothing is kept.
    pub async fn park(
        &self,
        ticket: &NewTicket<'_>,
        parcels: &[(i64, Uuid)],
    ) -> Result<u64, StoreError> {
        // By id, as everywhere, so that two transactions cannot deadlock.
        let mut parcels = parcels.to_vec();
        parcels.sort_unstable();
        let transaction = self.begin().await?;
        let set = self.set(&parcels);
        let set = set
            .column("row_id", |it| it.0)
            .column("check_id", |it| it.1);
        let sql = format!(
            "UPDATE trackings SET lease_until = :ends_at, next_check_at = :ends_at FROM {} \
             WHERE trackings.id = u.row_id AND trackings.lease_id = u.check_id",
            set.from()
        );
        let sql = self.sql(sql).bind("ends_at", ticket.ends_at).bind_set(set);
        let held = transaction.execute_raw(sql.statement()).await?;
        if held.rows_affected() == 0 {
            return Ok(0);
        }
        let id = Uuid::now_v7();
        let wait_ms = i64::try_from(ticket.wait.as_millis()).unwrap_or(i64::MAX);
        let new = ActiveModel {
            id: Set(Key(id)),
            account: Set(ticket.account.to_owned()),
            adapter: Set(ticket.adapter.to_owned()),
            ticket: Set(ticket.ticket.to_owned()),
            asked_at: Set(Stamp(ticket.asked_at)),
            ask_at: Set(Stamp(ticket.ask_at.min(ticket.ends_at))),
            wait_ms: Set(wait_ms),
            ends_at: Set(Stamp(ticket.ends_at)),
            ..ActiveModel::default()
        };
        Entity::insert(new)
            .exec_without_returning(&transaction)
            .await?;
        let set = self.set(&parcels);
        let set = set
            .column("tracking_id", |it| it.0)
            .column("check_id", |it| it.1);
        let sql = format!(
            "INSERT INTO carrier_ticket_parcels (ticket_id, tracking_id, check_id) \
             SELECT :id, u.tracking_id, u.check_id FROM {}",
            set.from()
        );
        let sql = self.sql(sql).bind("id", id).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        transaction.commit().await?;
        Ok(held.rows_affected())
    }

    /// The next `limit` tickets of each account to ask for that no worker holds, by time; those whose time has not come among
    /// them.
    pub async fn open_tickets(&self, now: Time, limit: u32) -> Result<Vec<OpenTicket>, StoreError> {
        let sql = format!(
            "SELECT c.id, c.budget, c.ask_at, c.ends_at, {IS_AWAITED} AS is_awaited FROM ( \
               SELECT c.id, c.budget, c.ask_at, c.ends_at, \
                 row_number() OVER (PARTITION BY c.budget ORDER BY c.ask_at, c.id) AS nth \
               FROM carrier_tickets AS c WHERE {FREE} \
             ) AS c WHERE c.nth <= :limit ORDER BY c.ask_at, c.id"
        );
        let sql = self
            .sql(sql)
            .bind("now", now)
            .bind("absurd", now + LEASE_MAX)
            .bind("limit", i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }

    /// Takes a ticket whose time has come, and hides it from other workers for `lease`. With it come the parcels that still
    /// wait for its answer. `None` if another worker has it.
    pub async fn take_ticket(
        &self,
        id: Uuid,
        now: Time,
        lease: Duration,
    ) -> Result<Option<(HeldTicket, Vec<Tracking>)>, StoreError> {
        let sql = format!(
            "UPDATE carrier_tickets AS c SET lease_until = :until, lease_id = :lease \
             WHERE c.id = :id AND c.ask_at <= :now AND {FREE} RETURNING {}",
            columns::<Entity>("")
        );
        let sql = self
            .sql(sql)
            .bind("until", now + lease)
            .bind("lease", Uuid::now_v7())
            .bind("id", id)
            .bind("now", now)
            .bind("absurd", now + LEASE_MAX);
        let found = self.writer.query_all_raw(sql.statement()).await?;
        let Some(ticket) = self.rows.readable(&found).into_iter().next() else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT {} FROM carrier_ticket_parcels AS p JOIN trackings AS t ON t.id = p.tracking_id \
             WHERE p.ticket_id = :id AND t.lease_id = p.check_id ORDER BY t.id",
            columns::<tracking::Entity>("t.")
        );
        let sql = self.sql(sql).bind("id", id);
        let found = self.writer.query_all_raw(sql.statement()).await?;
        Ok(Some((ticket, self.rows.readable(&found))))
    }

    /// Lets go of a ticket that is asked for again at `ask_at`, after so many failures in a row. Does nothing if another
    /// worker holds it by now.
    pub async fn ask_later(
        &self,
        ticket: &HeldTicket,
        ask_at: Time,
        fails: u32,
    ) -> Result<(), StoreError> {
        let later = ActiveModel {
            ask_at: Set(Stamp(ask_at.min(ticket.ends_at))),
            tries: Set(i32::try_from(ticket.tries.saturating_add(1)).unwrap_or(i32::MAX)),
            fails: Set(i32::try_from(fails).unwrap_or(i32::MAX)),
            ..free()
        };
        self.change_held(ticket, later).await
    }

    /// Lets go of a ticket that was not asked for.
    pub async fn release_ticket(&self, ticket: &HeldTicket) -> Result<(), StoreError> {
        self.change_held(ticket, free()).await
    }

    async fn change_held(
        &self,
        ticket: &HeldTicket,
        change: ActiveModel,
    ) -> Result<(), StoreError> {
        Entity::update_many()
            .set(change)
            .filter(Column::Id.eq(Key(ticket.id)))
            .filter(Column::LeaseId.eq(Key(ticket.lease)))
            .exec(&self.writer)
            .await?;
        Ok(())
    }

    /// Forgets a ticket whose answer is known to the bus, or that no parcel waits for.
    pub async fn forget_ticket(&self, id: Uuid) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        self.delete_ticket(&transaction, id).await?;
        Ok(transaction.commit().await?)
    }

    /// Gives up a ticket: the parcels that wait for it are due at once. Answers how many.
    pub async fn give_up_ticket(&self, id: Uuid, now: Time) -> Result<u64, StoreError> {
        let transaction = self.begin().await?;
        let sql = "UPDATE trackings SET lease_until = NULL, lease_id = NULL, next_check_at = :now \
                   FROM carrier_ticket_parcels AS p WHERE p.ticket_id = :id AND trackings.id = p.tracking_id \
                   AND trackings.lease_id = p.check_id";
        let sql = self.sql(sql).bind("now", now).bind("id", id);
        let freed = transaction.execute_raw(sql.statement()).await?;
        self.delete_ticket(&transaction, id).await?;
        transaction.commit().await?;
        Ok(freed.rows_affected())
    }

    async fn delete_ticket(&self, transaction: &Transaction, id: Uuid) -> Result<(), StoreError> {
        for table in [
            "carrier_ticket_parcels WHERE ticket_id",
            "carrier_tickets WHERE id",
        ] {
            let sql = self
                .sql(format!("DELETE FROM {table} = :id"))
                .bind("id", id);
            transaction.execute_raw(sql.statement()).await?;
        }
        Ok(())
    }
}

/// The change that ends a ticket's lease.
fn free() -> ActiveModel {
    ActiveModel {
        lease_until: Set(None),
        lease_id: Set(None),
        ..ActiveModel::default()
    }
}
