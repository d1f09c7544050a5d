//! Small trackings and updates for tests.

use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::clock::Time;
use crate::model::extra::Extra;
use crate::model::facts::Facts;
use crate::model::limits::{Limits, Window};
use crate::model::owned::Owned;
use crate::model::parcel::{Parcel, State, Words};
use crate::model::quota::{Period, Quota};
use crate::model::shown::Shown;
use crate::model::status::{Direction, Status};
use crate::model::tenant::Tenant;
use crate::model::{
    CarrierCode, Event, Held, Named, Outcome, Report, TrackNumber, Tracking, Unreadable, Update,
};

/// A fixed moment, 2026-11-20T12:00:00Z, plus `secs`.
pub fn at(secs: i64) -> Time {
    Time::from_timestamp(1_795_176_000, 0).expect("a time within range") + TimeDelta::seconds(secs)
}

/// So many calls a day, which are not spread: by another limit there are fewer.
pub fn unspread(calls: u32) -> Limits {
    let quota = Quota {
        calls,
        period: Period::Day,
        zone: chrono_tz::UTC,
    };
    let window = Window {
        calls: 1,
        per: Duration::from_secs(86_400),
    };
    Limits {
        windows: vec![window],
        quotas: vec![quota],
        burst: 1,
    }
}

/// A new tracking with this version.
pub fn tracking(id: i64, version: i64) -> Tracking {
    let carrier_code = CarrierCode::parse("CDEK").expect("a valid code");
    let track_number = TrackNumber::parse(format!("N{id}")).expect("a valid number");
    Tracking {
        version,
        ..Tracking::new(id, carrier_code, track_number, at(0))
    }
}

/// What is shown of a new tracking with this version.
pub fn shown(id: i64, version: i64) -> Shown {
    Shown::of(&tracking(id, version))
}

/// What the default tenant is shown of a tracking that it has.
pub fn owned(id: i64, version: i64) -> Owned {
    let parcel = Parcel {
        tenant: Tenant::DEFAULT,
        tracking_id: id,
        state: State::Followed,
        words: Words::default(),
        extra: Extra::default(),
        created_at: at(0),
    };
    Owned::of(id, version, [&parcel])
}

/// An event `secs` after the fixed moment.
pub fn event(status: Status, raw: &str, secs: i64) -> Event {
    Event {
        status,
        sub_status: None,
        status_raw: raw.to_owned(),
        event_time: at(secs),
        location: "Moscow".to_owned(),
        message: String::new(),
        payload_json: String::new(),
        mapping_version: 1,
        order_at: None,
        taken_back: false,
        own: None,
        stated: false,
    }
}

/// A check `secs` after the fixed moment that saw `events`; the last one gives the status.
pub fn seen(tracking_id: i64, secs: i64, check: u128, events: Vec<Event>) -> Update {
    let last = events.last();
    let status = last.map_or(Status::Unknown, |event| event.status);
    let report = Report {
        status,
        sub_status: None,
        direction: Direction::Forward,
        status_raw: last.map_or_else(|| "UNKNOWN".to_owned(), |event| event.status_raw.clone()),
        status_at: last.map(|event| event.event_time),
        last_event_code: last.map(|event| event.status.as_str().to_owned()),
        last_event_at: last.map(|event| event.event_time),
    };
    update(tracking_id, secs, check, Outcome::Seen { report, events })
}

/// Facts of a parcel of so many pieces.
pub fn facts(pieces: u32) -> Facts {
    Facts {
        pieces: Some(pieces),
        ..Facts::default()
    }
}

/// A check `secs` after the fixed moment; the next one is a minute later.
pub fn update(tracking_id: i64, secs: i64, check: u128, outcome: Outcome) -> Update {
    let failed = matches!(outcome, Outcome::Failed { .. });
    Update {
        tracking_id,
        named: Named::of(&tracking(tracking_id, 1)),
        checked_at: at(secs),
        check_id: Uuid::from_u128(check),
        outcome,
        next_check_at: at(secs + 60),
        check_fail_count: Some(u32::from(failed)),
        place: 0,
        held: Held::Whole,
        unreadable: Unreadable::default(),
        facts: None,
        looks_again: false,
        extra_turn: 0,
    }
}
