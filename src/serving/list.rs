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

    use super::{List, kind, string};

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
}
