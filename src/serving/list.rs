//! Lists in a request body that are read leniently: whatever stands in them is looked at later, with its place.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A list of which at most `MAX` elements are kept; the rest is counted, so that a body of a million small elements takes
/// no more memory than its own.
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

/// What stands where a text is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Text {
    #[default]
    Missing,
    Given(String),
    /// Something else: what it is.
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text::Given(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Text, E> {
        Ok(Text::Given(text))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::Missing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text::Other("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::Other("an object"))
    }
}

/// What stands where an id is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// A whole number, which may or may not be anybody's id.
    Number(i64),
    /// A whole number beyond 64 bits, so nobody's id.
    Beyond,
    /// No whole number.
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
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id")
    }

    fn visit_str<E>(self, text: &str) -> Result<Id, E> {
        Ok(Id::parse(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Id, E> {
        Ok(Id::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
        Ok(i64::try_from(number).map_or(Id::Beyond, Id::Number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Id, E> {
        // Whole numbers too long for 64 bits arrive as floats, as do 1.0 and 1e3.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        if number.fract() != 0.0 {
            return Ok(Id::Other);
        }
        if (-BEYOND..BEYOND).contains(&number) {
            // Exact: a whole number within the range just tested.
            Ok(Id::Number(number as i64))
        } else {
            Ok(Id::Beyond)
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Id, E> {
        Ok(Id::Other)
    }

    fn visit_unit<E>(self) -> Result<Id, E> {
        Ok(Id::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Id, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Id::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Id, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Id::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, List, Text};

    #[test]
    fn an_id_is_any_whole_number_in_either_spelling() {
        let json = r#"["7", 7, -7, "-7", 7.0, 1e3, "007", 9223372036854775807, 9223372036854775808,
            "9223372036854775808", 1e300, 7.5, "7.5", "", "-", "+7", " 7", "seven", null, true, [1, [2]], {"a": 1}]"#;
        let ids: List<Id, 100> = serde_json::from_str(json).expect("reads");
        let number = Id::Number;
        let expected = [
            number(7),
            number(7),
            number(-7),
            number(-7),
            number(7),
            number(1_000),
            number(7),
            number(i64::MAX),
            Id::Beyond,
            Id::Beyond,
            Id::Beyond,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
            Id::Other,
        ];
        assert_eq!(ids.kept, expected);
    }

    #[test]
    fn a_list_keeps_its_limit_and_counts_the_rest() {
        let list: List<Text, 2> =
            serde_json::from_str(r#"["a", 1, [2], {"b": [3]}, null]"#).expect("reads");
        assert_eq!(
            list.kept,
            [Text::Given("a".to_owned()), Text::Other("a number")]
        );
        assert_eq!(list.total, 5);
        let none: List<Text, 2> = serde_json::from_str("null").expect("reads");
        assert_eq!(none.total, 0);
    }
}
