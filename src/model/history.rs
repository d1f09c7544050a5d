//! A parcel's whole history, and the status that follows from it.
//!
//! All that is kept of an event only grows as messages come in: when it was first reported, where it stands at the latest,
//! which of its kind some answer listed beside it. So the same messages in any order, repeated or late, end in the same
//! history, and the history alone decides.
//!
//! An event is *superseded* by another of the same code and time if the carrier wrote the other in its place: a whole
//! answer held the other, no answer ever held both, and it was reported first. An event that is merely missing from an
//! answer stays. What was only pushed is superseded by what an answer held of that code and time, whichever came first:
//! carriers push other words than they answer. One that came of reading answers otherwise than today is superseded too, until
//! a later check reports it.

mod kept;

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::clock::Time;
use crate::model::history::kept::CROWDED;
pub use crate::model::history::kept::{AHEAD_MAX, Digest, Kept, name};
use crate::model::journey::Journey;
use crate::model::status::{Direction, Meant, Status};
use crate::model::{Event, Held, Outcome, Replayed, Report, Update};

/// The most events of one code and time whose neighbours are told apart; more of them supersede nothing.
const ALIKE_MAX: usize = 16;

/// Added to the place of an event that was pushed: a place below zero stands in no answer's list.
const PUSHED: i32 = i32::MIN;

/// What follows from a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub report: Report,
    /// The last status that was known: an unknown text hides it.
    pub stage: Status,
    /// When the oldest event happened.
    pub first_event_at: Time,
}

/// A parcel's history. It says which events are new and which have changed since it was loaded.
#[derive(Clone, Debug, Default)]
pub struct History {
    events: Vec<Kept>,
    by_digest: HashMap<Digest, usize>,
    changed: HashSet<usize>,
    /// How many events it had before the update that is being added, and what each that means something else since then
    /// meant before.
    before: usize,
    meant: BTreeMap<usize, (Meant, bool)>,
}

impl History {
    /// The history as the store has it.
    pub fn new(events: Vec<Kept>) -> Self {
        let by_digest = events
            .iter()
            .enumerate()
            .map(|(nth, kept)| (kept.digest, nth));
        Self {
            by_digest: by_digest.collect(),
            events,
            ..Self::default()
        }
    }

    /// Begins a new update, whose effect [`History::told`] tells.
    pub fn begin(&mut self) {
        self.before = self.events.len();
        self.meant.clear();
    }

    /// The events that are new since [`History::begin`], and the known ones that mean something else, or became superseded
    /// or valid again; by [`name`], the oldest first. What the carrier says of the whole parcel is no event.
    pub fn told(&self) -> (Vec<u64>, Vec<u64>) {
        let new = self.before..self.events.len();
        let revised = self.meant.iter();
        let revised = revised.filter(|(nth, meant)| self.events[**nth].meaning() != **meant);
        (self.names(new), self.names(revised.map(|(nth, _)| *nth)))
    }

    fn names(&self, events: impl Iterator<Item = usize>) -> Vec<u64> {
        let events = events.map(|nth| &self.events[nth]);
        let mut events: Vec<&Kept> = events.filter(|kept| !kept.stated).collect();
        events.sort_by_key(|kept| kept.order());
        events.iter().map(|kept| name(&kept.digest)).collect()
    }

    /// Notes what a known event meant before it is changed.
    fn note_meaning(&mut self, nth: usize) {
        if nth < self.before {
            let meaning = self.events[nth].meaning();
            self.meant.entry(nth).or_insert(meaning);
        }
    }

    /// Adds what an update reports.
    pub fn add(&mut self, update: &Update, journey: i32) {
        let Outcome::Seen { events, .. } = &update.outcome else {
            return;
        };
        let first = (update.checked_at, update.check_id);
        let mut held: Vec<usize> = Vec::with_capacity(events.len());
        for (place, event) in (update.place..).zip(events) {
            let whole = update.held == Held::Whole;
            let place = match update.held {
                Held::Pushed => PUSHED.saturating_add(place),
                Held::Whole | Held::Part | Held::Reread => place,
            };
            let nth = self.hold(event, journey, first, place, whole);
            let known = &mut self.events[nth];
            if update.held != Held::Reread && known.superseded_at.is_some_and(|at| at < first.0) {
                known.superseded_at = None;
                self.changed.insert(nth);
            }
            held.push(nth);
        }
        if update.held != Held::Reread {
            self.note_beside(held);
        }
    }

    /// Adds one event, or what a message says of a known one. Answers its place in the history.
    fn hold(
        &mut self,
        event: &Event,
        journey: i32,
        first: (Time, Uuid),
        place: i32,
        whole: bool,
    ) -> usize {
        let (own, digest) = (event.own(), event.digest(journey));
        let Some(&nth) = self.by_digest.get(&digest) else {
            let nth = self.events.len();
            self.events.push(Kept {
                id: None,
                event: Some(event.clone()),
                remapped: false,
                rewritten: false,
                digest,
                own,
                shown: (event.status, event.sub_status),
                status_raw: event.status_raw.clone(),
                event_time: event.event_time,
                order_at: event.order_at,
                journey,
                mapping_version: event.mapping_version,
                first,
                place,
                whole,
                beside: Vec::new(),
                taken_back: event.taken_back,
                stated: event.stated,
                superseded: false,
                superseded_at: None,
            });
            self.by_digest.insert(digest, nth);
            self.changed.insert(nth);
            return nth;
        };
        let known = &mut self.events[nth];
        let before = known.facts();
        // Of one mapping the greater meaning: the carrier's flags may tell more of an event than its words did.
        let told = (event.mapping_version, own);
        known.remapped |= known.id.is_some() && event.mapping_version > known.mapping_version;
        (known.mapping_version, known.own) = told.max((known.mapping_version, known.own));
        if (first, place) < (known.first, known.place) {
            (known.first, known.place) = (first, place);
        }
        known.order_at = known.order_at.max(event.order_at);
        known.whole |= whole;
        known.taken_back |= event.taken_back;
        if known.facts() != before {
            self.changed.insert(nth);
        }
        nth
    }

    /// Makes of the history what answers that were read again say it is.
    pub fn replay(&mut self, replayed: &Replayed, journey: i32) {
        for told in &replayed.events {
            let nth = self.hold(&told.event, journey, told.first, told.place, told.whole);
            let known = &mut self.events[nth];
            let before = known.clone();
            // What is told is all that is known, also where it is less than before.
            known.mapping_version = told.event.mapping_version;
            known.own = told.event.own();
            (known.first, known.place) = (told.first, told.place);
            known.order_at = told.event.order_at;
            known.whole = told.whole;
            known.beside.clone_from(&told.beside);
            known.taken_back = told.event.taken_back;
            known.superseded_at = None;
            if told.rewrites && known.id.is_some() {
                known.event = Some(told.event.clone());
                known.rewritten = true;
            }
            if *known != before {
                self.changed.insert(nth);
            }
        }
        for digest in &replayed.gone {
            let Some(&nth) = self.by_digest.get(digest) else {
                continue;
            };
            let known = &mut self.events[nth];
            if known.superseded_at.is_none() {
                known.superseded_at = Some(replayed.at);
                self.changed.insert(nth);
            }
        }
    }

    /// Notes which events of the same code and time one answer held together.
    fn note_beside(&mut self, mut held: Vec<usize>) {
        held.sort_unstable();
        held.dedup();
        for group in self.alike(held) {
            let names: Vec<u64> = group
                .iter()
                .map(|nth| name(&self.events[*nth].digest))
                .collect();
            for nth in group {
                let kept = &mut self.events[nth];
                let own = name(&kept.digest);
                let known = kept.beside.iter().chain(&names).copied();
                let mut beside: Vec<u64> = known.filter(|name| *name != own).collect();
                beside.sort_unstable();
                beside.dedup();
                if beside.len() > ALIKE_MAX || beside.first() == Some(&CROWDED) {
                    beside = vec![CROWDED];
                }
                if beside != kept.beside {
                    kept.beside = beside;
                    self.changed.insert(nth);
                }
            }
        }
    }

    /// Those of `events` that have the code and the time of others, in groups.
    fn alike(&self, mut events: Vec<usize>) -> Vec<Vec<usize>> {
        let kind = |nth: &usize| {
            (
                self.events[*nth].event_time,
                self.events[*nth].status_raw.as_str(),
            )
        };
        events.retain(|nth| !self.events[*nth].stated);
        events.sort_by(|a, b| kind(a).cmp(&kind(b)));
        let groups = events.chunk_by(|a, b| kind(a) == kind(b));
        let groups = groups.filter(|group| group.len() > 1);
        groups.map(<[usize]>::to_vec).collect()
    }

    /// Decides anew: marks what is superseded, says of every event what it means on the way, and answers where the parcel
    /// is. `None` if no event decides.
    pub fn decide(&mut self) -> Option<Decided> {
        self.mark_superseded();
        let mut order: Vec<usize> = (0..self.events.len()).collect();
        order.sort_by(|a, b| self.events[*a].order().cmp(&self.events[*b].order()));
        let mut journey = Journey::new(Direction::Forward);
        let mut first = None;
        let mut changed = Vec::new();
        for nth in order {
            let kept = &self.events[nth];
            let shown = if kept.decides() {
                first = first.or(Some(kept.event_time));
                journey.follow(kept.step())
            } else {
                kept.own
            };
            if kept.shown != shown {
                changed.push((nth, shown));
            }
        }
        let (stage, report) = (journey.stage(), journey.report());
        for (nth, shown) in changed {
            self.note_meaning(nth);
            self.events[nth].shown = shown;
            self.changed.insert(nth);
        }
        Some(Decided {
            first_event_at: first?,
            stage,
            report,
        })
    }

    fn mark_superseded(&mut self) {
        let is_out = |kept: &Kept| kept.taken_back || kept.superseded_at.is_some();
        let mut superseded: Vec<bool> = self.events.iter().map(is_out).collect();
        let is_read = |nth: &usize| self.events[*nth].superseded_at.is_none();
        let read = (0..self.events.len()).filter(is_read);
        for group in self.alike(read.collect()) {
            for &nth in &group {
                let kept = &self.events[nth];
                superseded[nth] |= group
                    .iter()
                    .any(|other| kept.gives_way_to(&self.events[*other]));
            }
        }
        for (nth, superseded) in superseded.into_iter().enumerate() {
            if self.events[nth].superseded != superseded {
                self.note_meaning(nth);
                self.events[nth].superseded = superseded;
                self.changed.insert(nth);
            }
        }
    }

    /// All events.
    pub fn events(&self) -> &[Kept] {
        &self.events
    }

    /// The events that are new or have changed since the history was loaded.
    pub fn changed(&self) -> impl Iterator<Item = &Kept> {
        self.changed.iter().map(|nth| &self.events[*nth])
    }
}

#[cfg(test)]
mod tests;
