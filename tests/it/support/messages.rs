//! Small records of the topic: as JSON, and as the updates that the consumer reads from them.

use serde_json::{Value, json};
use trackbox::kafka::message::decode;
use trackbox::model::Update;
use uuid::Uuid;

use crate::support::time::at;

/// Reads a record's value as the consumer does.
pub fn message(value: &Value) -> Update {
    decode(Some(value.to_string().as_bytes()), at(0), at(10_000_000)).expect("is an update")
}

/// The JSON of an event at `at(secs)`, in Omsk.
pub fn event(status: &str, raw: &str, secs: i64) -> Value {
    json!({"status": status, "status_raw": raw, "event_time": at(secs), "location": "Omsk"})
}

/// A check at `at(secs)` that saw `events` (status and seconds); the last one gives the status.
pub fn seen(id: i64, secs: i64, check: u128, events: &[(&str, i64)]) -> Update {
    let list: Vec<Value> = events
        .iter()
        .map(|(status, secs)| event(status, status, *secs))
        .collect();
    let (status, status_secs) = events.last().copied().unwrap_or(("UNKNOWN", secs));
    message(&json!({
        "tracking_id": id, "checked_at": at(secs), "check_id": Uuid::from_u128(check), "status": status,
        "status_raw": status, "status_at": at(status_secs), "next_check_at": at(secs + 60), "events": list,
        "check_fail_count": 0, "mapping_version": 1,
    }))
}

/// A check at `at(secs)` that failed.
pub fn failed(id: i64, secs: i64, check: u128) -> Update {
    message(&json!({
        "tracking_id": id, "checked_at": at(secs), "check_id": Uuid::from_u128(check),
        "next_check_at": at(secs + 60), "check_fail_count": 1, "error": "the carrier answered 502",
    }))
}

/// The value of a record that another producer might write: a check at `at(secs)` that saw the parcel delivered.
pub fn delivered(id: i64, secs: i64, raw: &str) -> Vec<u8> {
    let value = json!({
        "tracking_id": id, "checked_at": at(secs), "status": "DELIVERED", "status_raw": raw,
        "events": [event("DELIVERED", raw, 1)],
    });
    value.to_string().into_bytes()
}
