//! A lock on the whole database that each process holds for its life, exclusive or shared.
//!
//! On SQLite it is a lock on a file beside the database. On PostgreSQL it is a session's advisory lock on a connection of its
//! own, which a pooler between the program and the server must not share.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::sqlx::{self, Connection as _, PgConnection};

use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::postgres_options;

/// The lock's key in PostgreSQL: the letters of TRACKBOX.
const KEY: i64 = i64::from_be_bytes(*b"TRACKBOX");

/// How long the server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How often a lock is tried, and how many times in all: the process that holds it may be about to exit.
const TRY_EVERY: Duration = Duration::from_millis(200);
const TRIES: u32 = 5;

/// The lock, until it is dropped.
pub struct StoreLock {
    url: String,
    ca_file: Option<PathBuf>,
    alone: bool,
    held: Held,
}

enum Held {
    File {
        _file: File,
    },
    Session(PgConnection),
    /// The connection broke, and the lock with it.
    Lost,
}

impl StoreLock {
    /// Locks the database at `url`, exclusively if `alone`; `None` if another process's lock does not allow it.
    ///
    /// # Errors
    /// If the database is unavailable, or its folder cannot be written.
    pub async fn take(
        url: &str,
        ca_file: Option<&Path>,
        alone: bool,
    ) -> Result<Option<Self>, StoreError> {
        for attempt in 1..=TRIES {
            let held = match Dialect::of(url)? {
                Dialect::Sqlite => lock_file(url, alone)?.map(|_file| Held::File { _file }),
                Dialect::Postgres => lock_session(url, ca_file, alone).await?.map(Held::Session),
            };
            if let Some(held) = held {
                return Ok(Some(Self {
                    url: url.to_owned(),
                    ca_file: ca_file.map(Path::to_owned),
                    alone,
                    held,
                }));
            }
            if attempt < TRIES {
                tokio::time::sleep(TRY_EVERY).await;
            }
        }
        Ok(None)
    }

    /// Checks that the lock is still held, and takes it again after the connection broke; `false` if another process
    /// has taken it meanwhile.
    ///
    /// # Errors
    /// If the database is unavailable: no other process gets the lock then either.
    pub async fn keep(&mut self) -> Result<bool, StoreError> {
        if let Held::Session(session) = &mut self.held {
            let alive = tokio::time::timeout(ANSWER_MAX, session.ping()).await;
            if matches!(alive, Ok(Ok(()))) {
                return Ok(true);
            }
            self.held = Held::Lost;
        }
        if let Held::Lost = self.held {
            let Some(session) =
                lock_session(&self.url, self.ca_file.as_deref(), self.alone).await?
            else {
                return Ok(false);
            };
            self.held = Held::Session(session);
        }
        Ok(true)
    }

    /// Releases the lock at once, so that the next process need not wait until the server notices.
    pub async fn release(self) {
        if let Held::Session(session) = self.held {
            let closed = tokio::time::timeout(ANSWER_MAX, session.close()).await;
            if !matches!(closed, Ok(Ok(()))) {
                tracing::debug!(
                    "could not close the connection that holds the lock; the lock ends with it"
                );
            }
        }
    }
}

fn lock_file(url: &str, alone: bool) -> Result<Option<File>, StoreError> {
    let file = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = format!("{}.lock", file.split('?').next().unwrap_or(file));
    let refused = |what: &str, error: std::io::Error| {
        StoreError::Url(format!("cannot {what} {path}: {error}"))
    };
    if let Some(folder) = Path::new(&path).parent() {
        std::fs::create_dir_all(folder).map_err(|error| refused("create the folder of", error))?;
    }
    let lock = File::create(&path).map_err(|error| refused("create", error))?;
    let locked = if alone {
        lock.try_lock()
    } else {
        lock.try_lock_shared()
    };
    match locked {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(refused("lock", error)),
    }
}

async fn lock_session(
    url: &str,
    ca_file: Option<&Path>,
    alone: bool,
) -> Result<Option<PgConnection>, StoreError> {
    let options = postgres_options(url, ca_file)?.application_name("trackbox-lock");
    let sql = if alone {
        "SELECT pg_try_advisory_lock($1)"
    } else {
        "SELECT pg_try_advisory_lock_shared($1)"
    };
    let locked = async {
        let mut session = PgConnection::connect_with(&options).await?;
        let got: bool = sqlx::query_scalar(sql)
            .bind(KEY)
            .fetch_one(&mut session)
            .await?;
        Ok(got.then_some(session))
    };
    match tokio::time::timeout(ANSWER_MAX, locked).await {
        Ok(locked) => locked.map_err(StoreError::connect),
        Err(_) => Err(StoreError::timed_out()),
    }
}
