//! How rows are read, and what becomes of a corrupt one.
//!
//! A corrupt row holds what the program never writes: a time out of range, a UUID that is none. It stops nothing else. It is
//! logged once with its table, row and column, and left out as if it were not there. Only a request for which nothing else
//! was found gets the error.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use sea_orm::sqlx::Error as SqlxError;
use sea_orm::{DbErr, QueryResult, RuntimeErr, TryGetError, TryGetable};

use crate::store::error::StoreError;

/// How many corrupt rows are remembered as logged; beyond that they are all logged anew.
const LOGGED_MAX: usize = 1_000;

/// What rows of a table are read as.
pub trait Readable: Sized {
    const TABLE: &'static str;

    /// The column that tells the table's rows apart, for errors.
    const KEY: &'static str = "id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable>;
}

/// The column of a row that cannot be read, and why.
#[derive(Debug)]
pub struct Unreadable {
    column: String,
    reason: String,
}

impl Unreadable {
    pub fn new(column: &str, reason: impl ToString) -> Self {
        Self {
            column: column.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl From<TryGetError> for Unreadable {
    fn from(error: TryGetError) -> Self {
        match &error {
            TryGetError::Null(column) => return Self::new(column.trim_matches('"'), "it is NULL"),
            TryGetError::DbErr(DbErr::Query(RuntimeErr::SqlxError(inner))) => {
                if let SqlxError::ColumnDecode { index, source } = inner.as_ref() {
                    return Self::new(index.trim_matches('"'), source);
                }
            }
            TryGetError::DbErr(_) => {}
        }
        Self::new("a column", DbErr::from(error))
    }
}

/// The column `name` of a row.
pub fn get<T: TryGetable>(row: &QueryResult, name: &str) -> Result<T, Unreadable> {
    Ok(row.try_get_nullable("", name)?)
}

/// Reads one row.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn read<T: Readable>(row: &QueryResult) -> Result<T, StoreError> {
    T::read(row).map_err(|Unreadable { column, reason }| StoreError::Corrupt {
        table: T::TABLE,
        row: key(row, T::KEY),
        column,
        reason,
    })
}

/// What a row is called in errors.
fn key(row: &QueryResult, column: &str) -> String {
    if let Ok(id) = row.try_get::<i64>("", column) {
        id.to_string()
    } else if let Ok(number) = row.try_get::<i32>("", column) {
        number.to_string()
    } else {
        row.try_get("", column)
            .unwrap_or_else(|_| "unknown".to_owned())
    }
}

/// Reads rows and remembers which corrupt ones were logged. A clone shares the memory.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    logged: Arc<Mutex<HashSet<String>>>,
}

impl Reader {
    /// The readable rows among `rows`, in their order; the others are logged.
    pub fn readable<T: Readable>(&self, rows: &[QueryResult]) -> Vec<T> {
        let read = rows.iter().map(read);
        read.filter_map(|row| row.inspect_err(|error| self.log(error)).ok())
            .collect()
    }

    /// The same for a request.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if there are rows, but none of them is readable.
    pub fn answer<T: Readable>(&self, rows: &[QueryResult]) -> Result<Vec<T>, StoreError> {
        let readable = self.readable(rows);
        match rows.first() {
            Some(first) if readable.is_empty() => read(first).map(|row| vec![row]),
            Some(_) | None => Ok(readable),
        }
    }

    fn log(&self, error: &StoreError) {
        let text = error.to_string();
        let mut logged = self.logged.lock();
        if logged.len() >= LOGGED_MAX {
            logged.clear();
        }
        if let StoreError::Corrupt {
            table, row, column, ..
        } = error
            && logged.insert(text)
        {
            tracing::error!(table, row, column, "skipped a corrupt row: {error}");
        }
    }
}
