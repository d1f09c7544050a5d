//! Facts: what a carrier says of a parcel beside its events, such as when it is expected and who signed for it.
//!
//! They are taken over whole: those of the newest check that had any replace those of an older one.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::clock::{Time, cut};
use crate::model::code::TrackNumber;
use crate::model::text::clean_text;

/// The most related numbers that are kept.
pub const NUMBERS_MAX: usize = 20;

/// The most pieces that a parcel may have; a larger number is an error of the carrier's.
pub const PIECES_MAX: u32 = 1_000_000;

/// The years that an expected delivery may lie in. What lies outside is what programs write for "unset".
const YEARS: std::ops::RangeInclusive<i32> = 1971..=9998;

/// What an answer says beside its events. Each part may be missing.
///
/// It serializes to the form that messages and the store have; [`Facts::read`] is the way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The earliest and the latest time of delivery; the same if the carrier gives only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_from: Option<Expected>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_to: Option<Expected>,
    /// The name of the person who took the parcel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pieces: Option<u32>,
    /// The carrier's product, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where the parcel comes from and goes to, as the carrier writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// At most [`NUMBERS_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<Related>,
}

/// When a parcel is expected: a day, if the carrier gives no time of day, or a moment.
///
/// A day has no zone: it is the day at the place of delivery. Written as `2026-12-03` or `2026-12-03T10:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Day(NaiveDate),
    At(Time),
}

/// Another number of the parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    pub kind: NumberKind,
    pub number: TrackNumber,
}

/// What another number of a parcel is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    JsonSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum NumberKind {
    /// Of its way back to the sender.
    Return,
    /// Of the way that this one returns from.
    Original,
    /// At the carrier that delivers it.
    Local,
    /// Of the shipment that it is a piece of.
    Master,
}

impl NumberKind {
    /// The kind with exactly this name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// Facts, and the check that told them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    pub facts: Facts,
    pub checked_at: Time,
    pub check_id: Uuid,
}

impl Told {
    /// What decides which of two is newer.
    pub fn order(&self) -> (Time, Uuid) {
        (self.checked_at, self.check_id)
    }
}

impl Facts {
    /// Reads what [`Facts`] serialize to. What cannot be read is left out; `None` if nothing is left.
    pub fn read(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let word = |key: &str| value.get(key).and_then(Value::as_str);
        let text = |key: &str| word(key).and_then(fact_text);
        let pieces = value.get("pieces").and_then(Value::as_u64);
        let numbers = value.get("numbers").and_then(Value::as_array);
        let number = |it: &Value| {
            let kind = it.get("kind").and_then(Value::as_str);
            let number = it.get("number").and_then(Value::as_str)?;
            Related::of(NumberKind::parse(kind?)?, number)
        };
        Self {
            expected_from: word("expected_from").and_then(Expected::parse),
            expected_to: word("expected_to").and_then(Expected::parse),
            signed_by: text("signed_by"),
            pieces: pieces.and_then(|pieces| u32::try_from(pieces).ok()),
            service: text("service"),
            origin: text("origin"),
            destination: text("destination"),
            numbers: numbers.into_iter().flatten().filter_map(number).collect(),
        }
        .bounded()
    }

    /// Within the bounds; `None` if nothing is left.
    pub fn bounded(mut self) -> Option<Self> {
        self.pieces = self.pieces.filter(|it| (1..=PIECES_MAX).contains(it));
        let mut numbers: Vec<Related> = Vec::new();
        for number in self.numbers {
            if numbers.len() < NUMBERS_MAX && !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        self.numbers = numbers;
        (self != Self::default()).then_some(self)
    }

    /// Without the names of people; `None` if nothing is left.
    pub fn without_names(mut self) -> Option<Self> {
        self.signed_by = None;
        self.bounded()
    }
}

/// A text as facts have it; `None` if it is empty.
pub fn fact_text(text: &str) -> Option<String> {
    let text = clean_text(text.trim());
    (!text.is_empty()).then_some(text)
}

impl Related {
    /// `None` if the text is no track number.
    pub fn of(kind: NumberKind, number: &str) -> Option<Self> {
        let number = TrackNumber::parse(number.trim()).ok()?;
        Some(Self { kind, number })
    }
}

impl Expected {
    /// Reads what it is written as, with any offset; `None` if it is neither a day nor a time, or out of bounds.
    pub fn parse(text: &str) -> Option<Self> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map(Self::Day);
        let at = || DateTime::parse_from_rfc3339(text).map(|at| Self::At(at.with_timezone(&Utc)));
        day.or_else(|_| at()).ok()?.bounded()
    }

    /// As it can be stored; `None` if it lies too far away to be meant.
    pub fn bounded(self) -> Option<Self> {
        let (year, expected) = match self {
            Self::Day(day) => (day.year(), self),
            Self::At(at) => (at.year(), Self::At(cut(at))),
        };
        YEARS.contains(&year).then_some(expected)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.format("%Y-%m-%d").fmt(f),
            Self::At(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
