//! What the two databases say differently, and how a row is read.
//!
//! A statement takes `$1`, `$2`, … in both; whole sets of rows travel as a [`Set`].

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Statement, TryGetable, Value};
use uuid::Uuid;

use crate::clock::Time;
use crate::store::StoreError;
use crate::store::dialect::Dialect;
use crate::store::set::Set;

/// A statement in the making: its text and its parameters.
#[derive(Debug)]
pub struct Sql {
    dialect: Dialect,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub fn new(dialect: Dialect, text: impl Into<String>) -> Self {
        Self {
            dialect,
            text: text.into(),
            values: Vec::new(),
        }
    }

    /// Adds the next parameter.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds a time as the next parameter, in the database's own type.
    pub fn bind_time(self, time: Time) -> Self {
        match self.dialect {
            Dialect::Sqlite => self.bind(time.timestamp_micros()),
            Dialect::Postgres => self.bind(time),
        }
    }

    /// Adds the id of a check or a member as the next parameter, in the database's own type.
    pub fn bind_uuid(self, id: Uuid) -> Self {
        match self.dialect {
            Dialect::Sqlite => self.bind(id.to_string()),
            Dialect::Postgres => self.bind(id),
        }
    }

    /// Adds the parameters of a set: behind all others.
    pub fn bind_set<R>(mut self, set: Set<R>) -> Self {
        self.values.extend(set.values());
        self
    }

    pub fn statement(self) -> Statement {
        Statement::from_sql_and_values(self.dialect.backend(), self.text, self.values)
    }
}

/// One row of an answer, read by column name; what cannot be read is an error with an address.
pub struct Row<'a> {
    row: &'a QueryResult,
    dialect: Dialect,
    table: &'static str,
}

impl<'a> Row<'a> {
    pub fn new(row: &'a QueryResult, dialect: Dialect, table: &'static str) -> Self {
        Self {
            row,
            dialect,
            table,
        }
    }

    /// A column of any plain type.
    pub fn get<T: TryGetable>(&self, column: &str) -> Result<T, StoreError> {
        self.row
            .try_get("", column)
            .map_err(|error| self.corrupt(column, error.to_string()))
    }

    pub fn time(&self, column: &str) -> Result<Time, StoreError> {
        self.opt_time(column)?
            .ok_or_else(|| self.corrupt(column, "no value".to_owned()))
    }

    pub fn opt_time(&self, column: &str) -> Result<Option<Time>, StoreError> {
        match self.dialect {
            Dialect::Postgres => self.get::<Option<DateTime<Utc>>>(column),
            Dialect::Sqlite => self
                .get::<Option<i64>>(column)?
                .map(|micros| {
                    DateTime::from_timestamp_micros(micros)
                        .ok_or_else(|| self.corrupt(column, format!("{micros} µs is no time")))
                })
                .transpose(),
        }
    }

    pub fn opt_uuid(&self, column: &str) -> Result<Option<Uuid>, StoreError> {
        match self.dialect {
            Dialect::Postgres => self.get::<Option<Uuid>>(column),
            Dialect::Sqlite => self
                .get::<Option<String>>(column)?
                .map(|text| {
                    Uuid::parse_str(&text).map_err(|error| self.corrupt(column, error.to_string()))
                })
                .transpose(),
        }
    }

    /// The error for a column that holds what it cannot hold.
    pub fn corrupt(&self, column: &str, reason: String) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            column: column.to_owned(),
            reason,
        }
    }
}
