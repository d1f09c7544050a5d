//! A set of rows as parameters of one statement: one round trip, however many rows it has.
//!
//! PostgreSQL gets an array a column and UNNESTs them; SQLite one JSON text, which `json_each` reads. Writing events by
//! arrays takes about half as long as by one JSON parameter on PostgreSQL too: the bench `store` compares the two.

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

    /// As SQLite reads it out of JSON.
    fn json(self) -> serde_json::Value;

    /// What makes the column of what was read out of JSON.
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

/// A table made of `rows`, with a column for each thing that is asked of them and their place `nth`, counted from 1.
#[derive(Clone, Debug)]
pub struct Set<'a, R> {
    dialect: Dialect,
    rows: &'a [R],
    names: Vec<&'static str>,
    /// How each column is read, in the order of `names`.
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
            rows,
            names: Vec::new(),
            read: Vec::new(),
            arrays: Vec::new(),
            cells,
        }
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
    /// Arrays of sea-orm hold no NULL (it panics): a second array says where there is a value.
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

    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The FROM item that makes the table `u` of the parameters from number `first` on: those of a set come last.
    pub fn from(&self, first: usize) -> String {
        let columns: Vec<String> = std::iter::zip(&self.read, &self.names)
            .map(|(read, name)| format!("{read} AS {name}"))
            .collect();
        let columns = columns.join(", ");
        match self.dialect {
            Dialect::Sqlite => {
                format!("(SELECT key + 1 AS nth, {columns} FROM json_each(${first})) AS u")
            }
            Dialect::Postgres => {
                let (mut arrays, mut names) = (Vec::new(), Vec::new());
                for (place, (name, kind, _)) in self.arrays.iter().enumerate() {
                    arrays.push(format!("${}::{kind}[]", first + place));
                    names.push(name.as_str());
                }
                let (arrays, names) = (arrays.join(", "), names.join(", "));
                format!(
                    "(SELECT r.nth, {columns} FROM UNNEST({arrays}) WITH ORDINALITY AS r({names}, nth)) AS u"
                )
            }
        }
    }

    /// The parameters of [`Set::from`].
    pub fn values(self) -> Vec<Value> {
        match self.dialect {
            Dialect::Sqlite => vec![json!(self.cells).into()],
            Dialect::Postgres => self.arrays.into_iter().map(|(_, _, array)| array).collect(),
        }
    }
}
