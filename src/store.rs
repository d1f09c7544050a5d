//! The store: all SQL of the house, for SQLite and PostgreSQL.
//!
//! One struct, a file for each thing it keeps. Statements are raw, since they work on whole sets and on locks, which the
//! query builder does not; they are written once for both databases, with the few differences in [`sql`] and [`set`].
//! SQLite has one writing connection and a few reading ones; its write transactions begin IMMEDIATE.

pub mod carrier_state;
pub mod claims;
pub mod dead_letters;
pub mod dialect;
pub mod events;
pub mod learned;
pub mod lock;
pub mod migrate;
pub mod partitions;
pub mod prices;
pub mod set;
pub mod sql;
pub mod trackings;
pub mod updates;

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
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr,
    SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector, TransactionOptions,
    TransactionTrait,
};

use crate::clock::{Time, machine_now};
use crate::plan::Sections;
use crate::store::dialect::Dialect;
use crate::store::set::Set;
use crate::store::sql::{Row, Sql};

/// How long a query waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long, in milliseconds, PostgreSQL lets a transaction do nothing before it ends it: one of a process that was stopped
/// holds rows that all others need. Ours do nothing for as long as the cache takes to raise a fence, two seconds.
const IDLE_IN_TRANSACTION_MS: &str = "10000";

/// How long a connection to PostgreSQL stays open unused: shorter than networks forget about it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection may take to show that it still works.
const PING_MAX: Duration = Duration::from_secs(5);

/// How long SQLite waits for another process's write before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away or too busy: worth another try later.
    #[error("the database is not available")]
    Unavailable(#[source] DbErr),
    /// The database gave a statement up that took longer than it may: fewer rows at once may get through.
    #[error("the database took too long over a statement")]
    Slow(#[source] DbErr),
    /// The database refuses this statement with these values: another try gives the same.
    #[error("the database refused a statement")]
    Refused(#[source] DbErr),
    /// A row holds what no row can hold.
    #[error("table {table} holds an unreadable {column}: {reason}")]
    Corrupt {
        table: &'static str,
        column: String,
        reason: String,
    },
    /// The partition's offset or owner is not what the caller thinks: somebody else has gone on.
    #[error("partition {partition} of {topic} has moved on without us")]
    OffsetMoved { topic: String, partition: i32 },
    #[error("{0}")]
    Url(String),
    #[error("cannot migrate the database")]
    Migrate(#[source] sea_orm::sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether another try may succeed when the database is back.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Slow(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => {
                if is_refusal(inner) {
                    Self::Refused(error)
                } else if is_time_out(inner) {
                    Self::Slow(error)
                } else {
                    Self::Unavailable(error)
                }
            }
            DbErr::Type(_) | DbErr::TryIntoErr { .. } | DbErr::Json(_) => Self::Refused(error),
            _ => Self::Unavailable(error),
        }
    }
}

/// Whether the database looked at the statement and refused its values, rather than being away, busy or shut down.
fn is_refusal(error: &sea_orm::sqlx::Error) -> bool {
    use sea_orm::sqlx::Error;
    match error {
        Error::Database(inner) => match inner.code().as_deref() {
            // PostgreSQL: 22 data exception, 23 integrity, 54 limit exceeded. Not 42, a table or a right that is missing:
            // no record is to blame for that.
            Some(code) if code.len() == 5 => ["22", "23", "54"]
                .iter()
                .any(|class| code.starts_with(class)),
            // SQLite's primary result codes (the low byte): 18 too big, 19 constraint, 20 mismatch, 25 range. Not 1, which
            // is what a missing table gives.
            Some(code) => code
                .parse::<u32>()
                .is_ok_and(|code| matches!(code & 0xff, 18 | 19 | 20 | 25)),
            None => false,
        },
        Error::Encode(_)
        | Error::Decode(_)
        | Error::ColumnDecode { .. }
        | Error::TypeNotFound { .. } => true,
        _ => false,
    }
}

/// Whether PostgreSQL ended the statement at its statement_timeout.
fn is_time_out(error: &sea_orm::sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some("57014"))
}

/// How a store connects, and how many connections it may hold.
#[derive(Clone, Debug)]
pub struct Connections {
    /// SQLite's reading connections.
    pub readers: u32,
    /// PostgreSQL's connections.
    pub postgres: u32,
    /// The longest that PostgreSQL works on one statement.
    pub statement_timeout: Duration,
    /// A PEM file of certificates that PostgreSQL's is trusted by besides the machine's own, where the URL names none.
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

/// The database, behind one type for both kinds. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    dialect: Dialect,
    sections: Arc<Sections>,
}

impl Store {
    /// Opens the database at `url` (`sqlite://FILE` or `postgres://…`); a missing SQLite file is created.
    ///
    /// Does not migrate: see [`Store::migrate`].
    ///
    /// # Errors
    /// [`StoreError::Url`] where the URL is not one of ours, [`StoreError::Unavailable`] where nothing answers there.
    pub async fn open(url: &str, connections: Connections) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::open_postgres(url, connections).await
        } else if url.starts_with("sqlite:") {
            Self::open_sqlite(url, connections).await
        } else {
            Err(StoreError::Url(
                "store.url must begin with sqlite:// or postgres://".to_owned(),
            ))
        }
    }

    async fn open_sqlite(url: &str, connections: Connections) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| StoreError::Url(format!("store.url is not readable: {error}")))?
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
            .map_err(connect_error)?;
        let reader = SqlitePoolOptions::new()
            .max_connections(connections.readers.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Ok(Self {
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
            reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
            dialect: Dialect::Sqlite,
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
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections.postgres.max(2))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .test_before_acquire(false)
            // sqlx asks again itself, but would wait for as long as the network does.
            .after_release(|connection, _| Box::pin(still_works(connection)))
            .connect_with(options)
            .await
            .map_err(connect_error)?;
        let both = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Ok(Self {
            writer: both.clone(),
            reader: both,
            dialect: Dialect::Postgres,
            sections: Arc::default(),
        })
    }

    /// The same store, which learns by these sections; without them all carriers are learned as one.
    pub fn learning_by(self, sections: Sections) -> Self {
        Self {
            sections: Arc::new(sections),
            ..self
        }
    }

    /// The sections that it learns by.
    pub fn sections(&self) -> &Sections {
        &self.sections
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.reader.execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// The time that every role goes by: PostgreSQL's own, or this machine's where the database is a file on it.
    pub async fn time(&self) -> Result<Time, StoreError> {
        match self.dialect {
            Dialect::Sqlite => Ok(machine_now()),
            Dialect::Postgres => {
                let sql = Sql::new(self.dialect, "SELECT clock_timestamp() AS now");
                let row = self.reader.query_one_raw(sql.statement()).await?;
                let row = row.ok_or_else(|| StoreError::Corrupt {
                    table: "(none)",
                    column: "now".to_owned(),
                    reason: "no row".to_owned(),
                })?;
                Row::new(&row, self.dialect, "(none)").time("now")
            }
        }
    }

    /// Closes all connections; what is under way ends first.
    pub async fn close(self) {
        for connection in [self.reader, self.writer] {
            if let Err(error) = connection.close().await {
                tracing::warn!("could not close the database: {error}");
            }
        }
    }

    /// Begins a transaction that writes. On SQLite it waits for the one writing connection.
    async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: match self.dialect {
                Dialect::Sqlite => Some(SqliteTransactionMode::Immediate),
                Dialect::Postgres => None,
            },
            ..TransactionOptions::default()
        };
        Ok(self.writer.begin_with_options(options).await?)
    }

    fn sql(&self, text: impl Into<String>) -> Sql {
        Sql::new(self.dialect, text)
    }

    fn set<'a, R>(&self, rows: &'a [R]) -> Set<'a, R> {
        Set::of(self.dialect, rows)
    }
}

/// How to connect to `url`; `ca_file` is trusted too, unless the URL names a file of its own.
fn postgres_options(url: &str, ca_file: Option<&Path>) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::Url("store.url is not a readable postgres:// URL".to_owned()))?;
    Ok(match ca_file {
        Some(ca_file) if !url.contains("sslrootcert=") => options.ssl_root_cert(ca_file),
        Some(_) | None => options,
    })
}

/// Whether a connection that somebody may have let go in the middle still works; without an answer it is closed.
async fn still_works(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ping = tokio::time::timeout(PING_MAX, connection.ping()).await;
    ping.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map(|()| true)
}

fn connect_error(error: sea_orm::sqlx::Error) -> StoreError {
    StoreError::Unavailable(DbErr::Conn(RuntimeErr::SqlxError(error.into())))
}
