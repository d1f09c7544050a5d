//! From a list of dated texts, as aggregators give them, to an observation.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::carriers::russian::{direction, meaning};
use crate::carriers::{EVENTS_MAX, Observation, Verdict};
use crate::clock::{Time, cut};
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{Event, Report, clean_payload, clean_text};

/// One dated text.
#[derive(Clone, Debug)]
pub struct Text {
    pub at: Time,
    /// The carrier's main word for it: becomes `statusRaw`.
    pub raw: String,
    /// What it says besides.
    pub message: String,
    pub location: String,
    /// The carrier's own record.
    pub payload: serde_json::Value,
}

/// The moment of a local time in `zone`: of two the earlier, of none the first after the gap.
pub fn from_local(local: NaiveDateTime, zone: Tz) -> Time {
    let in_zone = match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at),
        // Clocks jump by at most a few hours.
        LocalResult::None => (1..=16)
            .filter_map(|quarters| local.checked_add_signed(TimeDelta::minutes(15 * quarters)))
            .find_map(|later| zone.from_local_datetime(&later).earliest()),
    };
    let at: DateTime<Utc> = in_zone.map_or_else(|| local.and_utc(), |at| at.with_timezone(&Utc));
    cut(at)
}

/// What these texts say; not found yet where there are none.
///
/// The newest text gives the status: by time, and among equals the one that the list's own order puts later. A text that
/// nobody mapped is UNKNOWN. Once the parcel is on its way back, a delivery is a return.
pub fn observe(texts: Vec<Text>, mapping_version: i32) -> Verdict {
    let mut texts: Vec<Text> = texts.into_iter().take(EVENTS_MAX).collect();
    let (Some(first), Some(last)) = (texts.first(), texts.last()) else {
        return Verdict::NotFoundYet;
    };
    if first.at > last.at {
        texts.reverse();
    }
    texts.sort_by_key(|text| text.at);
    let mut way = Direction::Forward;
    let mut events = Vec::with_capacity(texts.len());
    for text in &texts {
        let (status, sub_status) = understood(text, way);
        if direction(status) == Direction::Return {
            way = Direction::Return;
        }
        events.push(Event {
            status,
            sub_status,
            status_raw: clean_text(&text.raw),
            event_time: text.at,
            location: clean_text(&text.location),
            message: clean_text(&text.message),
            payload_json: clean_payload(&text.payload),
            mapping_version,
        });
    }
    let Some(newest) = events.last() else {
        return Verdict::NotFoundYet;
    };
    let code = newest
        .sub_status
        .map_or(newest.status.as_str(), SubStatus::as_str);
    let report = Report {
        status: newest.status,
        sub_status: newest.sub_status,
        direction: way,
        status_raw: newest.status_raw.clone(),
        status_at: Some(newest.event_time),
        last_event_code: Some(code.to_owned()),
        last_event_at: Some(newest.event_time),
    };
    Verdict::Seen(Observation {
        report,
        events,
        mapping_version,
    })
}

/// The whole text first, since its parts may say less: "Вручение" with "Вручение отправителю" is a return.
fn understood(text: &Text, way: Direction) -> (Status, Option<SubStatus>) {
    let whole = format!("{} {}", text.raw, text.message);
    let found = meaning(&whole).map(|meaning| (meaning.status, meaning.sub_status));
    match found {
        Some((Status::Delivered, _)) if way == Direction::Return => {
            (Status::Returned, Some(SubStatus::ReturnedToSender))
        }
        Some(found) => found,
        None => (Status::Unknown, None),
    }
}
