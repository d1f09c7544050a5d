//! An event of a parcel's history.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Time;
use crate::model::status::{Meant, Status, SubStatus};

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
    /// The carrier's own record as JSON; empty if there is none.
    pub payload_json: String,
    /// The version of the adapter's mapping that gave the status. A newer version updates it.
    pub mapping_version: i32,
    /// Where it stands among the others, if the carrier's list tells it and the time does not: a date without a time of
    /// day has the event before it in its list as its place. `None`: at `event_time`.
    pub order_at: Option<Time>,
    /// The carrier took it back in its own words: it decides nothing.
    pub taken_back: bool,
    /// What its own words mean, wherever the parcel goes; `None`: what `status` and `sub_status` say.
    pub own: Option<Meant>,
    /// It is no event, but the status that the carrier gives the whole parcel beside its events.
    pub stated: bool,
}

impl Event {
    /// The own meaning of an event that says nothing of where the parcel is, such as that a date was updated: it shows the
    /// status in force before it and gives none.
    ///
    /// No event can mean PENDING, which is said of a number that the carrier does not know; and a program that does not
    /// know this meaning follows the table of [`journey`](crate::model::journey), by which it changes no known status.
    pub const KEEPS: Meant = (Status::Pending, None);

    /// Identifies the event: SHA-256 over raw status, location, message, time and journey.
    pub fn digest(&self, journey: i32) -> [u8; 32] {
        let mut hash = Sha256::new();
        if self.stated {
            // Never the same as an event, nor as another status that was said with the same raw text.
            hash.update(self.own().0.as_str());
        }
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
    /// Whether the carrier wrote another in its place, or took it back; or `superseded_at` is set.
    pub superseded: bool,
    /// Since when the answers that gave it are read otherwise.
    pub superseded_at: Option<Time>,
}

/// Events of an answer that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// How many of the answer's events.
    pub count: u32,
    /// Why one of them cannot be read, with its words, at most 200 characters; empty if there is none.
    pub example: String,
}
