//! A count in a JSON body.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};

/// A whole number from 0. It may be written as `5.0`: JSON knows one kind of numbers. One beyond 32 bits counts as the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole(pub u32);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(json)?;
        if number >= 0.0 && number.fract() == 0.0 {
            Ok(Self(number as u32))
        } else {
            Err(D::Error::custom("must be a whole number, 0 or greater"))
        }
    }
}

impl JsonSchema for Whole {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 0})
    }
}

#[cfg(test)]
mod tests {
    use super::Whole;

    #[test]
    fn a_whole_number_is_read_in_any_spelling_and_others_are_refused() {
        let read = |json: &str| serde_json::from_str::<Whole>(json).ok();
        for (json, number) in [
            ("0", 0),
            ("5", 5),
            ("5.0", 5),
            ("1e3", 1_000),
            ("1e300", u32::MAX),
        ] {
            assert_eq!(read(json), Some(Whole(number)), "{json}");
        }
        for json in ["-1", "0.5", "\"5\"", "null", "[5]", "1e999"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
