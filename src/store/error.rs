//! Why the store could not do what was asked, and how that follows from what the database said.

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::sqlx::migrate::MigrateError;
use sea_orm::{DbErr, RuntimeErr};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is unreachable or too busy: the same call may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] DbErr),
    /// The database cancelled a statement that took too long: one with fewer rows may succeed.
    #[error("the database took too long over a statement")]
    Slow(#[source] DbErr),
    /// The database rejects this statement with these values: the same call fails again.
    #[error("the database refused a statement")]
    Refused(#[source] DbErr),
    /// A row holds something that the program never writes.
    #[error("table {table}, row {row}: {column} is unreadable: {reason}")]
    Corrupt {
        table: &'static str,
        row: String,
        column: String,
        reason: String,
    },
    /// A partition's offset or owner is not the one that the caller knows: another consumer has taken it.
    #[error("one of the partitions {partitions:?} of {topic} has another owner or offset by now")]
    OffsetMoved { topic: String, partitions: Vec<i32> },
    /// These updates of a batch, by place, name another parcel than the tracking with their id is.
    #[error("{} updates are of other parcels than their trackings", .0.len())]
    OtherParcels(Vec<(usize, String)>),
    /// The URL or the file that it names cannot be used.
    #[error("{0}")]
    Url(String),
    /// Another request had this Idempotency-Key.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// A request with this Idempotency-Key does not end.
    #[error("a request with this Idempotency-Key is still under way")]
    KeyBusy,
    /// These consumers of an older program live, and must end before the tables change.
    #[error(
        "consumers of an older TrackBox still run on this database: {0}. Stop every TrackBox process on it, then start this \
             one: this upgrade is stop, then start. A consumer that was killed counts as running until its time is over"
    )]
    OldConsumers(String),
    #[error("cannot migrate the database")]
    Migrate(#[from] MigrateError),
}

impl StoreError {
    /// The same call may succeed later, for a reason that is not the database's.
    pub fn busy(reason: impl Into<String>) -> Self {
        Self::Unavailable(DbErr::Custom(reason.into()))
    }

    /// Whether the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Slow(_))
    }

    /// Whether waiting may mend it. It may not if a person must change a setting, a right or the database itself.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(
                DbErr::Conn(RuntimeErr::SqlxError(error))
                | DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error)),
            ) => may_pass(error),
            Self::Migrate(
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
            ) => may_pass(error),
            Self::Unavailable(_) | Self::Slow(_) => true,
            Self::Migrate(_)
            | Self::Refused(_)
            | Self::Corrupt { .. }
            | Self::OffsetMoved { .. }
            | Self::OtherParcels(_)
            | Self::KeyReused
            | Self::KeyBusy
            | Self::OldConsumers(_)
            | Self::Url(_) => false,
        }
    }

    /// Whether a lock was waited for too long (PostgreSQL's code 55P03, lock_not_available).
    pub fn is_lock_timeout(&self) -> bool {
        let Self::Unavailable(
            DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)),
        ) = self
        else {
            return false;
        };
        matches!(inner.as_ref(), SqlxError::Database(inner) if inner.code().as_deref() == Some("55P03"))
    }

    /// The error of a database that did not answer in time.
    pub fn timed_out() -> Self {
        Self::connect(SqlxError::PoolTimedOut)
    }

    /// The error of a connection that could not be made.
    pub fn connect(error: SqlxError) -> Self {
        Self::Unavailable(DbErr::Conn(RuntimeErr::SqlxError(error.into())))
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

/// Whether the database rejected the statement's values, as opposed to being unreachable, busy or shut down.
fn is_refusal(error: &SqlxError) -> bool {
    match error {
        SqlxError::Database(inner) => match inner.code().as_deref() {
            // PostgreSQL: 22 data exception, 23 integrity, 54 limit exceeded. Not 42, a missing table or right: no
            // record is to blame for that.
            Some(code) if code.len() == 5 => ["22", "23", "54"]
                .iter()
                .any(|class| code.starts_with(class)),
            // SQLite's primary result codes (the low byte): 18 too big, 19 constraint, 20 mismatch, 25 range. Not 1,
            // which stands for a missing table.
            Some(code) => code
                .parse::<u32>()
                .is_ok_and(|code| matches!(code & 0xff, 18 | 19 | 20 | 25)),
            None => false,
        },
        SqlxError::Encode(_)
        | SqlxError::Decode(_)
        | SqlxError::ColumnDecode { .. }
        | SqlxError::TypeNotFound { .. } => true,
        _ => false,
    }
}

/// See [`StoreError::may_pass`].
fn may_pass(error: &SqlxError) -> bool {
    match error {
        SqlxError::Database(inner) => match inner.code().as_deref() {
            // PostgreSQL: 08 connection, 25 transaction state (a standby that is not promoted yet takes no writes),
            // 40 rollback, 53 resources, 55 object state (a lock), 57 intervention (it starts or stops), 58 system.
            // Not 28, a refused user or password, 3D, an unknown database, or 42, a missing right.
            Some(code) if code.len() == 5 => ["08", "25", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class)),
            // SQLite's primary result codes (the low byte): 5 busy, 6 locked.
            Some(code) => code
                .parse::<u32>()
                .is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
            None => false,
        },
        // rustls reports a certificate that it does not trust as an input error.
        SqlxError::Io(inner) => !inner
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>()),
        SqlxError::Configuration(_) | SqlxError::InvalidArgument(_) | SqlxError::Tls(_) => false,
        _ => true,
    }
}

/// Whether PostgreSQL cancelled the statement at its statement_timeout.
fn is_time_out(error: &SqlxError) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some("57014"))
}
