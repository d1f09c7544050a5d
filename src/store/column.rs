//! The columns whose types differ between the databases: times and UUIDs.
//!
//! Reading asks which database the row comes from. Writing cannot: a value becomes a parameter before its database is
//! known. So both are written as what they are, and [`native`](crate::store::native) gives the parameter its type.

use std::sync::Arc;

use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr};
use sea_orm::sqlx::Error as SqlxError;
use sea_orm::{
    ColIdx, DbErr, IntoActiveValue, QueryResult, RuntimeErr, Set, TryFromU64, TryGetError,
    TryGetable, Value,
};
use uuid::Uuid;

use crate::clock::Time;

/// A time: TIMESTAMPTZ in PostgreSQL, microseconds since 1970 UTC as INTEGER in SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub Time);

/// The id of a check, a lease or a process: UUID in PostgreSQL, TEXT in SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub Uuid);

impl TryGetable for Stamp {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        if row.try_as_sqlite_row().is_none() {
            return Time::try_get_by(row, index).map(Self);
        }
        let micros = i64::try_get_by(row, index)?;
        Time::from_timestamp_micros(micros)
            .map(Self)
            .ok_or_else(|| undecodable(index, format!("{micros} µs is not a time")))
    }
}

impl TryGetable for Key {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        if row.try_as_sqlite_row().is_none() {
            return Uuid::try_get_by(row, index).map(Self);
        }
        let text = String::try_get_by(row, index)?;
        Uuid::parse_str(&text)
            .map(Self)
            .map_err(|error| undecodable(index, error.to_string()))
    }
}

/// The error that sqlx gives for a column of a wrong type.
fn undecodable(index: impl ColIdx, reason: String) -> TryGetError {
    let error = SqlxError::ColumnDecode {
        index: format!("{index:?}"),
        source: reason.into(),
    };
    TryGetError::DbErr(DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))))
}

/// What sea-orm asks of a column's type, passed on to the type inside.
macro_rules! column_type {
    ($name:ident, $inner:ty) => {
        impl From<$name> for Value {
            fn from(column: $name) -> Self {
                column.0.into()
            }
        }

        impl ValueType for $name {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                <$inner as ValueType>::try_from(value).map(Self)
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> ArrayType {
                <$inner>::array_type()
            }

            fn column_type() -> ColumnType {
                <$inner>::column_type()
            }
        }

        impl Nullable for $name {
            fn null() -> Value {
                <$inner>::null()
            }
        }

        impl IntoActiveValue<Self> for $name {
            fn into_active_value(self) -> sea_orm::ActiveValue<Self> {
                Set(self)
            }
        }

        // Needed of every part of a primary key; the database never generates one of these.
        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    };
}

column_type!(Stamp, Time);
column_type!(Key, Uuid);
