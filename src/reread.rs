//! Reading known events anew, by today's words and today's table of what may follow what.
//!
//! A parcel that ended wrongly is asked for no more, so no check would mend it. What would change is found by doing what the
//! consumer does; it is applied by a message on the topic, as everything is.

use std::collections::BTreeMap;

use crate::carriers::routes::Routes;
use crate::clock::Time;
use crate::kafka::message::{Checked, encode};
use crate::kafka::record::Outgoing;
use crate::model::history::{History, Kept};
use crate::model::merge::merge;
use crate::model::status::{Status, SubStatus};
use crate::model::{
    EXPIRES_AFTER, Event, Held, Named, Outcome, Source, Tracking, Unreadable, Update,
};

/// What reading a parcel's events anew changes.
#[derive(Debug)]
pub struct Difference {
    pub old: Tracking,
    pub new: Tracking,
    /// How many events get another meaning or mark.
    pub events: usize,
    update: Update,
    adapter: &'static str,
}

impl Difference {
    /// Reads the events of `row` anew; `None` if nothing changes. `events` are its whole history with all texts.
    pub fn of(row: &Tracking, events: Vec<Kept>, routes: &Routes, now: Time) -> Option<Self> {
        let adapter = routes
            .resolve(&row.carrier_code)
            .map(|route| &route.adapter);
        let (checked_at, check_id) = row.status_checked_at.zip(row.status_check_id)?;
        let reread = events.iter().filter_map(|kept| {
            let event = kept.event.clone()?;
            let event = match adapter {
                Some(adapter) if !event.stated => adapter.reread(event),
                _ => event,
            };
            let is_new = (event.mapping_version, event.own()) > (kept.mapping_version, kept.own);
            let is_other = event.own() != kept.own || event.taken_back != kept.taken_back;
            (is_new && is_other).then_some(event)
        });
        let mut update = Update {
            tracking_id: row.id,
            named: Named::of(row),
            checked_at,
            check_id,
            outcome: Outcome::Seen {
                report: row.report(),
                events: reread.collect(),
            },
            next_check_at: now,
            check_fail_count: None,
            place: 0,
            held: Held::Reread,
            unreadable: Unreadable::default(),
            facts: None,
            looks_again: false,
            extra_turn: 0,
        };
        let mut history = History::new(events);
        if row.is_overruled() {
            let mut tried = history.clone();
            tried.add(&update, row.journey);
            let report = tried.decide()?.report;
            let is_done = report.status.is_terminal();
            let is_fresh = report
                .last_event_at
                .is_some_and(|at| now - at < EXPIRES_AFTER);
            let may_lift = row.status == Status::Expired && (is_done || is_fresh);
            if let (true, Outcome::Seen { report: told, .. }) = (may_lift, &mut update.outcome) {
                *told = report;
            }
        }
        let new = merge(row, &update, &mut history, now);
        let events = history.changed().count();
        let adapter = adapter.map_or("none", |adapter| adapter.name());
        let is_other = events > 0
            || (new.report(), new.active, new.next_check_at)
                != (row.report(), row.active, row.next_check_at);
        is_other.then(|| Self {
            old: row.clone(),
            new,
            events,
            update,
            adapter,
        })
    }

    /// The message that makes the consumer do it.
    pub fn message(&self) -> Vec<Outgoing> {
        let mut update = self.update.clone();
        if let Outcome::Seen { report, .. } = &mut update.outcome {
            *report = self.new.report();
        }
        encode(&Checked {
            update,
            adapter: self.adapter,
            mapping_version: self.mapping_version(),
            source: Source::Reread,
        })
    }

    /// All events of a message have one.
    fn mapping_version(&self) -> i32 {
        let events: &[Event] = match &self.update.outcome {
            Outcome::Seen { events, .. } => events,
            Outcome::NotFoundYet | Outcome::Failed { .. } | Outcome::Replayed(_) => &[],
        };
        events
            .iter()
            .map(|event| event.mapping_version)
            .max()
            .unwrap_or(0)
    }
}

/// What a word of one status becomes in how many parcels.
#[derive(Debug, Default)]
pub struct Summary {
    /// Parcels looked at.
    pub parcels: u64,
    pub differ: u64,
    pub events: u64,
    by_status: BTreeMap<(String, String), u64>,
}

impl Summary {
    pub fn note(&mut self, difference: &Difference) {
        self.differ += 1;
        self.events += difference.events as u64;
        let words = (words(&difference.old), words(&difference.new));
        if words.0 != words.1 {
            *self.by_status.entry(words).or_default() += 1;
        }
    }

    /// One line for each change of a status, the most frequent first.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.by_status.iter().collect();
        lines.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let line =
            |((old, new), count): (&(String, String), &u64)| format!("{count:>9}  {old} -> {new}");
        lines.into_iter().map(line).collect()
    }
}

/// A status in words: with its detail, and the way if it is back.
pub fn words(row: &Tracking) -> String {
    let word = row
        .sub_status
        .map_or(row.status.as_str(), SubStatus::as_str);
    format!("{word} {}", row.direction)
}
