//! The parameters of a list: `limit`, and `offset` or `cursor`. Numbers are read leniently: an empty or negative one counts
//! as absent.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use crate::serving::id::Id;
use crate::serving::problem::{FieldError, Problem};

/// The part of a list that is asked for: at most `MAX` rows, by default `DEFAULT`. `S` says how the start is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ListQuery<S, const DEFAULT: u32, const MAX: u32> {
    #[schemars(with = "Option<i64>", transform = any_number, transform = describe_limit::<DEFAULT, MAX>)]
    limit: Option<String>,
    #[serde(flatten)]
    pub start: S,
}

/// The part starts with the first row.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct First {}

/// The part starts after a number of rows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Offset {
    /// How many to skip; default 0.
    #[schemars(with = "Option<i64>", transform = any_number, example = 0)]
    offset: Option<String>,
}

/// The part starts after the end of the previous part.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Cursor {
    /// The `nextCursor` of the previous answer.
    #[schemars(regex(pattern = "^([0-9]{1,18})?$"))]
    cursor: Option<String>,
}

impl<S, const DEFAULT: u32, const MAX: u32> ListQuery<S, DEFAULT, MAX> {
    /// The most rows to answer.
    ///
    /// # Errors
    /// If it is not a whole number.
    pub fn limit(&self) -> Result<u32, Problem> {
        limit(self.limit.as_deref(), DEFAULT, MAX).map_err(Problem::invalid_at)
    }
}

impl<const DEFAULT: u32, const MAX: u32> ListQuery<Offset, DEFAULT, MAX> {
    /// How many rows to skip.
    ///
    /// # Errors
    /// If it is not a whole number.
    pub fn offset(&self) -> Result<u64, Problem> {
        let offset = number("offset", self.start.offset.as_deref());
        Ok(offset.map_err(Problem::invalid_at)?.unwrap_or(0))
    }
}

impl<const DEFAULT: u32, const MAX: u32> ListQuery<Cursor, DEFAULT, MAX> {
    /// The id of the row before the part; `None` for the first part.
    ///
    /// # Errors
    /// If no answer can have given this cursor.
    pub fn after(&self) -> Result<Option<i64>, Problem> {
        match self.start.cursor.as_deref().unwrap_or_default() {
            "" => Ok(None),
            cursor => match Id::parse(cursor) {
                Id::Number(id) => Ok(Some(id)),
                Id::Beyond | Id::Other => Err(Problem::invalid_at(FieldError::parameter(
                    "cursor",
                    "cursor must be the nextCursor of a previous answer",
                ))),
            },
        }
    }
}

/// For a number that is read leniently: those that are too large or negative too.
pub fn any_number(schema: &mut Schema) {
    for limit in ["format", "minimum", "maximum"] {
        schema.remove(limit);
    }
}

fn describe_limit<const DEFAULT: u32, const MAX: u32>(schema: &mut Schema) {
    let description = format!("How many at most: 1 to {MAX}, default {DEFAULT}.");
    schema.insert("description".to_owned(), description.into());
    schema.insert("examples".to_owned(), vec![DEFAULT].into());
}

/// A query parameter as a whole number; `None` if it is absent, empty or negative.
///
/// A number beyond 64 bits counts as the largest.
///
/// # Errors
/// Names the parameter if it is not a whole number.
pub fn number(name: &str, text: Option<&str>) -> Result<Option<u64>, FieldError> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FieldError::parameter(
            name,
            format!("{name} must be a whole number"),
        ));
    }
    Ok((!negative).then(|| digits.parse().unwrap_or(u64::MAX)))
}

/// The pattern of a [`flag`].
pub const FLAG: &str = "^(true|false|1|0)?$";

/// A query parameter that is true or false; absent or empty: false.
///
/// # Errors
/// If it is neither.
pub fn flag(name: &str, text: Option<&str>) -> Result<bool, Problem> {
    match text.unwrap_or_default() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(Problem::invalid_at(FieldError::parameter(
            name,
            format!("{name} must be true or false"),
        ))),
    }
}

/// A limit: `default` if it is absent, empty, negative or 0; at most `max`.
///
/// # Errors
/// If it is not a whole number.
pub fn limit(text: Option<&str>, default: u32, max: u32) -> Result<u32, FieldError> {
    let limit = number("limit", text)?.filter(|limit| *limit > 0);
    Ok(limit.map_or(default, |limit| {
        u32::try_from(limit).unwrap_or(max).min(max)
    }))
}

#[cfg(test)]
mod tests {
    use super::{limit, number};

    #[test]
    fn a_limit_is_read_as_the_contract_says() {
        let cases = [
            (None, 100),
            (Some(""), 100),
            (Some("0"), 100),
            (Some("-5"), 100),
            (Some("1"), 1),
            (Some("500"), 500),
            (Some("501"), 500),
            (Some("99999999999999999999999999"), 500),
            (Some("-99999999999999999999999"), 100),
        ];
        for (text, expected) in cases {
            assert_eq!(limit(text, 100, 500), Ok(expected), "{text:?}");
        }
        for text in ["ten", "1.5", "1e2", "-", " 1", "0x10"] {
            let error = limit(Some(text), 100, 500).expect_err(text);
            assert_eq!(error.parameter.as_deref(), Some("limit"));
        }
    }

    #[test]
    fn an_absurd_offset_is_the_largest() {
        assert_eq!(
            number("offset", Some("99999999999999999999")),
            Ok(Some(u64::MAX))
        );
        assert_eq!(number("offset", Some("-1")), Ok(None));
    }
}
