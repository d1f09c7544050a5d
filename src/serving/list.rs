//! Lists in a request body that are read leniently: each element is kept as it was sent and looked at later, so that a
//! bad one can be named by its place.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A list of which the first `MAX` elements are kept and the rest is counted, so that a body with millions of small
/// elements takes no more memory than its own text.
#[derive(Debug)]
pub struct List<T, const MAX: usize> {
    pub kept: Vec<T>,
    /// How many elements there were.
    pub total: usize,
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            total: 0,
        }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = List::default();
                while list.kept.len() < MAX {
                    let Some(element) = seq.next_element()? else {
                        return Ok(list);
                    };
                    list.kept.push(element);
                    list.total += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.total += 1;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_any(Elements(PhantomData))
    }
}

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

/// What kind of value this is, for people.
pub fn kind(json: &RawValue) -> &'static str {
    match json.get().as_bytes() {
        [b'{', ..] => "an object",
        [b'[', ..] => "a list",
        [b'"', ..] => "a string",
        [b't' | b'f', ..] => "a boolean",
        [b'n', ..] => "null",
        _ => "a number",
    }
}

/// The string in a field.
///
/// # Errors
/// What is wrong with the field: it is missing, null, or not a string.
pub fn string(field: Option<&RawValue>) -> Result<String, String> {
    let json = field.ok_or("is missing")?;
    match kind(json) {
        "null" => Err("is missing".to_owned()),
        "a string" => serde_json::from_str(json.get())
            .map_err(|error| format!("is not a readable string: {error}")),
        other => Err(format!("must be a string, this is {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{Id, List, kind, string};

    #[test]
    fn a_list_keeps_its_limit_and_counts_the_rest() {
        let list: List<Box<RawValue>, 2> =
            serde_json::from_str(r#"["a", 1, [2], {"b": [3]}, null]"#).expect("reads");
        let kept: Vec<&str> = list.kept.iter().map(|json| json.get()).collect();
        assert_eq!(kept, [r#""a""#, "1"]);
        assert_eq!(list.total, 5);
        let none: List<Box<RawValue>, 2> = serde_json::from_str("null").expect("reads");
        assert_eq!(none.total, 0);
    }

    #[test]
    fn every_value_has_a_kind_and_only_a_string_is_one() {
        let json = r#"[ "a\n" ,-1e999,[2],{"b":3},true,false,null,"\ud800"]"#;
        let values: Vec<&RawValue> = serde_json::from_str(json).expect("reads");
        let kinds: Vec<&str> = values.iter().map(|json| kind(json)).collect();
        let expected = [
            "a string",
            "a number",
            "a list",
            "an object",
            "a boolean",
            "a boolean",
            "null",
            "a string",
        ];
        assert_eq!(kinds, expected);
        assert_eq!(string(Some(values[0])), Ok("a\n".to_owned()));
        for value in &values[1..] {
            assert!(string(Some(value)).is_err(), "{value}");
        }
        assert!(string(None).is_err());
    }

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
