//! The store: all SQL of the house, for SQLite and PostgreSQL.
//!
//! One struct, a file for each thing it keeps. A plain read or write of one table goes through its [`entity`] and sea-orm's
//! query builder; so does every filter. Other statements are written by hand, once for both databases ([`sql`]):
//! - What writes or finds a [`set`] of rows in one round trip, as [`updates`], [`learned`], [`counts`], [`keys`], [`aliases`],
//!   [`twins`], [`creating`], [`tickets`] and most of [`trackings`] and [`partitions`]: the builder has neither UNNEST …
//!   WITH ORDINALITY nor `json_each`.
//! - [`claims`]: such a set again, under CTEs whose plan matters. A test holds that PostgreSQL reads the claim index alone.
//! - Taking free partitions (a CTE with a lock) and the reports of [`events`] (aggregates over a limited subquery): the
//!   builder could, in many times the lines.
//!
//! Times and UUIDs have a type of their own in PostgreSQL only: see [`column`] for reading and [`native`] for writing.
//! SQLite has one writing connection and a few reading ones; its write transactions begin IMMEDIATE.

pub mod account_plans;
pub mod account_states;
pub mod acting;
pub mod acts;
pub mod aliases;
pub mod api_keys;
pub mod archive;
pub mod archive_place;
pub mod askings;
pub mod calls_taken;
pub mod changes;
pub mod chores;
pub mod claims;
pub mod column;
pub mod counts;
pub mod creating;
pub mod dead_letters;
pub mod dialect;
pub mod entity;
pub mod error;
pub mod events;
mod facts;
pub mod failures;
pub mod feed;
pub mod history;
pub mod idempotency;
pub mod keys;
pub mod learned;
pub mod lock;
pub mod logins;
pub mod migrate;
mod moving;
pub mod native;
mod owning;
pub mod parcels;
mod parcels_max;
pub mod partitions;
pub mod processes;
mod push_news;
pub mod pushed;
pub mod queues;
pub mod readings;
pub mod rows;
pub mod search;
pub mod set;
pub mod sql;
pub mod subscriptions;
pub mod tenants;
pub mod tickets;
pub mod trackings;
pub mod turns;
pub mod twins;
pub mod updates;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult, QueryTrait, Select,
    SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector, TransactionOptions,
    TransactionTrait,
};

use crate::clock::{Time, machine_now};
use crate::plan::Sections;
use crate::store::column::Stamp;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::native::{Native, Transaction};
use crate::store::rows::{Readable, Reader};
use crate::store::set::Set;
use crate::store::sql::Sql;

/// How long a query waits for a connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long, in milliseconds, a transaction may be idle before PostgreSQL ends it: that of a stopped process holds locks
/// that all others need. Ours are idle while the cache raises a fence, for two seconds at most.
const IDLE_IN_TRANSACTION_MS: &str = "10000";

/// How long a connection to PostgreSQL stays open unused: less than the time after which networks forget it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection may take to answer a ping.
const PING_MAX: Duration = Duration::from_secs(5);

/// How long SQLite waits for another process's write before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a store connects, and how many connections it may hold.
#[derive(Clone, Debug)]
pub struct Connections {
    /// SQLite's reading connections.
    pub readers: u32,
    /// PostgreSQL's connections.
    pub postgres: u32,
    /// PostgreSQL cancels a statement that takes longer.
    pub statement_timeout: Duration,
    /// A PEM file of certificates to trust besides the machine's own, unless the URL names one.
    pub ca_file: Option<PathBuf>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            readers: 4,
            postgres: 16,
            statement_timeout: Duration::from_secs(30),
            ca_file: None,
        }
    }
}

/// The database, of either kind, with all that it holds.
///
/// It alone reads and writes the current states of trackings, which the cache has too. `current` owns it beside the cache.
/// All else is a [`Store`], which is what the other rooms hold: they cannot go round the cache.
#[derive(Clone, Debug)]
pub struct WholeStore(Store);

impl WholeStore {
    /// Opens the database at `url` (`sqlite://FILE` or `postgres://…`); creates a missing SQLite file.
    ///
    /// Does not migrate: see [`Store::migrate`].
    ///
    /// # Errors
    /// [`StoreError::Url`] if the URL has another scheme or is malformed, [`StoreError::Unavailable`] if nothing answers.
    pub async fn open(url: &str, connections: Connections) -> Result<Self, StoreError> {
        let store = match Dialect::of(url)? {
            Dialect::Postgres => Store::open_postgres(url, connections).await,
            Dialect::Sqlite => Store::open_sqlite(url, connections).await,
        };
        store.map(Self)
    }

    /// The same database, learning by these sections and telling spellings apart as they do; without them it learns about
    /// all carriers together, and no carrier minds blanks or case.
    pub fn learning_by(&self, sections: Sections) -> Self {
        Self(Store {
            sections: Arc::new(sections),
            ..self.0.clone()
        })
    }

    /// All of it but the current states.
    pub fn store(&self) -> Store {
        self.0.clone()
    }

    /// Closes all connections once the statements in progress have ended.
    pub async fn close(self) {
        self.0.close().await;
    }
}

impl Deref for WholeStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

/// The database but for the current states of trackings. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Native<DatabaseConnection>,
    reader: Native<DatabaseConnection>,
    dialect: Dialect,
    rows: Reader,
    sections: Arc<Sections>,
}

impl Store {
    async fn open_sqlite(url: &str, connections: Connections) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| StoreError::Url(format!("store.url is malformed: {error}")))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        if let Some(folder) = options
            .get_filename()
            .parent()
            .filter(|f| *f != Path::new(""))
        {
            std::fs::create_dir_all(folder).map_err(|error| {
                StoreError::Url(format!("cannot create the folder of {url}: {error}"))
            })?;
        }
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT * 2)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await
            .map_err(StoreError::connect)?;
        let reader = SqlitePoolOptions::new()
            .max_connections(connections.readers.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Ok(Self {
            writer: Native(SqlxSqliteConnector::from_sqlx_sqlite_pool(writer)),
            reader: Native(SqlxSqliteConnector::from_sqlx_sqlite_pool(reader)),
            dialect: Dialect::Sqlite,
            rows: Reader::default(),
            sections: Arc::default(),
        })
    }

    async fn open_postgres(url: &str, connections: Connections) -> Result<Self, StoreError> {
        let timeout_ms = connections.statement_timeout.as_millis().to_string();
        let options = postgres_options(url, connections.ca_file.as_deref())?
            .application_name("trackbox")
            .options([
                ("statement_timeout", timeout_ms.as_str()),
                (
                    "idle_in_transaction_session_timeout",
                    IDLE_IN_TRANSACTION_MS,
                ),
                // Every statement leads by an index whatever its parameters are, so planning it anew each time finds nothing
                // better, and takes as long as the statement.
                ("plan_cache_mode", "force_generic_plan"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections.postgres.max(2))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .test_before_acquire(false)
            // In place of sqlx's own test, which has no time limit.
            .after_release(|connection, _| Box::pin(still_works(connection)))
            .connect_with(options)
            .await
            .map_err(StoreError::connect)?;
        let both = Native(SqlxPostgresConnector::from_sqlx_postgres_pool(pool));
        Ok(Self {
            writer: both.clone(),
            reader: both,
            dialect: Dialect::Postgres,
            rows: Reader::default(),
            sections: Arc::default(),
        })
    }

    /// The sections to learn by.
    pub fn sections(&self) -> &Sections {
        &self.sections
    }

    /// Checks that the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.reader.execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// The time that all roles use: PostgreSQL's, or for SQLite this machine's.
    pub async fn time(&self) -> Result<Time, StoreError> {
        #[derive(FromQueryResult)]
        struct Now {
            now: Stamp,
        }
        match self.dialect {
            Dialect::Sqlite => Ok(machine_now()),
            Dialect::Postgres => {
                let sql = self.sql("SELECT clock_timestamp() AS now");
                let now = Now::find_by_statement(sql.statement());
                let now = now.one(&self.reader).await?;
                Ok(now.ok_or_else(nothing_returned)?.now.0)
            }
        }
    }

    /// Closes all connections once the statements in progress have ended.
    pub async fn close(self) {
        for connection in [self.reader, self.writer] {
            if let Err(error) = connection.0.close().await {
                tracing::warn!("could not close the database connections: {error}");
            }
        }
    }

    /// Begins a transaction that writes. On SQLite it waits for the one writing connection.
    async fn begin(&self) -> Result<Transaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: match self.dialect {
                Dialect::Sqlite => Some(SqliteTransactionMode::Immediate),
                Dialect::Postgres => None,
            },
            ..TransactionOptions::default()
        };
        Ok(Native(self.writer.0.begin_with_options(options).await?))
    }

    fn sql(&self, text: impl Into<String>) -> Sql {
        Sql::new(self.dialect, text)
    }

    /// Reads rows of one table for a request: see [`Reader::answer`].
    async fn find<T: Readable>(
        &self,
        select: Select<impl EntityTrait>,
    ) -> Result<Vec<T>, StoreError> {
        let found = self.reader.query_all(&select.into_query()).await?;
        self.rows.answer(&found)
    }

    fn set<'a, R>(&self, rows: &'a [R]) -> Set<'a, R> {
        Set::of(self.dialect, rows)
    }
}

/// The options to connect to `url`. `ca_file` is trusted too, unless the URL names a file.
fn postgres_options(url: &str, ca_file: Option<&Path>) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        StoreError::Url("store.url is not a well-formed postgres:// URL".to_owned())
    })?;
    Ok(match ca_file {
        Some(ca_file) if !url.contains("sslrootcert=") => options.ssl_root_cert(ca_file),
        Some(_) | None => options,
    })
}

/// Whether a connection that comes back to the pool still works: its user may have been cancelled in mid-statement.
async fn still_works(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ping = tokio::time::timeout(PING_MAX, connection.ping()).await;
    ping.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map(|()| true)
}

/// The error for a statement that always returns a row and did not.
fn nothing_returned() -> StoreError {
    DbErr::RecordNotFound("the database returned no row".to_owned()).into()
}
