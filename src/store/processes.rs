//! The processes that live, and those of an older program that must end before the tables change.

use sea_orm::{ConnectionTrait as _, FromQueryResult};
use uuid::Uuid;

use crate::clock::Time;
use crate::store::Store;
use crate::store::column::{Key, Stamp};
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;

/// A process as it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: Uuid,
    pub version: &'static str,
    /// Their names, with commas between them.
    pub roles: String,
    pub started_at: Time,
}

#[derive(FromQueryResult)]
struct Member {
    member: Key,
    live_until: Stamp,
}

impl Store {
    /// Registers a process until `live_until`, and forgets those that are dead.
    pub async fn keep_process(
        &self,
        process: &Process,
        live_until: Time,
        now: Time,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO processes (id, version, roles, started_at, live_until) \
                   VALUES (:id, :version, :roles, :started_at, :live_until) \
                   ON CONFLICT (id) DO UPDATE SET live_until = excluded.live_until";
        let sql = self.sql(sql).bind("id", process.id);
        let sql = sql
            .bind("version", process.version)
            .bind("roles", process.roles.as_str())
            .bind("started_at", process.started_at)
            .bind("live_until", live_until);
        self.writer.execute_raw(sql.statement()).await?;
        let dead = self.sql("DELETE FROM processes WHERE live_until < :now");
        self.writer
            .execute_raw(dead.bind("now", now).statement())
            .await?;
        Ok(())
    }

    /// Forgets a process that ends.
    pub async fn drop_process(&self, id: Uuid) -> Result<(), StoreError> {
        let sql = self.sql("DELETE FROM processes WHERE id = :id");
        self.writer
            .execute_raw(sql.bind("id", id).statement())
            .await?;
        Ok(())
    }

    /// Refuses to go on if a consumer of a program from before the owners lives: what it applies would be told to nobody.
    ///
    /// # Errors
    /// [`StoreError::OldConsumers`].
    pub(super) async fn refuse_old_consumers(&self) -> Result<(), StoreError> {
        let sql = match self.dialect {
            Dialect::Sqlite => {
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'consumer_members'"
            }
            Dialect::Postgres => {
                "SELECT 1 FROM pg_catalog.pg_class WHERE oid = to_regclass('consumer_members')"
            }
        };
        // The migration that gave trackings their owners gave it another name.
        if self
            .writer
            .query_one_raw(self.sql(sql).statement())
            .await?
            .is_none()
        {
            return Ok(());
        }
        let now = self.time().await?;
        let sql = self.sql("SELECT member, live_until FROM consumer_members WHERE live_until >= :now ORDER BY member");
        let members = Member::find_by_statement(sql.bind("now", now).statement());
        let members = members.all(&self.writer).await?;
        if members.is_empty() {
            return Ok(());
        }
        let names = members
            .iter()
            .map(|it| format!("{} (until {})", it.member.0, it.live_until.0));
        let names: Vec<String> = names.collect();
        Err(StoreError::OldConsumers(names.join(", ")))
    }
}
