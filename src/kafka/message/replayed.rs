//! The record of answers that were read again. To a consumer that knows no such record it is one of the newest check, which it
//! has applied already, with further events.

use uuid::Uuid;

use crate::clock::Time;
use crate::kafka::message::event::{WrongTime, chunked, read_event, read_time, wire_event};
use crate::kafka::message::wire::{Wire, WireEvent, WireReplayed, WireTold, time_text};
use crate::kafka::record::Outgoing;
use crate::model::facts::{Facts, Told};
use crate::model::history::Digest;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{Heard, Outcome, Replayed, ReplayedEvent, Report, clean_text};

/// The most events of one record that are gone.
const GONE_MAX: usize = 2_000;

/// Writes `replayed` as records, of which each holds a part of the events and takes effect by itself.
pub fn records(mut head: Wire, replayed: &Replayed, key: &[u8]) -> Vec<Outgoing> {
    head.say(&replayed.report);
    let told = replayed.facts.as_ref();
    head.facts = told.and_then(|told| serde_json::value::to_raw_value(&told.facts).ok());
    let mut extra = WireReplayed {
        at: time_text(replayed.at),
        heard: replayed.heard.rank(),
        given_at: time_text(replayed.given.0),
        given_id: replayed.given.1,
        facts_at: told.map(|told| time_text(told.checked_at)),
        facts_id: told.map(|told| told.check_id),
        gone: Vec::new(),
    };
    let mut gone = replayed.gone.chunks(GONE_MAX);
    let mut chunks = chunked(replayed.events.iter().map(written)).into_iter();
    let mut records = Vec::new();
    loop {
        let (events, digests) = (chunks.next(), gone.next());
        if events.is_none() && digests.is_none() {
            return records;
        }
        head.events = events.filter(|events| !events.is_empty());
        extra.gone = digests
            .unwrap_or_default()
            .iter()
            .map(hexadecimal)
            .collect();
        head.replayed = Some(extra.clone());
        records.push(head.record(key));
    }
}

fn written(told: &ReplayedEvent) -> WireEvent {
    WireEvent {
        told: Some(WireTold {
            first_checked_at: time_text(told.first.0),
            first_check_id: told.first.1,
            place: told.place,
            whole: told.whole,
            beside: told.beside.clone(),
            rewrites: told.rewrites,
        }),
        ..wire_event(&told.event)
    }
}

/// Reads what a record says besides its check.
///
/// # Errors
/// If a time is missing or none. What else is missing or wrong is as if it were not there.
pub fn read(wire: Wire, extra: WireReplayed) -> Result<Outcome, WrongTime> {
    let check = |at: &str, id: Uuid| Ok((time("replayed", at)?, id));
    let given = check(&extra.given_at, extra.given_id)?;
    let status = wire.status.as_deref().and_then(Status::parse);
    let status = status.unwrap_or(Status::Unknown);
    let sub_status = wire.sub_status.as_deref().and_then(SubStatus::parse);
    let mapping_version = wire.mapping_version.unwrap_or(0);
    let mut events = Vec::new();
    for mut event in wire.events.unwrap_or_default() {
        let at = read_time("event_time", event.event_time.as_deref())?;
        if let Some((told, at)) = event.told.take().zip(at) {
            events.push(ReplayedEvent {
                event: read_event(event, at, mapping_version)?,
                first: check(&told.first_checked_at, told.first_check_id)?,
                place: told.place,
                whole: told.whole,
                beside: told.beside,
                rewrites: told.rewrites,
            });
        }
    }
    let facts = wire.facts.and_then(|raw| Facts::read(raw.get()));
    let facts_at = extra.facts_at.as_deref().map(|at| time("facts_at", at));
    let facts_check = facts_at.transpose()?.zip(extra.facts_id);
    let direction = wire.direction.as_deref().and_then(Direction::parse);
    Ok(Outcome::Replayed(Box::new(Replayed {
        at: time("at", &extra.at)?,
        heard: Heard::from_rank(extra.heard),
        given,
        report: Report {
            status,
            sub_status,
            direction: direction.unwrap_or(Direction::Forward),
            status_raw: clean_text(wire.status_raw.as_deref().unwrap_or(status.as_str())),
            status_at: read_time("status_at", wire.status_at.as_deref())?,
            last_event_code: wire.last_event_code.map(|code| clean_text(&code)),
            last_event_at: read_time("last_event_at", wire.last_event_at.as_deref())?,
        },
        events,
        gone: extra.gone.iter().filter_map(|text| digest(text)).collect(),
        facts: facts.zip(facts_check).map(|(facts, check)| Told {
            facts,
            checked_at: check.0,
            check_id: check.1,
        }),
    })))
}

/// A time that must be there.
fn time(field: &'static str, text: &str) -> Result<Time, WrongTime> {
    let missing = || WrongTime {
        field,
        text: String::new(),
    };
    read_time(field, Some(text))?.ok_or_else(missing)
}

fn hexadecimal(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (byte, place) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[place..place + 2], 16).ok()?;
    }
    Some(digest)
}
