//! How a [`Span`] is read and written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::Span;

/// The units, the longest first, with their milliseconds.
const UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest span: 100 years of 365 days. What is longer is a slip of the pen.
const MILLIS_MAX: u64 = 100 * 365 * 86_400_000;

/// A text that is no span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time such as 500ms, 10s, 5m, 1h, 1d, or a number of seconds")]
pub struct SpanError;

impl Span {
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub const fn get(self) -> Duration {
        self.0
    }

    /// Its whole milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let text = text.trim();
        let unit_at = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let unit = if unit.is_empty() {
            "s"
        } else {
            unit.trim_start()
        };
        let (_, unit_millis) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(SpanError)?;
        let millis = exact_millis(number, *unit_millis).ok_or(SpanError)?;
        if millis > MILLIS_MAX {
            return Err(SpanError);
        }
        Ok(Self::from_millis(millis))
    }
}

/// `number`, digits with at most one point, times the unit; `None` where that is no whole number of milliseconds.
fn exact_millis(number: &str, unit_millis: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let whole_millis = whole.checked_mul(unit_millis)?;
    if fraction.is_empty() {
        return Some(whole_millis);
    }
    let parts: u64 = fraction.parse().ok()?;
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = parts.checked_mul(unit_millis)?;
    (scaled % scale == 0).then(|| whole_millis.checked_add(scaled / scale))?
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis();
        let exact = UNITS
            .iter()
            .find(|(_, unit_millis)| millis.is_multiple_of(*unit_millis));
        match exact {
            Some((unit, unit_millis)) if millis > 0 => {
                f.pad(&format!("{}{unit}", millis / unit_millis))
            }
            _ => f.pad("0s"),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrSeconds;

        impl Visitor<'_> for TextOrSeconds {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 500ms, 10s, 5m, 1h, 1d, or a number of seconds")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, secs: u64) -> Result<Span, E> {
                self.visit_str(&secs.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, secs: i64) -> Result<Span, E> {
                self.visit_str(&secs.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, secs: f64) -> Result<Span, E> {
                self.visit_str(&secs.to_string())
            }
        }

        deserializer
            .deserialize_any(TextOrSeconds)
            .map_err(D::Error::custom)
    }
}
