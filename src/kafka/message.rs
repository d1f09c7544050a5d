//! The record on the topic: how an update is written, and how any producer's record is read.
//!
//! The fields of the original program keep their meaning: its consumer can read our records, and we can read its
//! worker's. Fields that other producers leave out get the defaults of the wire contract.

mod event;
mod replayed;
mod wire;

use chrono::TimeDelta;
use serde_json::value::to_raw_value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::{Time, cut};
use crate::kafka::message::event::{WrongTime, chunked, read_event, read_time, wire_event};
use crate::kafka::message::wire::{Wire, time_text};
use crate::kafka::record::Outgoing;
use crate::model::facts::Facts;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{Event, Held, Named, Outcome, Report, Source, Update, clean_text, overrules};

/// The time to the next check if the producer does not give one.
const NEXT_CHECK_DEFAULT: TimeDelta = TimeDelta::hours(1);

/// The longest time to the next check that a producer can ask for: the longest that our own configuration allows.
const NEXT_CHECK_MAX: TimeDelta = TimeDelta::days(366);

/// How far ahead of the store's time a check may be.
pub const AHEAD_MAX: TimeDelta = TimeDelta::minutes(10);

/// The largest place of a record's first event in its answer; more than an answer has events.
const PLACE_MAX: i32 = 1_000_000;

/// A check to publish.
#[derive(Clone, Debug)]
pub struct Checked {
    pub update: Update,
    pub adapter: &'static str,
    pub mapping_version: i32,
    pub source: Source,
}

/// Why a record cannot be read. The text is stored with the dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("the record has no value")]
    Empty,
    #[error("the value is not an update: {0}")]
    Json(String),
    #[error("{field} is not a time: {text}")]
    Time { field: &'static str, text: String },
    #[error("checked_at is {} s ahead of the store's time", .0)]
    Ahead(i64),
}

impl From<WrongTime> for MessageError {
    fn from(WrongTime { field, text }: WrongTime) -> Self {
        Self::Time { field, text }
    }
}

/// The key of a tracking's records, which decides their partition.
pub fn key(tracking_id: i64) -> Vec<u8> {
    tracking_id.to_string().into_bytes()
}

/// Writes a check as records: as one, unless it saw very many events.
pub fn encode(checked: &Checked) -> Vec<Outgoing> {
    let update = &checked.update;
    let mut head = Wire {
        tracking_id: update.tracking_id,
        carrier_code: update.named.carrier_code.clone(),
        track_number: update.named.track_number.clone(),
        checked_at: Some(time_text(update.checked_at)),
        status: None,
        status_raw: None,
        status_at: None,
        next_check_at: Some(time_text(update.next_check_at)),
        events: None,
        error: None,
        check_id: Some(update.check_id),
        check_fail_count: update.check_fail_count,
        sub_status: None,
        direction: None,
        last_event_code: None,
        last_event_at: None,
        adapter: Some(checked.adapter.to_owned()),
        mapping_version: Some(checked.mapping_version),
        source: serde_json::to_value(checked.source)
            .ok()
            .and_then(|word| word.as_str().map(str::to_owned)),
        derived: matches!(update.outcome, Outcome::Seen { .. } | Outcome::Replayed(_)),
        first_event: None,
        unreadable_events: (update.unreadable.count > 0).then(|| update.unreadable.clone()),
        looks_again: update.looks_again,
        extra_turn: Some(update.extra_turn).filter(|turn| *turn != 0),
        facts: update
            .facts
            .as_ref()
            .map(|facts| to_raw_value(facts).expect("texts, numbers and times are always JSON")),
        replayed: None,
    };
    let key = key(update.tracking_id);
    let mut chunks = vec![Vec::new()];
    match &update.outcome {
        Outcome::Failed { error } => head.error = Some(error.clone()),
        Outcome::NotFoundYet => head.say_not_found(),
        Outcome::Seen { report, events } => {
            head.say(report);
            chunks = chunked(events.iter().map(wire_event));
        }
        Outcome::Replayed(replayed) => return replayed::records(head, replayed, &key),
    }
    let is_split = chunks.len() > 1;
    let mut place = update.place;
    chunks
        .into_iter()
        .map(|events| {
            head.first_event = is_split.then_some(place);
            place = place.saturating_add(i32::try_from(events.len()).unwrap_or(i32::MAX));
            head.events = if events.is_empty() {
                None
            } else {
                Some(events)
            };
            head.record(&key)
        })
        .collect()
}

/// Reads a record's value. `published_at` is the record's own timestamp, `now` the store's time.
///
/// # Errors
/// [`MessageError`] if it is not an update, or if its check is more than [`AHEAD_MAX`] ahead of `now`.
pub fn decode(value: Option<&[u8]>, published_at: Time, now: Time) -> Result<Update, MessageError> {
    let value = value.ok_or(MessageError::Empty)?;
    let mut wire: Wire =
        serde_json::from_slice(value).map_err(|error| MessageError::Json(error.to_string()))?;
    let checked_at =
        read_time("checked_at", wire.checked_at.as_deref())?.unwrap_or(cut(published_at));
    if checked_at - now > AHEAD_MAX {
        return Err(MessageError::Ahead((checked_at - now).num_seconds()));
    }
    let next_check_at = read_time("next_check_at", wire.next_check_at.as_deref())?
        .unwrap_or(checked_at + NEXT_CHECK_DEFAULT)
        .min(checked_at + NEXT_CHECK_MAX);
    let check_id = wire.check_id.unwrap_or_else(|| hash_id(value));
    let held = match wire.source.as_deref() {
        Some("reread") => Held::Reread,
        Some("push") => Held::Pushed,
        _ if wire.check_id.is_none() || wire.first_event.is_some() => Held::Part,
        _ => Held::Whole,
    };
    let mut unreadable = wire.unreadable_events.clone().unwrap_or_default();
    unreadable.example = clean_text(&unreadable.example);
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    // Those of a replay are told with their check.
    let facts = wire.facts.take_if(|_| wire.replayed.is_none());
    let facts = facts.and_then(|raw| Facts::read(raw.get()));
    let named = Named {
        carrier_code: filled(wire.carrier_code.take()),
        track_number: filled(wire.track_number.take()),
    };
    Ok(Update {
        tracking_id: wire.tracking_id,
        named,
        check_fail_count: wire.check_fail_count,
        place: wire.first_event.unwrap_or(0).clamp(0, PLACE_MAX),
        facts,
        looks_again: wire.looks_again,
        extra_turn: wire.extra_turn.unwrap_or(0),
        outcome: match wire.replayed.take() {
            Some(told) => replayed::read(wire, told)?,
            None => outcome(wire, checked_at)?,
        },
        checked_at,
        check_id,
        next_check_at,
        held,
        unreadable,
    })
}

fn outcome(wire: Wire, checked_at: Time) -> Result<Outcome, MessageError> {
    if let Some(error) = wire.error.filter(|error| !error.is_empty()) {
        return Ok(Outcome::Failed {
            error: clean_text(&error),
        });
    }
    let status = wire
        .status
        .as_deref()
        .and_then(Status::parse)
        .unwrap_or(Status::Unknown);
    let sub_status = wire.sub_status.as_deref().and_then(SubStatus::parse);
    if status == Status::Pending && !overrules(status, sub_status) {
        return Ok(Outcome::NotFoundYet);
    }
    let mapping_version = wire.mapping_version.unwrap_or(0);
    let mut events = Vec::new();
    for event in wire.events.unwrap_or_default() {
        // An event without a time cannot be told from its own repetition, so it is skipped.
        if let Some(event_time) = read_time("event_time", event.event_time.as_deref())? {
            events.push(read_event(event, event_time, mapping_version)?);
        }
    }
    let newest = events.iter().max_by_key(|event| event.event_time);
    let code_of = |event: &Event| {
        let sub_status = event.sub_status.map(SubStatus::as_str);
        sub_status.unwrap_or(event.status.as_str()).to_owned()
    };
    let last_event_at = read_time("last_event_at", wire.last_event_at.as_deref())?;
    let report = Report {
        status,
        sub_status,
        direction: wire
            .direction
            .as_deref()
            .and_then(Direction::parse)
            .unwrap_or(Direction::Forward),
        status_raw: clean_text(wire.status_raw.as_deref().unwrap_or(status.as_str())),
        status_at: read_time("status_at", wire.status_at.as_deref())?,
        last_event_code: wire
            .last_event_code
            .map(|code| clean_text(&code))
            .or_else(|| newest.map(code_of)),
        last_event_at: last_event_at.or_else(|| newest.map(|event| event.event_time)),
    };
    if !wire.derived && !overrules(status, sub_status) {
        let meant = (status, sub_status);
        let (raw, at) = (&report.status_raw, report.status_at);
        events.extend(Event::stated(meant, raw, at, &events, checked_at));
    }
    Ok(Outcome::Seen { report, events })
}

/// The id of a check without one. The same record gives the same id.
fn hash_id(value: &[u8]) -> Uuid {
    let hash: [u8; 32] = Sha256::digest(value).into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(id)
}

#[cfg(test)]
mod tests;
