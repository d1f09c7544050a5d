//! The words of the house: a tracking, its events, and what one check of it said.
//!
//! Pure values, known to everybody and knowing nobody. How a tracking and an update become the next tracking is
//! [`merge`]'s affair.

#[cfg(test)]
pub mod fixture;
pub mod limits;
pub mod merge;
pub mod status;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::status::{Direction, Status, SubStatus};

/// The most characters kept of any one text from outside.
pub const TEXT_CHARS_MAX: usize = 2_000;

/// The most bytes kept of one event's payload; a longer one is left out whole, since half a JSON is none.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// The most characters of a carrier code or a track number.
pub const CODE_CHARS_MAX: usize = 64;

/// How long after its last news a parcel is given up as [`Status::Expired`]
/// (17TRACK and AfterShip stop at 30 days too; read November 2026).
pub const EXPIRES_AFTER: TimeDelta = TimeDelta::days(30);

/// How far ahead the next check of a parcel lies that is no longer checked.
pub const NEVER_AGAIN: TimeDelta = TimeDelta::days(365);

/// Why a text is not a carrier code or a track number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {CODE_CHARS_MAX} characters, this has {0}")]
    TooLong(usize),
    #[error("must not contain control characters")]
    Control,
}

fn check_code(text: &str) -> Result<(), CodeError> {
    let chars = text.chars().count();
    if text.is_empty() {
        Err(CodeError::Empty)
    } else if chars > CODE_CHARS_MAX {
        Err(CodeError::TooLong(chars))
    } else if text.chars().any(char::is_control) {
        Err(CodeError::Control)
    } else {
        Ok(())
    }
}

/// A carrier's code as the users write it: 1 to 64 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct CarrierCode(String);

/// A track number as the users write it: 1 to 64 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TrackNumber(String);

macro_rules! code {
    ($name:ident) => {
        impl $name {
            /// # Errors
            /// [`CodeError`] where the text is empty, longer than 64 characters, or has control characters.
            pub fn parse(text: impl Into<String>) -> Result<Self, CodeError> {
                let text = text.into();
                check_code(&text)?;
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = CodeError;

            fn try_from(text: String) -> Result<Self, CodeError> {
                Self::parse(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}
code!(CarrierCode);
code!(TrackNumber);

/// One number at one carrier that we follow, as the store keeps it, and as JSON in a shared cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    pub id: i64,
    pub carrier_code: CarrierCode,
    pub track_number: TrackNumber,
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub direction: Direction,
    pub status_raw: String,
    /// When the event happened that gave the status.
    pub status_at: Option<Time>,
    /// What the status rests on.
    pub heard: Heard,
    /// The check that the status comes from; with its id, the clock that orders reports.
    pub status_checked_at: Option<Time>,
    pub status_check_id: Option<Uuid>,
    pub last_event_code: Option<String>,
    pub last_event_at: Option<Time>,
    /// The last check that the carrier answered, found or not.
    pub last_ok_at: Option<Time>,
    pub last_checked_at: Option<Time>,
    pub last_check_id: Option<Uuid>,
    pub next_check_at: Time,
    /// Failed checks in a row.
    pub check_fail_count: u32,
    /// What the last check failed with; empty after a good one.
    pub last_error: String,
    /// Refreshed and not yet checked since: ahead of everything that is due.
    pub urgent: bool,
    pub refreshed_at: Option<Time>,
    /// Whether it is still checked: urgent, or not terminal.
    pub active: bool,
    pub lease_until: Option<Time>,
    /// The check that holds the lease.
    pub lease_id: Option<Uuid>,
    /// Which life of a number that carriers use again; 1 for now.
    pub journey: i32,
    /// Grows with every visible change.
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Tracking {
    /// When it will be checked next; a year ahead where it no longer is.
    pub fn next_check_shown(&self) -> Time {
        if self.active {
            self.next_check_at
        } else {
            self.last_checked_at.unwrap_or(self.created_at) + NEVER_AGAIN
        }
    }

    /// When there was last a reason to expect something: its creation, a refresh, or its newest event.
    ///
    /// An event dated after the check that reported it is no news from the future, so it counts as of that check.
    pub fn last_news_at(&self) -> Time {
        let event_at = self.last_event_at.min(self.status_checked_at);
        [Some(self.created_at), self.refreshed_at, event_at]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(self.created_at)
    }
}

/// What a status rests on; the higher one is never replaced by the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Heard {
    Nothing,
    NotFoundYet,
    Seen,
}

impl Heard {
    /// The number the store keeps for it.
    pub fn rank(self) -> i16 {
        match self {
            Self::Nothing => 0,
            Self::NotFoundYet => 1,
            Self::Seen => 2,
        }
    }

    /// The way back; a number out of range counts as nothing heard.
    pub fn from_rank(rank: i16) -> Self {
        match rank {
            2 => Self::Seen,
            1 => Self::NotFoundYet,
            _ => Self::Nothing,
        }
    }
}

/// One thing that the carrier says happened to a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    /// The carrier's own code or text for it.
    pub status_raw: String,
    pub event_time: Time,
    pub location: String,
    pub message: String,
    /// The carrier's own record as JSON; empty where there is none.
    pub payload_json: String,
    /// Which edition of the adapter's mapping gave the status; a newer one updates it.
    pub mapping_version: i32,
}

impl Event {
    /// What makes two reports the same event: SHA-256 over raw status, time, location, message and journey.
    pub fn digest(&self, journey: i32) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in [&self.status_raw, &self.location, &self.message] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(self.event_time.timestamp_micros().to_be_bytes());
        hash.update(journey.to_be_bytes());
        hash.finalize().into()
    }
}

/// An event as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingEvent {
    pub id: i64,
    pub tracking_id: i64,
    pub event: Event,
    pub created_at: Time,
}

/// Where a carrier says a parcel is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub direction: Direction,
    pub status_raw: String,
    /// When the event happened that gave the status.
    pub status_at: Option<Time>,
    /// The normalised code of the newest event: the sub-status where there is one, else the status.
    pub last_event_code: Option<String>,
    pub last_event_at: Option<Time>,
}

/// What one check of one tracking said: the content of a record on the topic, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub tracking_id: i64,
    /// When the carrier was asked, by the store's time.
    pub checked_at: Time,
    /// The check's id, or a hash of the record where it carries none; orders checks of the same time.
    pub check_id: Uuid,
    pub outcome: Outcome,
    pub next_check_at: Time,
    /// Failed checks in a row including this one; `None` from a worker that does not count.
    pub check_fail_count: Option<u32>,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The carrier knows the parcel. `events` may be a part of all; the store keeps the union.
    Seen { report: Report, events: Vec<Event> },
    /// The carrier does not know the number, or not yet.
    NotFoundYet,
    /// The check failed: the reason.
    Failed { error: String },
}

/// What an update made of a tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub old: Tracking,
    pub new: Tracking,
}

/// Who asked, as the record on the topic names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    #[default]
    Poll,
    Push,
}

/// `text` fit to be kept: without NUL, at most [`TEXT_CHARS_MAX`] characters.
pub fn clean_text(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\0')
        .take(TEXT_CHARS_MAX)
        .collect()
}

/// A payload fit to be kept: its JSON, or nothing where it is null or longer than [`PAYLOAD_BYTES_MAX`].
pub fn clean_payload(payload: &serde_json::Value) -> String {
    if payload.is_null() {
        return String::new();
    }
    let json = payload.to_string();
    if json.len() > PAYLOAD_BYTES_MAX {
        String::new()
    } else {
        json
    }
}
