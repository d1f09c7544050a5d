//! Archived answers read again: what today's files would make of a parcel, and what has to change for that.
//!
//! A parcel's answers are folded in the order of asking, by the very steps that checks go through: the adapter's reading, the
//! message, the merge. What differs from what is stored becomes one message on the topic.

pub mod summary;

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use crate::archive::{asked, decompressed};
use crate::carriers::routes::{Route, Routes};
use crate::carriers::{Answer, Asked, Observation, State, Step, Verdict};
use crate::clock::Time;
use crate::kafka::message::{Checked, decode, encode};
use crate::kafka::record::Outgoing;
use crate::model::answer::told;
use crate::model::archived::Archived;
use crate::model::facts::{Facts, Told};
use crate::model::history::{Digest, History, Kept};
use crate::model::merge::merge;
use crate::model::status::Status;
use crate::model::{
    EXPIRES_AFTER, Event, Held, Named, Outcome, Replayed, ReplayedEvent, Report, Source, Tracking,
    Unreadable, Update,
};

/// When a carrier was asked, and the check's id.
type Check = (Time, Uuid);

/// What reading a parcel's answers again comes to.
#[derive(Debug)]
pub enum Replay {
    Same,
    Differs(Box<Difference>),
    Left(LeftAlone),
}

/// Why a parcel is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
pub enum LeftAlone {
    #[strum(serialize = "some of its events are from answers that the archive does not have")]
    Incomplete,
    #[strum(serialize = "an answer that gave events cannot be read by today's file")]
    Unreadable,
    #[strum(serialize = "it was asked for by another adapter, code or number than it would be now")]
    AskedOtherwise,
    #[strum(
        serialize = "it was never checked, or the configuration has no section for its carrier"
    )]
    Unserved,
}

/// What changes of a parcel.
#[derive(Debug)]
pub struct Difference {
    pub old: Tracking,
    pub new: Tracking,
    /// Events that are new, of which something else is known, and that nothing gives any more.
    pub new_events: usize,
    pub changed_events: usize,
    pub gone_events: usize,
    update: Update,
    adapter: &'static str,
}

/// How answers are read again.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub routes: &'a Routes,
    /// Whether names of people may be kept.
    pub names: bool,
    /// The store's time.
    pub now: Time,
}

impl Reading<'_> {
    /// Reads all of a parcel's answers again. `stored` is its whole history with all texts, no older than `row`.
    pub fn replay(&self, row: &Tracking, stored: Vec<Kept>, answers: &[Archived]) -> Replay {
        match self.difference(row, stored, answers) {
            Ok(Some(difference)) => Replay::Differs(Box::new(difference)),
            Ok(None) => Replay::Same,
            Err(left) => Replay::Left(left),
        }
    }

    fn difference(
        &self,
        row: &Tracking,
        stored: Vec<Kept>,
        answers: &[Archived],
    ) -> Result<Option<Difference>, LeftAlone> {
        let route = self.routes.resolve(&row.carrier_code);
        let newest = row.last_checked_at.zip(row.last_check_id);
        let (route, newest) = route.zip(newest).ok_or(LeftAlone::Unserved)?;
        let asked = asked(&route.asked(row.clone()));
        let is_other = |it: &Archived| {
            (&it.carrier_code, &it.track_number, it.adapter.as_str())
                != (&asked.carrier, &asked.number, route.adapter.name())
        };
        if answers.iter().any(is_other) {
            return Err(LeftAlone::AskedOtherwise);
        }
        let live = stored.iter().filter(|kept| kept.superseded_at.is_none());
        let sources: HashSet<Check> = live.map(|kept| kept.first).collect();
        let known = answers.iter().flat_map(|it| [it.first, it.last]);
        if !sources.is_subset(&known.collect()) {
            return Err(LeftAlone::Incomplete);
        }
        let fresh = self.fold(row, route, &asked, answers, (newest, &sources))?;
        let replayed = self.replayed(row, &stored, &fresh);
        let update = Update {
            tracking_id: row.id,
            named: Named::of(row),
            checked_at: newest.0,
            check_id: newest.1,
            next_check_at: row.next_check_at,
            check_fail_count: None,
            place: 0,
            held: Held::Part,
            unreadable: fresh.row.unreadable.clone(),
            facts: None,
            looks_again: row.looks_again,
            extra_turn: 0,
            outcome: Outcome::Replayed(Box::new(replayed)),
        };
        let before: HashSet<Digest> = stored.iter().map(|kept| kept.digest).collect();
        let mut history = History::new(stored);
        let new = merge(row, &update, &mut history, self.now);
        let changed: Vec<&Kept> = history.changed().collect();
        if changed.is_empty() && new == *row {
            return Ok(None);
        }
        let is_gone = |kept: &&&Kept| kept.superseded_at == Some(self.now);
        let gone_events = changed.iter().filter(is_gone).count();
        let is_new = |kept: &&&Kept| !before.contains(&kept.digest);
        let new_events = changed.iter().filter(is_new).count();
        Ok(Some(Difference {
            old: row.clone(),
            new_events,
            gone_events,
            changed_events: changed.len() - new_events - gone_events,
            new,
            update,
            adapter: route.adapter.name(),
        }))
    }

    /// The parcel as a fresh run would have it after these answers, up to the newest check.
    fn fold(
        &self,
        row: &Tracking,
        route: &Route,
        asked: &Asked,
        answers: &[Archived],
        (newest, sources): (Check, &HashSet<Check>),
    ) -> Result<Fresh, LeftAlone> {
        let code = row.carrier_code.clone();
        let new = Tracking::new(row.id, code, row.track_number.clone(), row.created_at);
        let mut fresh = Fresh {
            row: Tracking {
                journey: row.journey,
                ..new
            },
            history: History::default(),
        };
        let checks = answers
            .iter()
            .flat_map(|it| [(it.first, it), (it.last, it)]);
        let checks: BTreeMap<Check, &Archived> = checks.filter(|(at, _)| *at <= newest).collect();
        for (check, answer) in checks {
            match read(route, asked, answer, check.0) {
                Some(Verdict::Seen(seen)) => fresh.see(check, &seen, route.adapter.name(), self),
                Some(Verdict::NotFoundYet) => fresh.merge(
                    check,
                    (Outcome::NotFoundYet, Unreadable::default(), None),
                    (route.adapter.name(), 0),
                    self.now,
                ),
                Some(
                    Verdict::Invalid { .. } | Verdict::Failed { .. } | Verdict::Unasked { .. },
                )
                | None => {
                    if sources.contains(&answer.first) || sources.contains(&answer.last) {
                        return Err(LeftAlone::Unreadable);
                    }
                }
            }
        }
        Ok(fresh)
    }

    /// What has to be told of a parcel, so that it becomes as a fresh run would have it.
    fn replayed(&self, row: &Tracking, stored: &[Kept], fresh: &Fresh) -> Replayed {
        let by_digest: BTreeMap<Digest, &Kept> =
            stored.iter().map(|kept| (kept.digest, kept)).collect();
        let mut events = Vec::new();
        let mut read = HashSet::new();
        for kept in fresh.history.events() {
            read.insert(kept.digest);
            let known = by_digest.get(&kept.digest);
            let rewrites = known.is_some_and(|it| payload(it) != payload(kept));
            let is_same = known.is_some_and(|it| facts(it) == facts(kept));
            if (rewrites || !is_same)
                && let Some(mut event) = whole(kept)
            {
                if let Some(known) = known.filter(|it| it.stated) {
                    // It stands at the newest check that said so, of which the archive need not know.
                    event.order_at = event.order_at.max(known.order_at);
                }
                events.push(ReplayedEvent {
                    event,
                    first: kept.first,
                    place: kept.place,
                    whole: kept.whole,
                    beside: kept.beside.clone(),
                    rewrites,
                });
            }
        }
        let is_gone = |kept: &&Kept| kept.superseded_at.is_none() && !read.contains(&kept.digest);
        let gone = stored.iter().filter(is_gone).map(|kept| kept.digest);
        let told = fresh.row.facts.as_deref();
        let says = |told: Option<&Told>| told.map(|told| told.facts.clone());
        // The same facts are those of the newest check that had them.
        let facts = match says(row.facts.as_deref()) == says(told) {
            true => row.facts.as_deref(),
            false => told,
        };
        let given = fresh.row.status_checked_at.zip(fresh.row.status_check_id);
        Replayed {
            at: self.now,
            heard: fresh.row.heard,
            given: given.unwrap_or((row.created_at, Uuid::nil())),
            report: self.report(row, &fresh.row),
            events,
            gone: gone.collect(),
            facts: facts.cloned(),
        }
    }

    /// The status that is told: a parcel that was given up, or whose history is not believed, stays so, unless the history ends
    /// or has fresh news.
    fn report(&self, row: &Tracking, fresh: &Tracking) -> Report {
        let report = fresh.report();
        let has_news = report
            .last_event_at
            .is_some_and(|at| self.now - at < EXPIRES_AFTER);
        let lifts = row.status == Status::Expired && (report.status.is_terminal() || has_news);
        match row.is_overruled() && !lifts {
            true => row.report(),
            false => report,
        }
    }
}

impl Difference {
    /// The message that makes the consumer do it.
    pub fn message(&self) -> Vec<Outgoing> {
        let mut update = self.update.clone();
        let mut mapping_version = 0;
        if let Outcome::Replayed(replayed) = &mut update.outcome {
            replayed.report = self.new.report();
            let versions = replayed.events.iter().map(|it| it.event.mapping_version);
            mapping_version = versions.max().unwrap_or(0);
        }
        encode(&Checked {
            update,
            adapter: self.adapter,
            mapping_version,
            source: Source::Replay,
        })
    }
}

/// A parcel in the making.
struct Fresh {
    row: Tracking,
    history: History,
}

impl Fresh {
    fn see(&mut self, check: Check, seen: &Observation, adapter: &'static str, by: &Reading<'_>) {
        let mut events = seen.events.clone();
        let report = told(&self.row, &mut events, check.0);
        let facts = match by.names {
            true => seen.facts.clone(),
            false => seen.facts.clone().and_then(Facts::without_names),
        };
        let outcome = Outcome::Seen { report, events };
        let said = (outcome, seen.unreadable.clone(), facts);
        self.merge(check, said, (adapter, seen.mapping_version), by.now);
    }

    /// Goes on by what a check said, as the consumer reads it from the topic.
    fn merge(
        &mut self,
        check: Check,
        (outcome, unreadable, facts): (Outcome, Unreadable, Option<Facts>),
        (adapter, mapping_version): (&'static str, i32),
        now: Time,
    ) {
        let checked = Checked {
            update: Update {
                tracking_id: self.row.id,
                named: Named::default(),
                checked_at: check.0,
                check_id: check.1,
                outcome,
                next_check_at: check.0,
                check_fail_count: Some(0),
                place: 0,
                held: Held::Whole,
                unreadable,
                facts,
                looks_again: false,
                extra_turn: 0,
            },
            adapter,
            mapping_version,
            source: Source::Poll,
        };
        for record in encode(&checked) {
            // A check is never ahead of a later time.
            if let Ok(update) = decode(Some(&record.value), check.0, now.max(check.0)) {
                self.row = merge(&self.row, &update, &mut self.history, now);
            }
        }
    }
}

/// What today's file reads of an answer; `None` if it cannot be read.
fn read(route: &Route, asked: &Asked, answer: &Archived, at: Time) -> Option<Verdict> {
    let body = decompressed(&answer.body)?;
    let status = answer.status;
    let state = State::first(std::slice::from_ref(asked));
    match route.adapter.resume(state, &Answer { status, body }, at) {
        Ok(Step::Done(sightings)) => {
            let own = sightings.into_iter().find(|it| it.asked == *asked);
            own.map(|sighting| sighting.verdict)
        }
        Ok(Step::Send(..) | Step::Wait(_)) | Err(_) => None,
    }
}

fn payload(kept: &Kept) -> Option<&str> {
    kept.event.as_ref().map(|event| event.payload_json.as_str())
}

/// All that decides of an event but the edition, in which nobody is interested if it says the same.
fn facts(kept: &Kept) -> impl PartialEq + '_ {
    let order_at = kept.order_at.filter(|_| !kept.stated);
    (
        (kept.own, kept.first, kept.place, order_at),
        (
            kept.whole,
            &kept.beside,
            kept.taken_back,
            kept.superseded_at,
        ),
    )
}

/// An event with all that is known of it.
fn whole(kept: &Kept) -> Option<Event> {
    let event = kept.event.clone()?;
    Some(Event {
        status: kept.shown.0,
        sub_status: kept.shown.1,
        own: Some(kept.own),
        mapping_version: kept.mapping_version,
        order_at: kept.order_at,
        taken_back: kept.taken_back,
        ..event
    })
}
