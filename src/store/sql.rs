//! What the two databases say differently, and how a row is read.
//!
//! A statement takes `$1`, `$2`, … in both. Whole sets travel as one JSON parameter, which [`Sql::rows`] turns into a
//! table: one statement a set, however many rows it has.
//! That is short and the same in both, and it has its price: on PostgreSQL 15 (2026-11-26, the client's share included)
//! inserts of 500 and of 10,000 events took 2.2 and 2.6 times as long as by UNNEST over an array a column, as the bench
//! `store` shows.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{DbBackend, QueryResult, Statement, TryGetable, Value};
use serde_json::json;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::StoreError;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::Postgres => DbBackend::Postgres,
        }
    }

    /// Locks the selected rows, passing over those that another worker holds; SQLite has one writer anyway.
    pub fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// Locks the selected rows.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE",
        }
    }

    /// A time as a value inside a JSON parameter.
    pub fn json_time(self, time: Option<Time>) -> serde_json::Value {
        match (self, time) {
            (_, None) => serde_json::Value::Null,
            (Self::Sqlite, Some(time)) => json!(time.timestamp_micros()),
            (Self::Postgres, Some(time)) => {
                json!(time.to_rfc3339_opts(SecondsFormat::Micros, true))
            }
        }
    }

    /// Reads a column that holds bytes as lower case hex out of a JSON parameter.
    pub fn from_hex(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("unhex({column})"),
            Self::Postgres => format!("decode({column}, 'hex')"),
        }
    }
}

/// The type of a column in a set of rows.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Int,
    SmallInt,
    BigInt,
    Double,
    Text,
    Bool,
    Time,
    Uuid,
}

impl Kind {
    fn postgres(self) -> &'static str {
        match self {
            Self::Int => "integer",
            Self::SmallInt => "smallint",
            Self::BigInt => "bigint",
            Self::Double => "double precision",
            Self::Text => "text",
            Self::Bool => "boolean",
            Self::Time => "timestamptz",
            Self::Uuid => "uuid",
        }
    }
}

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

    /// Adds a set of rows as the next parameter: one object a row, for [`Sql::rows`].
    pub fn bind_rows(self, rows: Vec<serde_json::Value>) -> Self {
        self.bind(serde_json::Value::Array(rows))
    }

    /// The FROM item that turns JSON parameter `number` into a table `alias` with `columns` and the row's place `nth`,
    /// counted from 1.
    pub fn rows(dialect: Dialect, number: usize, alias: &str, columns: &[(&str, Kind)]) -> String {
        let mut text = String::new();
        let written = match dialect {
            Dialect::Sqlite => {
                let list: Vec<String> = columns
                    .iter()
                    .map(|(name, _)| format!("value ->> '$.{name}' AS {name}"))
                    .collect();
                write!(
                    text,
                    "(SELECT key + 1 AS nth, {} FROM json_each(${number})) AS {alias}",
                    list.join(", ")
                )
            }
            Dialect::Postgres => {
                let typed: Vec<String> = columns
                    .iter()
                    .map(|(name, kind)| format!("{name} {}", kind.postgres()))
                    .collect();
                let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
                write!(
                    text,
                    "ROWS FROM (jsonb_to_recordset(${number}) AS ({})) WITH ORDINALITY AS {alias}({}, nth)",
                    typed.join(", "),
                    names.join(", ")
                )
            }
        };
        written.expect("writing to a string cannot fail");
        text
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
