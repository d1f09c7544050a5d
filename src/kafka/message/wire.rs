//! The fields of a record's value. Those that the original program has keep their names and meanings; others are ours.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::model::Unreadable;

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
    /// What the carrier says beside its events. Kept as it was written, so that nothing in it makes the record unreadable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Box<RawValue>>,
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
}
