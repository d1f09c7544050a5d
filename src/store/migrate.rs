//! Brings the database's tables to what this program knows, under a lock; newer tables are left as they are.

use sea_orm::sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sea_orm::sqlx::{Connection as _, Executor as _, SqlSafeStr as _, SqlStr};
use std::borrow::Cow;

use crate::store::Store;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;

/// What a connection that migrates is held to instead of what others are: to wait an hour at most for a lock.
const SQLITE_PATIENCE: &str = "PRAGMA busy_timeout = 3600000";
const POSTGRES_PATIENCE: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '1h'";

/// Version, what it brings, and its text for each database. Append only.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "trackings, events, partitions, dead letters, carrier state",
        include_str!("../../migrations/sqlite/0001_trackings.sql"),
        include_str!("../../migrations/postgres/0001_trackings.sql"),
    ),
    (
        2,
        "the claim's order to the last",
        include_str!("../../migrations/sqlite/0002_claim_order.sql"),
        include_str!("../../migrations/postgres/0002_claim_order.sql"),
    ),
    (
        3,
        "what is learned, prices, calls by minute",
        include_str!("../../migrations/sqlite/0003_plan.sql"),
        include_str!("../../migrations/postgres/0003_plan.sql"),
    ),
    (
        4,
        "no time that cannot be read",
        include_str!("../../migrations/sqlite/0004_times.sql"),
        include_str!("../../migrations/postgres/0004_times.sql"),
    ),
];

/// One migration, and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    pub version: i64,
    pub description: String,
    pub applied: bool,
    /// Applied by a newer program; this one knows nothing of it.
    pub unknown: bool,
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, description, sqlite, postgres)| {
            let text: SqlStr = match dialect {
                Dialect::Sqlite => sqlite.into_sql_str(),
                Dialect::Postgres => postgres.into_sql_str(),
            };
            let description = Cow::Borrowed(*description);
            Migration::new(*version, description, MigrationType::Simple, text, false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // An older program goes on working on the tables of a newer one.
    migrator.set_ignore_missing(true);
    migrator
}

impl Store {
    /// Applies what is missing; several programs may do so at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrator = migrator(self.dialect);
        let done = match self.dialect {
            Dialect::Sqlite => self.migrate_sqlite(&migrator).await,
            Dialect::Postgres => self.migrate_postgres(&migrator).await,
        };
        done.map_err(StoreError::Migrate)
    }

    /// All in one transaction that shuts other writers out from its beginning: the migrator itself takes no lock here.
    async fn migrate_sqlite(&self, migrator: &Migrator) -> Result<(), MigrateError> {
        let pool = self.writer.0.get_sqlite_connection_pool();
        let mut connection = pool.acquire().await?.detach();
        connection.execute(SQLITE_PATIENCE).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        migrator.run(&mut *transaction).await?;
        transaction.commit().await?;
        connection.close().await?;
        Ok(())
    }

    /// On a connection of its own: an index of a large table takes longer than any other statement may, and so may the
    /// wait for another program that makes it.
    async fn migrate_postgres(&self, migrator: &Migrator) -> Result<(), MigrateError> {
        let pool = self.writer.0.get_postgres_connection_pool();
        let mut connection = pool.acquire().await?.detach();
        connection.execute(POSTGRES_PATIENCE).await?;
        migrator.run(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// All migrations that this program or the database knows, oldest first.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        let table = Migrator::DEFAULT.table_name;
        let applied = match self.dialect {
            Dialect::Sqlite => {
                let pool = self.writer.0.get_sqlite_connection_pool();
                let mut connection = pool
                    .acquire()
                    .await
                    .map_err(MigrateError::from)
                    .map_err(StoreError::Migrate)?;
                connection
                    .ensure_migrations_table(&table)
                    .await
                    .map_err(StoreError::Migrate)?;
                connection.list_applied_migrations(&table).await
            }
            Dialect::Postgres => {
                let pool = self.writer.0.get_postgres_connection_pool();
                let mut connection = pool
                    .acquire()
                    .await
                    .map_err(MigrateError::from)
                    .map_err(StoreError::Migrate)?;
                connection
                    .ensure_migrations_table(&table)
                    .await
                    .map_err(StoreError::Migrate)?;
                connection.list_applied_migrations(&table).await
            }
        };
        let applied: Vec<i64> = applied
            .map_err(StoreError::Migrate)?
            .iter()
            .map(|migration| migration.version)
            .collect();
        let mut all: Vec<MigrationStatus> = MIGRATIONS
            .iter()
            .map(|(version, description, ..)| MigrationStatus {
                version: *version,
                description: (*description).to_owned(),
                applied: applied.contains(version),
                unknown: false,
            })
            .collect();
        for version in applied {
            if !all.iter().any(|known| known.version == version) {
                all.push(MigrationStatus {
                    version,
                    description: "made by a newer program".to_owned(),
                    applied: true,
                    unknown: true,
                });
            }
        }
        all.sort_by_key(|migration| migration.version);
        Ok(all)
    }
}
