//! Faults: ways in which an answer goes wrong. They are switched on at run time, for a carrier or for one number.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::chance::unit;
use crate::truth::TrueEvent;

/// Upper limit of the rules in force.
pub const RULES_MAX: usize = 1_000;

/// Upper limit of the events that a fault invents for one parcel.
const EVENTS_MAX: u32 = 100_000;

/// A fault and the calls that it applies to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub carrier: String,
    /// Applies to this number only; absent: to all numbers of the carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_number: Option<String>,
    /// The share of calls that the fault applies to, 0 to 1.
    #[serde(default = "all")]
    pub share: f64,
    /// Applies to this many more calls; absent: until it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    #[serde(flatten)]
    pub fault: Fault,
}

fn all() -> f64 {
    1.0
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "fault",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Fault {
    /// Answers later, after the ledger has counted the call.
    Latency {
        #[serde(default)]
        fixed_ms: u64,
        /// Upper limit of the random delay that is added.
        #[serde(default)]
        spread_ms: u64,
    },
    /// Never answers.
    Hang,
    /// Answers with this status and a line of text.
    Status { code: u16 },
    /// Answers this status with an error in the carrier's own form and these words.
    Complaint { code: u16, words: String },
    /// Answers 429, with Retry-After if `retry_after_secs` is given: in seconds, or as a date if `as_date` is set.
    TooManyRequests {
        #[serde(default)]
        retry_after_secs: Option<u64>,
        #[serde(default)]
        as_date: bool,
    },
    /// Answers 200 with a body that is no JSON.
    Malformed,
    /// Sends half of the body that Content-Length announces, then closes the connection.
    Truncated,
    /// Sends the right body as text/html.
    WrongContentType,
    /// Sends the right body with this status.
    WrongStatus { code: u16 },
    /// Sends a body of this many bytes.
    HugeBody {
        #[serde(default = "huge")]
        bytes: u64,
    },
    /// Sends one byte at a time.
    SlowDrip { every_ms: u64 },
    /// Closes the connection without an answer.
    Closed,
    /// Answers 404.
    NotFound,
    /// Reports an event far in the future.
    FutureEvent,
    /// Reports an event in 1970.
    AncientEvent,
    /// Reports very many events.
    ManyEvents {
        #[serde(default = "many")]
        count: u32,
    },
    /// Reports an event with control characters in its texts.
    ControlCharacters,
    /// Reports an event with NUL in its texts.
    Nul,
    /// Sends a body with bytes that are not UTF-8.
    InvalidUtf8,
}

fn huge() -> u64 {
    100_000_000
}

fn many() -> u32 {
    10_000
}

/// An event that never happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invented {
    /// The kind of fault that reports it.
    pub fault: &'static str,
    pub event: TrueEvent,
}

impl Fault {
    /// The name of its kind, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Hang => "hang",
            Self::Status { .. } => "status",
            Self::Complaint { .. } => "complaint",
            Self::TooManyRequests { .. } => "tooManyRequests",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::WrongContentType => "wrongContentType",
            Self::WrongStatus { .. } => "wrongStatus",
            Self::HugeBody { .. } => "hugeBody",
            Self::SlowDrip { .. } => "slowDrip",
            Self::Closed => "closed",
            Self::NotFound => "notFound",
            Self::FutureEvent => "futureEvent",
            Self::AncientEvent => "ancientEvent",
            Self::ManyEvents { .. } => "manyEvents",
            Self::ControlCharacters => "controlCharacters",
            Self::Nul => "nul",
            Self::InvalidUtf8 => "invalidUtf8",
        }
    }

    /// The events that it invents for a parcel, the same ones at every call.
    pub fn invents(&self, carrier: &str, number: &str) -> Vec<Invented> {
        // A time in 2025 that differs by parcel.
        let base = 1_735_689_600 + (unit(&(carrier, number)) * 30_000_000.0) as i64;
        let event = |at: i64, raw: &str, message: String| Invented {
            fault: self.name(),
            event: TrueEvent {
                status: "IN_TRANSIT".to_owned(),
                status_raw: raw.to_owned(),
                event_time: DateTime::from_timestamp(at, 0).unwrap_or_default(),
                location: "Nowhere".to_owned(),
                message,
            },
        };
        match self {
            Self::FutureEvent => vec![event(base + 40 * 365 * 86_400, "FUTURE", String::new())],
            Self::AncientEvent => vec![event(0, "ANCIENT", String::new())],
            Self::ManyEvents { count } => (0..(*count).min(EVENTS_MAX))
                .map(|n| event(base + i64::from(n), "SCAN", format!("scan {n}")))
                .collect(),
            Self::ControlCharacters => vec![event(
                base,
                "CONTROL\u{1}\u{7f}",
                "bell \u{7} and tab \t".to_owned(),
            )],
            Self::Nul => vec![event(base, "NUL\u{0}", "nothing \u{0} here".to_owned())],
            _ => Vec::new(),
        }
    }

    /// Refuses parameters out of range, with the reason.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Status { code } | Self::WrongStatus { code } | Self::Complaint { code, .. }
                if !(200..=599).contains(code) =>
            {
                Err("code must be 200 to 599".to_owned())
            }
            Self::Latency {
                fixed_ms,
                spread_ms,
            } if fixed_ms.saturating_add(*spread_ms) > 600_000 => {
                Err("fixedMs and spreadMs must be at most 600000 together".to_owned())
            }
            Self::ManyEvents { count } if *count > EVENTS_MAX => {
                Err(format!("count must be at most {EVENTS_MAX}"))
            }
            Self::SlowDrip { every_ms } if !(1..=60_000).contains(every_ms) => {
                Err("everyMs must be 1 to 60000".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Rule {
    /// Refuses fields out of range, with the reason.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err("share must be 0 to 1".to_owned());
        }
        self.fault.check()
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// How many calls were made. It decides which calls a share applies to, so the same sequence of calls always gives
    /// the same faults.
    calls: u64,
    changed_at: Option<DateTime<Utc>>,
}

impl Rules {
    /// Adds a rule. It replaces the rule of the same kind for the same parcels. `None` removes all rules of the carrier.
    pub fn set(&mut self, carrier: &str, rule: Option<Rule>, now: DateTime<Utc>) {
        self.changed_at = Some(now);
        match rule {
            None => self.rules.retain(|known| known.carrier != carrier),
            Some(rule) => {
                self.rules.retain(|known| {
                    known.carrier != rule.carrier
                        || known.track_number != rule.track_number
                        || known.fault.name() != rule.fault.name()
                });
                if self.rules.len() < RULES_MAX {
                    self.rules.push(rule);
                }
            }
        }
    }

    pub fn list(&self) -> Vec<Rule> {
        self.rules.clone()
    }

    /// The faults that apply to a call with these numbers that arrives now.
    pub fn apply(&mut self, carrier: &str, numbers: &[&str], now: DateTime<Utc>) -> Vec<Fault> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        self.calls += 1;
        let since = self.changed_at.map_or(TimeDelta::zero(), |at| now - at);
        let first = numbers.first().copied().unwrap_or_default();
        let chance = unit(&(carrier, first, self.calls, since.num_milliseconds()));
        let mut faults = Vec::new();
        for rule in &mut self.rules {
            let its = rule.carrier == carrier
                && rule
                    .track_number
                    .as_deref()
                    .is_none_or(|its| numbers.contains(&its));
            if its && rule.calls != Some(0) && chance < rule.share {
                rule.calls = rule.calls.map(|left| left - 1);
                faults.push(rule.fault.clone());
            }
        }
        faults
    }
}
