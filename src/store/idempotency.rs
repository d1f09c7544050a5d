//! Requests that take effect once, however often they are sent.
//!
//! The key's row is the first that a transaction writes, so a second request with the same key waits for the first one's end, and
//! then finds what came of it. Refused requests leave no row, since nothing happened.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, FromQueryResult};

use crate::clock::Time;
use crate::model::tenant::Tenant;
use crate::store::Store;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::native::Transaction;

/// How long a key is remembered.
pub const KEYS_KEPT: TimeDelta = TimeDelta::hours(24);

/// How long, in milliseconds, a request waits for another one with its key.
const WAIT_MS: &str = "5000";

/// A request that is to take effect once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    pub key: String,
    /// A hash of all that was sent: the same key with another request is a mistake.
    pub fingerprint: [u8; 32],
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is this request's from now on.
    New,
    /// The same request took effect before, with this outcome.
    Done(String),
}

#[derive(FromQueryResult)]
struct Row {
    fingerprint: Vec<u8>,
    outcome: String,
}

impl Store {
    /// Takes a key, as the first statement of a transaction.
    ///
    /// # Errors
    /// [`StoreError::KeyReused`] if another request had it, [`StoreError::KeyBusy`] if a request with it does not end.
    pub(super) async fn take_key(
        &self,
        transaction: &Transaction,
        tenant: Tenant,
        once: &Once,
        now: Time,
    ) -> Result<Taken, StoreError> {
        let wait = |limit: &'static str| {
            let sql = self.sql("SELECT set_config('lock_timeout', :limit, TRUE)");
            sql.bind("limit", limit).statement()
        };
        if self.dialect == Dialect::Postgres {
            transaction.query_one_raw(wait(WAIT_MS)).await?;
        }
        let sql = "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, outcome, created_at) \
                   VALUES (:tenant, :key, :fingerprint, '', :now) ON CONFLICT (tenant_id, key) DO NOTHING";
        let sql = self.sql(sql).bind("tenant", tenant.id());
        let sql = sql
            .bind("key", once.key.as_str())
            .bind("fingerprint", once.fingerprint.to_vec())
            .bind("now", now);
        let taken = transaction.execute_raw(sql.statement()).await;
        let taken = taken.map_err(|error| match StoreError::from(error) {
            error if error.is_lock_timeout() => StoreError::KeyBusy,
            error => error,
        })?;
        if self.dialect == Dialect::Postgres {
            transaction.query_one_raw(wait("0")).await?;
        }
        if taken.rows_affected() == 1 {
            return Ok(Taken::New);
        }
        let sql = "SELECT fingerprint, outcome FROM idempotency_keys WHERE tenant_id = :tenant AND key = :key";
        let sql = self.sql(sql).bind("tenant", tenant.id());
        let sql = sql.bind("key", once.key.as_str());
        let row = Row::find_by_statement(sql.statement());
        match row.one(transaction).await? {
            Some(row) if row.fingerprint == once.fingerprint => Ok(Taken::Done(row.outcome)),
            Some(_) => Err(StoreError::KeyReused),
            None => Err(StoreError::busy("the key was forgotten meanwhile")),
        }
    }

    /// Writes what came of the request that took the key, in its transaction.
    pub(super) async fn finish_key(
        &self,
        transaction: &Transaction,
        tenant: Tenant,
        once: &Once,
        outcome: String,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE idempotency_keys SET outcome = :outcome WHERE tenant_id = :tenant AND key = :key";
        let sql = self.sql(sql).bind("tenant", tenant.id());
        let sql = sql.bind("key", once.key.as_str()).bind("outcome", outcome);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Forgets the keys of more than [`KEYS_KEPT`] ago.
    pub async fn prune_keys(&self, now: Time) -> Result<u64, StoreError> {
        let sql = self.sql("DELETE FROM idempotency_keys WHERE created_at < :before");
        let sql = sql.bind("before", now - KEYS_KEPT);
        let deleted = self.writer.execute_raw(sql.statement()).await?;
        Ok(deleted.rows_affected())
    }
}
