//! Brings the database's tables to what this program knows, under a lock; newer tables stay as they are.
//!
//! To add a migration, add a file with the next number to both folders of `migrations/` and its name to the list below. Files
//! that were released never change: the databases know their checksums.

use sea_orm::sqlx::migrate::{
    AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator,
};
use sea_orm::sqlx::{Connection as _, Executor as _, SqlSafeStr as _, SqlStr};

use crate::store::Store;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;

/// The limits of a connection that migrates: it waits an hour for a lock, and a statement takes as long as it needs.
const SQLITE_PATIENCE: &str = "PRAGMA busy_timeout = 3600000";
const POSTGRES_PATIENCE: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '1h'";

/// The migrations' files, oldest first: a number, an underscore and what it brings; for each database one of this name.
///
/// Not sqlx's macro that reads a folder: it compiles sqlx and SQLite a second time for the build, and overlooks a new file.
macro_rules! migrations {
    ($($name:literal),*) => {
        const MIGRATIONS: &[(&str, &str, &str)] = &[$((
            $name,
            include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        )),*];
    };
}

migrations![
    "0001_trackings",
    "0002_claim_order",
    "0003_plan",
    "0004_times",
    "0005_failures",
    "0006_queues",
    "0007_counts",
    "0008_calls_taken",
    "0009_spellings",
    "0010_history",
    "0011_logins",
    "0012_facts",
    "0013_tenants",
    "0014_parcels",
    "0015_idempotency",
    "0016_push",
    "0017_archive",
    "0018_replay",
    "0019_tickets",
    "0020_extras",
    "0021_turns",
    "0022_subscriptions"
];

/// One migration, and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    pub version: i64,
    pub description: String,
    pub applied: bool,
    /// Applied by a newer program, and not known to this one.
    pub unknown: bool,
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(name, sqlite, postgres)| {
        let (version, description) = name.split_once('_').unwrap_or((name, ""));
        let text: SqlStr = match dialect {
            Dialect::Sqlite => sqlite.into_sql_str(),
            Dialect::Postgres => postgres.into_sql_str(),
        };
        Migration::new(
            version.parse().expect("a test holds that it is a number"),
            description.replace('_', " ").into(),
            MigrationType::Simple,
            text,
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // An older program goes on working on the tables of a newer one.
    migrator.set_ignore_missing(true);
    migrator
}

impl Store {
    /// Applies what is missing; several programs may do so at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.refuse_old_consumers().await?;
        let migrator = migrator(self.dialect);
        match self.dialect {
            Dialect::Sqlite => self.migrate_sqlite(&migrator).await?,
            Dialect::Postgres => self.migrate_postgres(&migrator).await?,
        }
        Ok(())
    }

    /// In one transaction that keeps other writers out from its beginning: the migrator takes no lock on SQLite.
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

    /// On a connection of its own: indexing a large table takes longer than other statements may, and so may waiting for
    /// another program that does it.
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
        let applied = match self.dialect {
            Dialect::Sqlite => {
                let pool = self.writer.0.get_sqlite_connection_pool();
                list_applied(&mut *pool.acquire().await.map_err(MigrateError::from)?).await?
            }
            Dialect::Postgres => {
                let pool = self.writer.0.get_postgres_connection_pool();
                list_applied(&mut *pool.acquire().await.map_err(MigrateError::from)?).await?
            }
        };
        let applied: Vec<i64> = applied.iter().map(|migration| migration.version).collect();
        let migrator = migrator(self.dialect);
        let mut all: Vec<MigrationStatus> = migrator
            .iter()
            .map(|migration| MigrationStatus {
                version: migration.version,
                description: migration.description.to_string(),
                applied: applied.contains(&migration.version),
                unknown: false,
            })
            .collect();
        for version in applied {
            if !migrator.version_exists(version) {
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

async fn list_applied(
    connection: &mut impl Migrate,
) -> Result<Vec<AppliedMigration>, MigrateError> {
    let table = &Migrator::DEFAULT.table_name;
    connection.ensure_migrations_table(table).await?;
    connection.list_applied_migrations(table).await
}

#[cfg(test)]
mod tests {
    use super::{Dialect, MIGRATIONS, migrator};

    #[test]
    fn every_migration_file_is_in_the_list_and_they_are_numbered_without_gaps() {
        for (folder, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let path = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(path)
                .expect("reads the folder")
                .map(|file| file.expect("reads the entry").file_name())
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            files.sort();
            let listed = MIGRATIONS.iter().map(|(name, ..)| format!("{name}.sql"));
            assert_eq!(files, listed.collect::<Vec<_>>(), "{folder}");
            let versions: Vec<i64> = migrator(dialect).iter().map(|it| it.version).collect();
            assert_eq!(versions, (1..=files.len() as i64).collect::<Vec<_>>());
        }
    }

    /// The beginnings of the checksums that the databases of users hold (SHA-384, as `sha384sum` shows them).
    const RELEASED: &[(&str, &str)] = &[
        ("475e6679bbd7fd3c", "4b6ecdd8953f8128"),
        ("821610d19a27c25f", "821610d19a27c25f"),
        ("e9238a32f668693e", "995ea1041a4bb523"),
        ("bc9bd2f1ed076af8", "9798a8d77fde80dc"),
    ];

    #[test]
    fn migrations_that_were_released_are_unchanged() {
        let begin = |bytes: &[u8]| -> String {
            let begin = bytes[..8].iter();
            begin.map(|byte| format!("{byte:02x}")).collect()
        };
        let (sqlite, postgres) = (migrator(Dialect::Sqlite), migrator(Dialect::Postgres));
        let pairs = std::iter::zip(sqlite.iter(), postgres.iter());
        for ((sqlite, postgres), released) in pairs.zip(RELEASED) {
            let found = (begin(&sqlite.checksum), begin(&postgres.checksum));
            assert_eq!((found.0.as_str(), found.1.as_str()), *released);
        }
    }
}
