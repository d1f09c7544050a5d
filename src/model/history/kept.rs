//! What a history keeps of an event, and how two events stand to each other.

use chrono::TimeDelta;
use uuid::Uuid;

use crate::clock::Time;
use crate::model::Event;
use crate::model::journey::Step;
use crate::model::status::Meant;

/// How far ahead of the check that first reported it an event may be dated and still decide: further than any zone.
pub const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// Stands among the neighbours of an event that has too many.
pub(super) const CROWDED: u64 = 0;

/// What identifies an event: [`Event::digest`].
pub type Digest = [u8; 32];

/// What is kept of an event to decide by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its row's id; `None` if it has no row yet.
    pub id: Option<i64>,
    /// The whole event, if it has no row yet, or was read with it.
    pub event: Option<Event>,
    /// Whether it has a newer mapping than its row.
    pub remapped: bool,
    /// Whether it has another record of the carrier than its row.
    pub rewritten: bool,
    pub digest: Digest,
    /// What its own words mean.
    pub own: Meant,
    /// What that means on the parcel's way.
    pub shown: Meant,
    pub status_raw: String,
    pub event_time: Time,
    pub order_at: Option<Time>,
    pub journey: i32,
    pub mapping_version: i32,
    /// The check that reported it first.
    pub first: (Time, Uuid),
    /// Its place in that check's list; below zero if it was pushed.
    pub place: i32,
    /// Whether some whole answer held it.
    pub whole: bool,
    /// The events of the same code and time that some answer held too, by [`name`].
    pub beside: Vec<u64>,
    pub taken_back: bool,
    pub stated: bool,
    pub superseded: bool,
    /// Since when the answers that gave it are read otherwise.
    pub superseded_at: Option<Time>,
}

impl Kept {
    /// By time, or by the carrier's list where it tells more; of events of one time by when they became known, then by the
    /// list. A status that the carrier gives the whole parcel comes after its events.
    pub(super) fn order(&self) -> (Time, bool, (Time, Uuid), i32, Option<i64>, Digest) {
        let at = self.order_at.unwrap_or(self.event_time);
        (
            at,
            self.stated,
            self.first,
            self.place,
            self.id,
            self.digest,
        )
    }

    /// What owners are shown of it.
    pub(super) fn meaning(&self) -> (Meant, bool) {
        (self.shown, self.superseded)
    }

    pub(super) fn decides(&self) -> bool {
        !self.superseded && self.event_time <= self.first.0 + AHEAD_MAX
    }

    pub(super) fn step(&self) -> Step<'_> {
        Step::new(self.own, &self.status_raw, self.event_time, self.stated)
    }

    /// What a further message may change.
    pub(super) fn facts(&self) -> (i32, Meant, (Time, Uuid), i32, Option<Time>, bool, bool) {
        (
            self.mapping_version,
            self.own,
            self.first,
            self.place,
            self.order_at,
            self.whole,
            self.taken_back,
        )
    }

    /// Whether no whole answer held it, and it was pushed before any part of one did.
    pub(super) fn is_only_pushed(&self) -> bool {
        self.place < 0 && !self.whole
    }

    /// Whether the carrier wrote `other`, of the same code and time, in this one's place.
    pub(super) fn gives_way_to(&self, other: &Self) -> bool {
        let names = [CROWDED, name(&other.digest)];
        let together =
            names.iter().any(|name| self.beside.contains(name)) || other.beside.contains(&CROWDED);
        let is_older = self.first < other.first || self.is_only_pushed();
        other.whole && is_older && !together
    }
}

/// A short name for an event among those of its parcel: the first 8 bytes of its digest, as a number.
pub fn name(digest: &Digest) -> u64 {
    let (first, _) = digest.split_at(8);
    first
        .iter()
        .fold(0, |name, byte| name << 8 | u64::from(*byte))
}
