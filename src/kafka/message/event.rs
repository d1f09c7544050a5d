//! Events and times as a record has them.

use chrono::{DateTime, Utc};

use crate::clock::{Time, cut};
use crate::kafka::message::wire::{WireEvent, time_text};
use crate::model::status::{Status, SubStatus};
use crate::model::{Event, clean_payload, clean_text};

/// The most events in one record. The others go into further records of the same check.
const EVENTS_MAX: usize = 500;

/// The most bytes of events in one record: well below 1 MiB, the usual limit of a broker for a request.
const EVENTS_BYTES_MAX: usize = 512 * 1024;

/// What stands in the place of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongTime {
    pub field: &'static str,
    pub text: String,
}

/// Events in groups that each fit into a record; one group without events if there are none.
pub fn chunked(events: impl Iterator<Item = WireEvent>) -> Vec<Vec<WireEvent>> {
    let mut chunks = vec![Vec::new()];
    let mut bytes = 0;
    for event in events {
        // The size as written: a control character takes six bytes.
        let size = serde_json::to_vec(&event).map_or(0, |json| json.len());
        let full = chunks.last().is_none_or(|chunk: &Vec<WireEvent>| {
            !chunk.is_empty() && (chunk.len() >= EVENTS_MAX || bytes + size > EVENTS_BYTES_MAX)
        });
        if full {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(event);
        }
    }
    chunks
}

/// An event as a record has it.
pub fn wire_event(event: &Event) -> WireEvent {
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    let own = event
        .own
        .filter(|own| *own != (event.status, event.sub_status));
    WireEvent {
        status: event.status.as_str().to_owned(),
        sub_status: event.sub_status.map(|word| word.as_str().to_owned()),
        status_raw: event.status_raw.clone(),
        event_time: Some(time_text(event.event_time)),
        location: filled(&event.location),
        message: filled(&event.message),
        payload: serde_json::from_str(&event.payload_json).ok(),
        own_status: own.map(|(status, _)| status.as_str().to_owned()),
        own_sub_status: own.and_then(|(_, sub)| sub.map(|word| word.as_str().to_owned())),
        order_at: event.order_at.map(time_text),
        taken_back: event.taken_back,
        stated: event.stated,
        told: None,
    }
}

/// An event of a record.
pub fn read_event(
    event: WireEvent,
    event_time: Time,
    mapping_version: i32,
) -> Result<Event, WrongTime> {
    let own_sub_status = event.own_sub_status.as_deref().and_then(SubStatus::parse);
    let own_status = event.own_status.as_deref();
    Ok(Event {
        status: Status::parse(&event.status).unwrap_or(Status::Unknown),
        sub_status: event.sub_status.as_deref().and_then(SubStatus::parse),
        status_raw: clean_text(&event.status_raw),
        event_time,
        location: clean_text(event.location.as_deref().unwrap_or_default()),
        message: clean_text(event.message.as_deref().unwrap_or_default()),
        payload_json: event
            .payload
            .as_ref()
            .map(clean_payload)
            .unwrap_or_default(),
        mapping_version,
        order_at: read_time("order_at", event.order_at.as_deref())?,
        taken_back: event.taken_back,
        own: own_status.map(|own| {
            (
                Status::parse(own).unwrap_or(Status::Unknown),
                own_sub_status,
            )
        }),
        stated: event.stated,
    })
}

/// Reads a time. Absent, empty, and year 1 (which the original writes for "none") are `None`.
///
/// RFC 3339 has years up to 9999, which both databases can store.
pub fn read_time(field: &'static str, text: Option<&str>) -> Result<Option<Time>, WrongTime> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| WrongTime {
        field,
        text: text.chars().filter(|c| !c.is_control()).take(64).collect(),
    })?;
    let time = cut(time.with_timezone(&Utc));
    Ok((time.timestamp() > YEAR_2_SECS).then_some(time))
}

/// The first second of year 2.
const YEAR_2_SECS: i64 = -62_104_060_800;
