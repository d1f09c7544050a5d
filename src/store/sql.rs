//! A statement written by hand.
//!
//! Its parameters have names, `:now`, and are numbered when it is sent, so that one can be added anywhere and used twice. A
//! whole set of rows is a [`Set`].

use sea_orm::{Statement, Value};

use crate::store::dialect::Dialect;
use crate::store::set::Set;

/// A statement in the making: its text and its parameters.
#[derive(Debug)]
pub struct Sql {
    dialect: Dialect,
    text: String,
    parameters: Vec<(String, Value)>,
}

impl Sql {
    pub fn new(dialect: Dialect, text: impl Into<String>) -> Self {
        Self {
            dialect,
            text: text.into(),
            parameters: Vec::new(),
        }
    }

    /// Sets the parameter `:name`. What the text does not use is not sent.
    pub fn bind(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.parameters.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the parameters of [`Set::from`].
    pub fn bind_set<R>(mut self, set: Set<R>) -> Self {
        self.parameters.extend(set.parameters());
        self
    }

    /// The statement with `$1`, `$2`, … which both databases read. A name without a value stays, and the database
    /// rejects it.
    pub fn statement(self) -> Statement {
        let mut parameters: Vec<(String, Option<Value>)> = self
            .parameters
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect();
        let mut numbers = vec![0; parameters.len()];
        let mut values = Vec::with_capacity(parameters.len());
        let mut text = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some(colon) = rest.find(':') {
            text.push_str(&rest[..colon]);
            rest = &rest[colon + 1..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let name = &rest[..end];
            let Some(place) = parameters.iter().position(|(known, _)| known == name) else {
                text.push(':');
                // A cast, `::bigint[]`, whose second colon begins no name either.
                if let Some(cast) = rest.strip_prefix(':') {
                    text.push(':');
                    rest = cast;
                }
                continue;
            };
            if let Some(value) = parameters[place].1.take() {
                values.push(value);
                numbers[place] = values.len();
            }
            text.push_str(&format!("${}", numbers[place]));
            rest = &rest[end..];
        }
        text.push_str(rest);
        Statement::from_sql_and_values(self.dialect.backend(), text, values)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Sql};

    #[test]
    fn parameters_are_numbered_in_the_order_of_their_first_use() {
        let sql = Sql::new(
            Dialect::Postgres,
            "SELECT :b, :a + :b, :a_b::bigint, '1::2'",
        );
        let sql = sql.bind("a", 1).bind("a_b", 2).bind("b", 3).bind("c", 4);
        let statement = sql.statement();
        assert_eq!(statement.sql, "SELECT $1, $2 + $1, $3::bigint, '1::2'");
        let values = statement.values.expect("has values").0;
        assert_eq!(values, [3.into(), 1.into(), 2.into()]);
    }
}
