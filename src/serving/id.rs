//! Ids as clients write them: strings or numbers in a body, digits in a path.

use std::marker::PhantomData;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::ParamLocation;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use schemars::json_schema;
use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::serving::docs::document_parameters;
use crate::serving::extract::Path;
use crate::serving::problem::{FieldError, Kind, Problem};

/// What a client wrote as an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// A whole number, which may be the id of something.
    Number(i64),
    /// A whole number beyond 64 bits, which is the id of nothing.
    Beyond,
    /// Not a whole number.
    Other,
}

impl Id {
    /// Reads a whole number in decimal.
    pub fn parse(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Other;
        }
        text.parse().map_or(Self::Beyond, Self::Number)
    }

    /// Reads a JSON number, which may be whole in other spellings too: `7.0`, `1e3`.
    fn from_json_number(text: &str) -> Self {
        /// 2^63: the first number beyond `i64`.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        match Self::parse(text) {
            Self::Other => {}
            whole => return whole,
        }
        match text.parse::<f64>() {
            Ok(number) if !number.is_finite() || number.fract() != 0.0 => Self::Other,
            // Exact, because the number is whole and within the range.
            Ok(number) if (-BEYOND..BEYOND).contains(&number) => Self::Number(number as i64),
            Ok(_) => Self::Beyond,
            Err(_) => Self::Other,
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        Ok(if json.starts_with('"') {
            serde_json::from_str(json).map_or(Self::Other, |text: String| Self::parse(&text))
        } else {
            Self::from_json_number(json)
        })
    }
}

/// Something that has an id of its own in paths.
pub trait HasId {
    /// What people call it.
    const NAME: &'static str;
    /// The parameter of the path that holds its id.
    const PARAMETER: &'static str;
    /// An id that the document shows.
    const EXAMPLE: &'static str;
}

/// The id of a `T` in the path, as the client wrote it.
#[derive(Clone, Debug)]
pub struct IdPath<T> {
    text: String,
    of: PhantomData<fn() -> T>,
}

impl<T: HasId> IdPath<T> {
    /// The id.
    ///
    /// # Errors
    /// A refusal if it is not a number; "not found" if no `T` can have that number.
    pub fn id(&self) -> Result<i64, Problem> {
        match Id::parse(&self.text) {
            Id::Number(id) => Ok(id),
            Id::Beyond => Err(self.not_found()),
            Id::Other => Err(Problem::invalid_at(FieldError::parameter(
                T::PARAMETER,
                format!("{} must be a whole number", T::PARAMETER),
            ))),
        }
    }

    /// The problem that no `T` has this id.
    pub fn not_found(&self) -> Problem {
        let detail = format!("there is no {} {}", T::NAME, self.text);
        Problem::new(Kind::NotFound, detail)
    }
}

impl<S: Send + Sync, T> FromRequestParts<S> for IdPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::from_request_parts(parts, state).await?;
        Ok(Self {
            text,
            of: PhantomData,
        })
    }
}

impl<T: HasId> OperationInput for IdPath<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let id = json_schema!({
            "description": format!("The id of the {}.", T::NAME), "type": "string", "pattern": "^-?[0-9]+$",
            "examples": [T::EXAMPLE],
        });
        let path = json_schema!({"type": "object", "properties": {T::PARAMETER: id}, "required": [T::PARAMETER]});
        document_parameters(ctx, operation, path, ParamLocation::Path);
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn an_id_is_any_whole_number_in_either_spelling() {
        let json = r#"["7", 7, -7, "-7", 7.0, 1e3, "007", 9223372036854775807, 9223372036854775808,
            "9223372036854775808", 1e300, 7.5, "7.5", "", "-", "+7", " 7", "seven", null, true, [1, [2]], {"a": 1},
            1e999, "\ud800"]"#;
        let ids: Vec<Id> = serde_json::from_str(json).expect("reads");
        let (number, beyond, other) = (Id::Number, Id::Beyond, Id::Other);
        let mut expected = vec![
            number(7),
            number(7),
            number(-7),
            number(-7),
            number(7),
            number(1_000),
            number(7),
            number(i64::MAX),
            beyond,
            beyond,
            beyond,
        ];
        expected.resize(ids.len(), other);
        assert_eq!(ids, expected);
    }
}
