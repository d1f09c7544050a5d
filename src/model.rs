//! What TrackBox is about: a tracking, its events, and what one check of it reported.
//!
//! Plain values that every other module may use. [`merge`] turns a tracking and an update into the next tracking; its status
//! follows from the whole [`history`], by the table in [`journey`].

pub mod act;
pub mod answer;
pub mod archived;
pub mod change;
pub mod code;
pub mod event;
pub mod extra;
pub mod facts;
#[cfg(test)]
pub mod fixture;
pub mod heard;
pub mod history;
pub mod journey;
pub mod key;
pub mod limits;
pub mod merge;
pub mod news;
pub mod number;
pub mod owned;
pub mod parcel;
pub mod quota;
pub mod shown;
pub mod status;
pub mod tenant;
pub mod text;
pub mod token;
pub mod twins;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;
pub use crate::model::code::{CODE_CHARS_MAX, CarrierCode, CodeError, TrackNumber};
pub use crate::model::event::{Event, TrackingEvent, Unreadable};
use crate::model::extra::Extras;
use crate::model::facts::{Facts, Told};
pub use crate::model::heard::Heard;
use crate::model::number::fold;
use crate::model::parcel::FAILING_FROM;
use crate::model::status::{Direction, Status, SubStatus};
pub use crate::model::text::{PAYLOAD_BYTES_MAX, TEXT_CHARS_MAX, clean_payload, clean_text};

/// How long after its last news a parcel becomes [`Status::Expired`]
/// (17TRACK and AfterShip stop at 30 days too; read November 2026).
pub const EXPIRES_AFTER: TimeDelta = TimeDelta::days(30);

/// How long before a tracking's creation its newest event lies at least for its history to be called old.
pub const OLD_HISTORY: TimeDelta = TimeDelta::days(90);

/// How far ahead the next check of an inactive tracking is shown.
pub const NEVER_AGAIN: TimeDelta = TimeDelta::days(365);

/// One number at one carrier that we follow: a row of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tracking {
    pub id: i64,
    pub carrier_code: CarrierCode,
    pub track_number: TrackNumber,
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    /// The last status that was known: an unknown text hides it.
    pub stage: Status,
    pub direction: Direction,
    pub status_raw: String,
    /// When the event that gave the status happened.
    pub status_at: Option<Time>,
    /// When the oldest event happened.
    pub first_event_at: Option<Time>,
    /// What the status is based on.
    pub heard: Heard,
    /// When the check that gave the status was made. With the check's id it orders reports.
    pub status_checked_at: Option<Time>,
    pub status_check_id: Option<Uuid>,
    pub last_event_code: Option<String>,
    pub last_event_at: Option<Time>,
    /// The last check that the carrier answered, whether it knew the number or not.
    pub last_ok_at: Option<Time>,
    pub last_checked_at: Option<Time>,
    pub last_check_id: Option<Uuid>,
    pub next_check_at: Time,
    /// Failed checks in a row.
    pub check_fail_count: u32,
    /// Why the last check failed; empty if it did not.
    pub last_error: String,
    /// What could not be read of the answer that gave the status.
    pub unreadable: Unreadable,
    /// What the carrier says of it beside its events.
    pub facts: Option<Box<Told>>,
    /// Refreshed and not checked since: it goes ahead of everything that is due.
    pub urgent: bool,
    pub refreshed_at: Option<Time>,
    /// When something pushed that cannot be believed last made it due.
    pub hinted_at: Option<Time>,
    /// Whether it is checked again although its status is terminal.
    pub looks_again: bool,
    /// Whether it is still checked: followed by an owner, and urgent, not terminal, or to be looked at again.
    pub active: bool,
    pub lease_until: Option<Time>,
    /// The check that holds the lease.
    pub lease_id: Option<Uuid>,
    /// Which parcel this is, if carriers use the number again; always 1 for now.
    pub journey: i32,
    /// How many [`news`] there were.
    pub change_seq: i64,
    /// When the last of them came.
    pub changed_at: Option<Time>,
    /// What the owners who follow it told beside its number.
    #[serde(skip)]
    pub extras: Extras,
    /// Whether some owner follows it.
    pub wanted: bool,
    /// How many tenants have it; -1 if it was created before there were owners, and is the default tenant's.
    pub owners: i32,
    /// Grows with every visible change.
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Tracking {
    /// Where it is now.
    pub fn report(&self) -> Report {
        Report {
            status: self.status,
            sub_status: self.sub_status,
            direction: self.direction,
            status_raw: self.status_raw.clone(),
            status_at: self.status_at,
            last_event_code: self.last_event_code.clone(),
            last_event_at: self.last_event_at,
        }
    }

    /// Whether it is to be checked further: what `active` must say.
    pub fn wants_checks(&self) -> bool {
        self.wanted && (self.urgent || !self.status.is_terminal() || self.looks_again)
    }

    /// Whether its checks fail, not just one of them.
    pub fn is_failing(&self) -> bool {
        self.check_fail_count >= FAILING_FROM
    }

    /// One that was created `now` and is due at once, as the store makes it.
    pub fn new(id: i64, carrier_code: CarrierCode, track_number: TrackNumber, now: Time) -> Self {
        Self {
            id,
            carrier_code,
            track_number,
            status: Status::Unknown,
            sub_status: None,
            stage: Status::Unknown,
            direction: Direction::Forward,
            status_raw: Status::Unknown.as_str().to_owned(),
            status_at: None,
            first_event_at: None,
            heard: Heard::Nothing,
            status_checked_at: None,
            status_check_id: None,
            last_event_code: None,
            last_event_at: None,
            last_ok_at: None,
            last_checked_at: None,
            last_check_id: None,
            next_check_at: now,
            check_fail_count: 0,
            last_error: String::new(),
            unreadable: Unreadable::default(),
            facts: None,
            urgent: false,
            refreshed_at: None,
            hinted_at: None,
            looks_again: false,
            active: true,
            lease_until: None,
            lease_id: None,
            journey: 1,
            change_seq: 0,
            changed_at: None,
            extras: Extras::default(),
            wanted: true,
            owners: 1,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether the newest check gave it a status beside its history: it was given up, or its history is not believed yet.
    pub fn is_overruled(&self) -> bool {
        overrules(self.status, self.sub_status)
    }

    /// Whether its newest event lies so long before its creation that the number may have been another parcel's.
    pub fn has_old_history(&self) -> bool {
        self.last_event_at
            .is_some_and(|at| at < self.created_at - OLD_HISTORY)
    }

    /// When it will be checked next; a year after its last check if it is inactive.
    pub fn next_check_shown(&self) -> Time {
        if self.active {
            self.next_check_at
        } else {
            self.last_checked_at.unwrap_or(self.created_at) + NEVER_AGAIN
        }
    }

    /// When there was last a reason to expect news: its creation, a refresh, or its newest event.
    ///
    /// An event dated later than the check that reported it counts as of that check.
    pub fn last_news_at(&self) -> Time {
        let event_at = self.last_event_at.min(self.status_checked_at);
        [Some(self.created_at), self.refreshed_at, event_at]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(self.created_at)
    }
}

/// Whether a status is a worker's verdict over a parcel's history, which holds until a newer check.
pub fn overrules(status: Status, sub_status: Option<SubStatus>) -> bool {
    status == Status::Expired || sub_status == Some(SubStatus::PendingOldHistory)
}

/// Where a parcel is now, according to its carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub direction: Direction,
    pub status_raw: String,
    /// When the event that gave the status happened.
    pub status_at: Option<Time>,
    /// The newest event's sub-status, or its status if it has none.
    pub last_event_code: Option<String>,
    pub last_event_at: Option<Time>,
}

/// A parcel as a message names it, in any spelling; a message of another producer may name it by its id alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub carrier_code: Option<String>,
    pub track_number: Option<String>,
}

impl Named {
    pub fn of(row: &Tracking) -> Self {
        Self {
            carrier_code: Some(row.carrier_code.as_str().to_owned()),
            track_number: Some(row.track_number.as_str().to_owned()),
        }
    }

    /// Whether nothing in it contradicts that it is this one.
    pub fn may_be(&self, row: &Tracking) -> bool {
        let same = |named: &Option<String>, own: &str| {
            named
                .as_ref()
                .is_none_or(|it| *it == own || fold(it) == fold(own))
        };
        same(&self.carrier_code, row.carrier_code.as_str())
            && same(&self.track_number, row.track_number.as_str())
    }
}

/// What one check of one tracking reported: the content of a record on the topic, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub tracking_id: i64,
    /// Which parcel it is of: an id may have been given out again since.
    pub named: Named,
    /// When the carrier was asked, in the store's time.
    pub checked_at: Time,
    /// The check's id, or a hash of the record if it has none. It orders checks of the same time.
    pub check_id: Uuid,
    pub outcome: Outcome,
    pub next_check_at: Time,
    /// Failed checks in a row including this one; `None` from a worker that does not count.
    pub check_fail_count: Option<u32>,
    /// The place in the answer's list of the first of `events`.
    pub place: i32,
    pub held: Held,
    pub unreadable: Unreadable,
    pub facts: Option<Facts>,
    /// Whether it is checked again although its status is terminal.
    pub looks_again: bool,
    /// Which of its [`Extras`] the next check is made with: a place, since no message holds what a shop told.
    pub extra_turn: i16,
}

/// What the events of an update are of what the carrier holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of its answer: what it lacks, the carrier did not list.
    Whole,
    /// Some of its answer: nothing is proven to be missing.
    Part,
    /// No answer: known events, read anew.
    Reread,
    /// No answer: what the carrier sent by itself, which may be one event alone.
    Pushed,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The carrier knows the parcel. `events` may be only some of all; the store keeps the union.
    Seen { report: Report, events: Vec<Event> },
    /// The carrier does not know the number, or not yet.
    NotFoundYet,
    /// The check failed, for this reason.
    Failed { error: String },
    /// No check: the answers of the checks up to this one, read again. It counts only if this is still the newest check.
    Replayed(Box<Replayed>),
}

/// What a parcel's archived answers say, read again: how its history and status have to change for it to be as if they had been
/// read so at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// When they were read again: a later check that reports an event brings it back.
    pub at: Time,
    /// What the status is based on.
    pub heard: Heard,
    /// The check that gave the status.
    pub given: (Time, Uuid),
    pub report: Report,
    /// Events that are new, or of which something else is known than is stored.
    pub events: Vec<ReplayedEvent>,
    /// Stored events that nothing gives any more, by [`Event::digest`].
    pub gone: Vec<[u8; 32]>,
    pub facts: Option<Told>,
}

/// An event, and all that the answers tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedEvent {
    pub event: Event,
    /// The check that reported it first.
    pub first: (Time, Uuid),
    /// Its place in that check's list.
    pub place: i32,
    /// Whether some whole answer held it.
    pub whole: bool,
    /// The events of the same code and time that some answer held too.
    pub beside: Vec<u64>,
    /// Whether the carrier's record is another than the stored one.
    pub rewrites: bool,
}

/// A tracking before and after an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub old: Tracking,
    pub new: Tracking,
}

/// How the news came to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    #[default]
    Poll,
    Push,
    /// The carrier was not asked: known events were read anew.
    Reread,
    /// The carrier was not asked: archived answers were read again.
    Replay,
}
