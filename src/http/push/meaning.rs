//! What a pushed parcel means for a tracking: a record to publish, a reason to check it, or nothing.

use std::time::Duration;

use uuid::Uuid;

use crate::carriers::Observation;
use crate::carriers::routes::Route;
use crate::clock::{Time, delta};
use crate::kafka::message::Checked;
use crate::model::answer::told;
use crate::model::facts::Facts;
use crate::model::{Event, Held, Named, Outcome, Source, Tracking, Update};
use crate::plan::cadence::Cadence;
use crate::store::pushed::Hint;

/// The rules by which pushes are judged.
#[derive(Clone, Debug)]
pub struct Rules {
    pub cadence: Cadence,
    /// Whether messages may hold names of people.
    pub names: bool,
}

/// What is done about a tracking.
#[derive(Clone, Debug)]
pub enum Meaning {
    Publish(Box<Checked>),
    /// It becomes due, and its check decides.
    Check(Hint),
    /// It is known already.
    Nothing,
}

impl Rules {
    /// What `seen` means for a tracking. `is_certain` if it is believed, and of this tracking.
    pub fn meaning(
        &self,
        row: &Tracking,
        seen: Option<&Observation>,
        is_certain: bool,
        route: &Route,
        now: Time,
    ) -> Meaning {
        let hint = || Meaning::Check(hint(row, route.account.min_interval, now));
        let Some(seen) = seen else {
            return hint();
        };
        let newest = seen.events.iter().max_by_key(|event| event.event_time);
        // What was given up, and what has ended, is not taken up again for what was known by then.
        if newest.is_some_and(|event| is_known(row, event, is_certain)) {
            return Meaning::Nothing;
        }
        let mut events = seen.events.clone();
        let report = told(row, &mut events, now);
        let is_old = self
            .cadence
            .is_old_history(row.created_at, report.last_event_at);
        if !is_certain || is_old || events.is_empty() {
            return hint();
        }
        let facts = match self.names {
            true => seen.facts.clone(),
            false => seen.facts.clone().and_then(Facts::without_names),
        };
        Meaning::Publish(Box::new(Checked {
            update: Update {
                tracking_id: row.id,
                named: Named::of(row),
                checked_at: now,
                check_id: Uuid::now_v7(),
                outcome: Outcome::Seen { report, events },
                // As it was, for readers that know of checks alone.
                next_check_at: row.next_check_at,
                check_fail_count: Some(row.check_fail_count),
                place: 0,
                held: Held::Pushed,
                unreadable: seen.unreadable.clone(),
                facts,
                looks_again: row.looks_again,
                extra_turn: 0,
            },
            adapter: route.adapter.name(),
            mapping_version: seen.mapping_version,
            source: Source::Push,
        }))
    }
}

/// Whether a tracking that has ended, or what only makes one due, tells nothing beyond its newest event.
fn is_known(row: &Tracking, newest: &Event, is_certain: bool) -> bool {
    let is_told = row.last_event_at.is_some_and(|at| {
        newest.event_time < at
            || newest.event_time == at
                && (newest.status_raw == row.status_raw || row.is_overruled())
    });
    is_told && (!is_certain || row.is_overruled())
}

/// No earlier than the account allows after the last check, or after the one that is being made.
fn hint(row: &Tracking, min_interval: Duration, now: Time) -> Hint {
    let is_held = row.lease_until.is_some_and(|until| until > now);
    let asked_at = if is_held {
        Some(now)
    } else {
        row.last_checked_at
    };
    let rested = asked_at.map(|at| at + delta(min_interval));
    Hint {
        id: row.id,
        due_at: rested.map_or(now, |at| at.max(now)),
    }
}
