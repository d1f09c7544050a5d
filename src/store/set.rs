//! A set of rows as parameters of one statement: one round trip, however many rows it has.
//!
//! PostgreSQL gets one array a column and UNNESTs them; SQLite gets one JSON text and reads it with `json_each`. The query
//! builder has neither. One JSON parameter would do for PostgreSQL too, but takes about twice as long: the bench `store`
//! compares the two.

use sea_orm::Value;
use sea_orm::sea_query::ValueType;
use serde_json::json;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::dialect::Dialect;

/// What a column of a set may hold.
pub trait Cell: Default + Into<Value> + ValueType {
    /// PostgreSQL's name of the type.
    const POSTGRES: &'static str;

    /// The value in the JSON that SQLite gets.
    fn json(self) -> serde_json::Value;

    /// The SQL that turns the JSON value `read` into the column's value.
    fn from_json(read: String) -> String {
        read
    }
}

macro_rules! plain_cells {
    ($($cell:ty: $name:literal),*) => {$(
        impl Cell for $cell {
            const POSTGRES: &'static str = $name;

            fn json(self) -> serde_json::Value {
                json!(self)
            }
        }
    )*};
}

plain_cells! {
    bool: "boolean", i16: "smallint", i32: "integer", i64: "bigint", f64: "double precision", String: "text", Uuid: "uuid"
}

impl Cell for Time {
    const POSTGRES: &'static str = "timestamptz";

    fn json(self) -> serde_json::Value {
        json!(self.timestamp_micros())
    }
}

impl Cell for Vec<u8> {
    const POSTGRES: &'static str = "bytea";

    fn json(self) -> serde_json::Value {
        let hex: String = self.iter().map(|byte| format!("{byte:02x}")).collect();
        json!(hex)
    }

    fn from_json(read: String) -> String {
        format!("unhex({read})")
    }
}

/// The table `u`, or as [`Set::named`]: a row for each of `rows`, the columns that were added, and the row's place `nth`, counted from 1.
#[derive(Clone, Debug)]
pub struct Set<'a, R> {
    dialect: Dialect,
    /// The table's name, and the start of its parameters' names.
    alias: &'static str,
    rows: &'a [R],
    names: Vec<&'static str>,
    /// The SQL of each column, in the order of `names`.
    read: Vec<String>,
    /// PostgreSQL: each array's name and type, and the array.
    arrays: Vec<(String, &'static str, Value)>,
    /// SQLite: the cells of each row.
    cells: Vec<Vec<serde_json::Value>>,
}

impl<'a, R> Set<'a, R> {
    pub fn of(dialect: Dialect, rows: &'a [R]) -> Self {
        let cells = match dialect {
            Dialect::Sqlite => vec![Vec::new(); rows.len()],
            Dialect::Postgres => Vec::new(),
        };
        Self {
            dialect,
            alias: "u",
            rows,
            names: Vec::new(),
            read: Vec::new(),
            arrays: Vec::new(),
            cells,
        }
    }

    /// Calls the table `alias` instead of `u`, for a statement with several sets.
    pub fn named(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a column that every row has a value for.
    pub fn column<T: Cell>(mut self, name: &'static str, of: impl Fn(&R) -> T) -> Self {
        match self.dialect {
            Dialect::Sqlite => self.add_json::<T>(|row| of(row).json()),
            Dialect::Postgres => {
                self.add_array(name.to_owned(), self.rows.iter().map(of));
                self.read.push(format!("r.{name}"));
            }
        }
        self.names.push(name);
        self
    }

    /// Adds a column that is NULL where a row has no value.
    ///
    /// sea-orm panics over a NULL in an array: a second array says which rows have a value.
    pub fn nullable<T: Cell>(mut self, name: &'static str, of: impl Fn(&R) -> Option<T>) -> Self {
        match self.dialect {
            Dialect::Sqlite => {
                self.add_json::<T>(|row| of(row).map_or(serde_json::Value::Null, Cell::json));
            }
            Dialect::Postgres => {
                let values: Vec<Option<T>> = self.rows.iter().map(of).collect();
                self.add_array(format!("has_{name}"), values.iter().map(Option::is_some));
                let values = values.into_iter().map(Option::unwrap_or_default);
                self.add_array(name.to_owned(), values);
                self.read
                    .push(format!("CASE WHEN r.has_{name} THEN r.{name} END"));
            }
        }
        self.names.push(name);
        self
    }

    fn add_json<T: Cell>(&mut self, of: impl Fn(&R) -> serde_json::Value) {
        for (cells, row) in self.cells.iter_mut().zip(self.rows) {
            cells.push(of(row));
        }
        let place = self.names.len();
        self.read.push(T::from_json(format!("value ->> {place}")));
    }

    fn add_array<T: Cell>(&mut self, name: String, values: impl Iterator<Item = T>) {
        let values: Vec<Value> = values.map(Into::into).collect();
        let array = Value::Array(T::array_type(), Some(Box::new(values)));
        self.arrays.push((name, T::POSTGRES, array));
    }

    /// The names of the columns, each behind `prefix`.
    pub fn names(&self, prefix: &str) -> String {
        let names = self.names.iter().map(|name| format!("{prefix}{name}"));
        names.collect::<Vec<_>>().join(", ")
    }

    /// `name = u.name` of each column, for an UPDATE.
    pub fn assignments(&self) -> String {
        let names = self
            .names
            .iter()
            .map(|name| format!("{name} = {}.{name}", self.alias));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The INSERT of all its rows into `table`, in their order. What is to become of a conflict may follow: without the WHERE,
    /// SQLite would take its ON for that of a join.
    pub fn insert_into(&self, table: &str) -> String {
        format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {} WHERE TRUE ORDER BY {}.nth",
            self.names(""),
            self.names(&format!("{}.", self.alias)),
            self.from(),
            self.alias
        )
    }

    /// The FROM item that makes the table `u`.
    pub fn from(&self) -> String {
        let columns: Vec<String> = std::iter::zip(&self.read, &self.names)
            .map(|(read, name)| format!("{read} AS {name}"))
            .collect();
        let (columns, alias) = (columns.join(", "), self.alias);
        match self.dialect {
            Dialect::Sqlite => {
                format!(
                    "(SELECT key + 1 AS nth, {columns} FROM json_each(:{alias}_rows)) AS {alias}"
                )
            }
            Dialect::Postgres => {
                let (mut arrays, mut names) = (Vec::new(), Vec::new());
                for (name, kind, _) in &self.arrays {
                    arrays.push(format!(":{alias}_{name}::{kind}[]"));
                    names.push(name.as_str());
                }
                let (arrays, names) = (arrays.join(", "), names.join(", "));
                format!(
                    "(SELECT r.nth, {columns} FROM UNNEST({arrays}) WITH ORDINALITY AS r({names}, nth)) AS {alias}"
                )
            }
        }
    }

    /// The parameters of [`Set::from`].
    pub fn parameters(self) -> Vec<(String, Value)> {
        match self.dialect {
            Dialect::Sqlite => vec![(format!("{}_rows", self.alias), json!(self.cells).into())],
            Dialect::Postgres => {
                let arrays = self.arrays.into_iter();
                arrays
                    .map(|(name, _, array)| (format!("{}_{name}", self.alias), array))
                    .collect()
            }
        }
    }
}
