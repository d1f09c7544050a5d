//! What an update is news of: what the owners of a parcel are told.
//!
//! A check that finds nothing new is no news, though it moves the time of the last check. Events that are overtaken by newer
//! ones are news, though the status stays.

use uuid::Uuid;

use crate::clock::Time;
use crate::model::facts::Facts;
use crate::model::history::History;
use crate::model::merge::merge;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{Tracking, Update};

/// The most events that one change names.
pub const EVENTS_MAX: usize = 20;

/// One change of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub tracking_id: i64,
    /// Its number among the parcel's, counted from 1.
    pub change_seq: i64,
    /// The check that told it.
    pub cause: Uuid,
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub direction: Direction,
    pub status_raw: String,
    pub status_at: Option<Time>,
    pub was: (Status, Option<SubStatus>),
    /// The facts before and after, if they changed.
    pub facts: Option<(Option<Facts>, Option<Facts>)>,
    /// Its new events by [`name`](crate::model::history::name), oldest first: at most [`EVENTS_MAX`], the newest.
    pub events: Vec<u64>,
    pub events_total: usize,
    /// Known events that mean something else now, or became superseded or valid again; as many at most.
    pub revised: Vec<u64>,
}

/// The tracking that `update` makes of `row`, as [`merge`] says, and the news in it.
pub fn tell(
    row: &Tracking,
    update: &Update,
    history: &mut History,
    now: Time,
) -> (Tracking, Option<News>) {
    history.begin();
    let mut next = merge(row, update, history, now);
    let (mut events, mut revised) = history.told();
    let same_facts = facts(row) == facts(&next);
    let shown = |row: &Tracking| {
        (
            row.status,
            row.sub_status,
            row.direction,
            row.status_at,
            row.journey,
        )
    };
    if shown(row) == shown(&next)
        && row.status_raw == next.status_raw
        && same_facts
        && events.is_empty()
        && revised.is_empty()
    {
        return (next, None);
    }
    if next.version == row.version {
        next.version = row.version.saturating_add(1);
        next.updated_at = row.updated_at.max(now);
    }
    next.change_seq = row.change_seq.saturating_add(1);
    next.changed_at = row.changed_at.max(Some(now));
    let events_total = events.len();
    for names in [&mut events, &mut revised] {
        names.drain(..names.len().saturating_sub(EVENTS_MAX));
    }
    let news = News {
        tracking_id: next.id,
        change_seq: next.change_seq,
        cause: update.check_id,
        status: next.status,
        sub_status: next.sub_status,
        direction: next.direction,
        status_raw: next.status_raw.clone(),
        status_at: next.status_at,
        was: (row.status, row.sub_status),
        facts: (!same_facts).then(|| (facts(row).cloned(), facts(&next).cloned())),
        events,
        events_total,
        revised,
    };
    (next, Some(news))
}

fn facts(row: &Tracking) -> Option<&Facts> {
    row.facts.as_ref().map(|told| &told.facts)
}

#[cfg(test)]
mod tests;
