//! Lengths of time, and how they are read and written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The units, longest first, with their milliseconds.
const UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest span: 100 years of 365 days. Anything longer is a typing error.
const MILLIS_MAX: u64 = 100 * 365 * 86_400_000;

/// Why a text is no span.
const NO_SPAN: &str = "not a time such as 500ms, 10s, 5m, 1h, 1d, or a number of seconds";

/// A length of time: whole milliseconds, at most 100 years.
///
/// Read from `500ms`, `10s`, `5m`, `1h`, `1d` or a bare number of seconds; written in the shortest of these that is
/// exact.
///
/// A field names the range of its spans with `from` and `to` if it is another.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "serde_json::Value", into = "String")]
#[schemars(with = "String", extend("format" = "time", "from" = "1ms", "to" = "365d"))]
pub struct Span(pub(super) Duration);

impl Span {
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
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
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
        let unit = if unit.is_empty() {
            "s"
        } else {
            unit.trim_start()
        };
        UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, unit_millis)| exact_millis(number, *unit_millis))
            .filter(|millis| *millis <= MILLIS_MAX)
            .map(Self::from_millis)
            .ok_or(NO_SPAN)
    }
}

/// `number`, digits with at most one point, times the unit; `None` if that is not a whole number of milliseconds.
fn exact_millis(number: &str, unit_millis: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit_millis)?;
    let digits = u32::try_from(fraction.len())
        .ok()
        .filter(|digits| *digits <= 9)?;
    let scaled = fraction.parse::<u64>().ok()?.checked_mul(unit_millis)?;
    let scale = 10_u64.pow(digits);
    (scaled % scale == 0).then(|| whole.checked_add(scaled / scale))?
}

impl TryFrom<Value> for Span {
    type Error = &'static str;

    /// Reads a text, or a number of seconds.
    fn try_from(read: Value) -> Result<Self, Self::Error> {
        match read {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis();
        let is_exact = |(_, unit_millis): &&(&str, u64)| millis.is_multiple_of(*unit_millis);
        let unit = UNITS.iter().find(is_exact).filter(|_| millis > 0);
        let (unit, unit_millis) = unit.unwrap_or(&("s", 1_000));
        f.pad(&format!("{}{unit}", millis / unit_millis))
    }
}
