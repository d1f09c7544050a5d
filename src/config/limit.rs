//! A limit of a carrier's account, as its section says it: so many calls in a span of time, or by the calendar.

use std::fmt;
use std::str::FromStr;

use crate::config::{Limit, Per, Span};
use crate::model::limits::{Limits, Window};
use crate::model::quota::{Period, Quota};

/// The longest span of a limit; longer ones go by the calendar.
const SPAN_MAX: Span = Span::from_millis(24 * 3_600_000);

/// The shortest span of a limit.
const SPAN_MIN: Span = Span::from_millis(1_000);

impl Limit {
    /// Adds it to the limits of an account.
    pub fn add_to(&self, limits: &mut Limits) {
        let calls = self.calls;
        match self.per {
            Per::Span(per) => limits.windows.push(Window { calls, per }),
            Per::Calendar(period) => limits.quotas.push(Quota {
                calls,
                period,
                zone: self.zone.unwrap_or_default(),
            }),
        }
    }
}

impl FromStr for Per {
    type Err = &'static str;

    /// Reads a number and a unit, such as `5s`, or a unit alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        match text {
            "day" => Ok(Self::Calendar(Period::Day)),
            "month" => Ok(Self::Calendar(Period::Month)),
            _ if !["s", "m", "h"].contains(&&text[number.len()..]) => Err(NO_PER),
            _ => {
                let one = if number.is_empty() { "1" } else { "" };
                let span: Span = format!("{one}{text}").parse()?;
                let fits = (SPAN_MIN..=SPAN_MAX).contains(&span);
                fits.then_some(Self::Span(span.get())).ok_or(NO_PER)
            }
        }
    }
}

/// Why a text is no [`Per`].
const NO_PER: &str = "neither a time from 1s to 24h such as 5s, 10m, 1h, nor day or month";

impl TryFrom<String> for Per {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Per> for String {
    fn from(per: Per) -> Self {
        per.to_string()
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calendar(Period::Day) => f.write_str("day"),
            Self::Calendar(Period::Month) => f.write_str("month"),
            Self::Span(span) => match (span.as_secs(), span.subsec_millis()) {
                (secs, 0) if secs.is_multiple_of(3_600) => write!(f, "{}h", secs / 3_600),
                (secs, 0) if secs.is_multiple_of(60) => write!(f, "{}m", secs / 60),
                (secs, 0) => write!(f, "{secs}s"),
                (secs, millis) => write!(f, "{secs}.{millis:03}s"),
            },
        }
    }
}
