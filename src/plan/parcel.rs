//! Reads a tracking for the learned policy: the code of its last event, the weight of events, and times as hours.

use crate::clock::{Time, hours};
use crate::model::status::{Status, SubStatus};
use crate::model::{Event, Outcome, Tracking, Update};
use crate::plan::hazard::{Gain, NewsItem, learn};
use crate::plan::{Class, IMPORTANT};

/// The sub-status or status that an event's code names. Any other code is `UNKNOWN`, so that the number of codes is
/// limited.
pub fn word(code: &str) -> &'static str {
    SubStatus::parse(code)
        .map(SubStatus::as_str)
        .or_else(|| Status::parse(code).map(Status::as_str))
        .unwrap_or(Status::Unknown.as_str())
}

/// The class of a code, for what is assumed before anything was learned.
pub fn class_of(code: &str) -> Class {
    let status = SubStatus::parse(code)
        .map(SubStatus::status)
        .or_else(|| Status::parse(code))
        .unwrap_or(Status::Unknown);
    match status {
        Status::Unknown | Status::Pending | Status::InfoReceived => Class::PreTransit,
        Status::OutForDelivery => Class::OutForDelivery,
        Status::AvailableForPickup => Class::Pickup,
        Status::AttemptFailed | Status::Exception => Class::Exception,
        Status::InTransit
        | Status::Returning
        | Status::Delivered
        | Status::Returned
        | Status::Cancelled
        | Status::Expired => Class::InTransit,
    }
}

/// The weight of an event with this status.
pub fn weight_of(status: Status) -> f64 {
    match status {
        Status::OutForDelivery
        | Status::AvailableForPickup
        | Status::Delivered
        | Status::AttemptFailed
        | Status::Exception => IMPORTANT,
        _ => 1.0,
    }
}

/// What the next event of a parcel depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The code of the last event. Without an event: the status.
    pub code: &'static str,
    /// The time of the last event, in hours. Without an event: when the tracking was created.
    pub since: f64,
}

impl Standing {
    pub fn of(row: &Tracking) -> Self {
        match &row.last_event_code {
            Some(code) => Self {
                code: word(code),
                since: hours(row.last_event_at.unwrap_or(row.created_at)),
            },
            None => Self {
                code: row.status.as_str(),
                since: hours(row.created_at),
            },
        }
    }

    /// The standing of a parcel after an answer at `asked_at`.
    pub fn after(row: &Tracking, outcome: &Outcome, asked_at: Time) -> Self {
        match outcome {
            Outcome::Seen { report, .. } => {
                let code = report.last_event_code.as_deref().map(word);
                let since = report.last_event_at.unwrap_or(row.created_at);
                Self {
                    code: code.unwrap_or(report.status.as_str()),
                    since: hours(since.min(asked_at)),
                }
            }
            Outcome::NotFoundYet if row.status == Status::Unknown => Self {
                code: Status::Pending.as_str(),
                since: hours(row.created_at),
            },
            Outcome::NotFoundYet | Outcome::Failed { .. } => Self::of(row),
        }
    }
}

/// Calls `gain` with everything that `update` adds to the counts, code by code.
///
/// That is nothing for the first answer, because its events happened before the parcel was watched, nor for failures,
/// repetitions, and parcels that were done before.
pub fn learn_from(row: &Tracking, update: &Update, gain: impl FnMut(&'static str, Gain)) {
    let events: &[Event] = match &update.outcome {
        Outcome::Seen { events, .. } => events,
        Outcome::NotFoundYet => &[],
        Outcome::Failed { .. } => return,
    };
    let Some(last_ok) = row.last_ok_at.filter(|at| *at < update.checked_at) else {
        return;
    };
    if row.status.is_terminal() {
        return;
    }
    let mut news: Vec<&Event> = events
        .iter()
        .filter(|event| row.last_event_at.is_none_or(|at| event.event_time > at))
        .collect();
    news.sort_by_key(|event| event.event_time);
    // A carrier may list an event more than once.
    news.dedup_by_key(|event| (event.event_time, event.status, event.sub_status));
    let news: Vec<NewsItem<&'static str>> = news
        .into_iter()
        .map(|event| NewsItem {
            at: hours(event.event_time),
            code: event
                .sub_status
                .map_or(event.status.as_str(), SubStatus::as_str),
            weight: weight_of(event.status),
            ends: event.status.is_terminal(),
        })
        .collect();
    let Standing { code, since } = Standing::of(row);
    learn(
        code,
        since,
        hours(last_ok),
        &news,
        hours(update.checked_at),
        gain,
    );
}
