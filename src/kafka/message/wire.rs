//! The fields of a record's value. Those that the original program has keep their names and meanings; others are ours.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clock::Time;
use crate::kafka::record::Outgoing;
use crate::model::status::{Status, SubStatus};
use crate::model::{Report, Unreadable};

#[derive(Serialize, Deserialize)]
pub struct Wire {
    pub tracking_id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_raw: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<WireEvent>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_fail_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping_version: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether `status` follows from the events and from what was known before, so that it tells nothing of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
    /// The place of the first event in the answer's list, if the answer is told in several records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable_events: Option<Unreadable>,
    /// Whether the parcel is checked again although its status is terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looks_again: bool,
    /// Which of what its shops told the next check is made with, by its place alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_turn: Option<i16>,
    /// What the carrier says beside its events. Kept as it was written, so that nothing in it makes the record unreadable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Box<RawValue>>,
    /// What else is told by answers that were read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<WireReplayed>,
}

/// What only a record of answers that were read again has.
#[derive(Clone, Serialize, Deserialize)]
pub struct WireReplayed {
    pub at: String,
    /// What the status is based on: 0 nothing, 1 not found yet, 2 seen.
    pub heard: i16,
    /// The check that gave the status.
    pub given_at: String,
    pub given_id: Uuid,
    /// The check that told the facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts_id: Option<Uuid>,
    /// Events that nothing gives any more, by their SHA-256 in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// All that answers which were read again tell of an event.
#[derive(Serialize, Deserialize)]
pub struct WireTold {
    pub first_checked_at: String,
    pub first_check_id: Uuid,
    #[serde(default)]
    pub place: i32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewrites: bool,
}

impl Wire {
    /// Says that the carrier does not know the number.
    pub fn say_not_found(&mut self) {
        self.status = Some(Status::Pending.as_str().to_owned());
        self.status_raw = Some(Status::Pending.as_str().to_owned());
        self.sub_status = Some(SubStatus::PendingNotFound.as_str().to_owned());
    }

    /// Says where the parcel is.
    pub fn say(&mut self, report: &Report) {
        self.status = Some(report.status.as_str().to_owned());
        self.status_raw = Some(report.status_raw.clone());
        self.status_at = report.status_at.map(time_text);
        self.sub_status = report.sub_status.map(|word| word.as_str().to_owned());
        self.direction = Some(report.direction.as_str().to_owned());
        self.last_event_code.clone_from(&report.last_event_code);
        self.last_event_at = report.last_event_at.map(time_text);
    }

    /// As a record with this key.
    pub fn record(&self, key: &[u8]) -> Outgoing {
        Outgoing {
            key: key.to_vec(),
            value: serde_json::to_vec(self).expect("strings and numbers are always JSON"),
        }
    }
}

/// A time as a record has it.
pub fn time_text(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[derive(Serialize, Deserialize)]
pub struct WireEvent {
    #[serde(default)]
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_status: Option<String>,
    #[serde(default)]
    pub status_raw: String,
    #[serde(default)]
    pub event_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
    /// What the event's own words mean, if that is not `status` and `sub_status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_sub_status: Option<String>,
    /// Where it stands among the others, if not at its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_at: Option<String>,
    /// The carrier took it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_back: bool,
    /// No event, but the status that the carrier gives the whole parcel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stated: bool,
    /// What else is told by answers that were read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<WireTold>,
}
