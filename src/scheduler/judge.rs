//! What an answer means: for each tracking of a call, the update to publish and the time of the next check.
//!
//! Pure: the time is an argument, and counting and publishing are the caller's work.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::carriers::routes::Account;
use crate::carriers::{CarrierError, FailureOf, Observation, Sighting, Verdict};
use crate::clock::{Time, delta};
use crate::config::Policy;
use crate::kafka::message::Checked;
use crate::learned::LearnedAccount;
use crate::model::answer::told;
use crate::model::facts::Facts;
use crate::model::status::{Status, SubStatus};
use crate::model::{
    CarrierCode, Held, NEVER_AGAIN, Named, Outcome, Report, Source, TrackNumber, Tracking,
    Unreadable, Update, clean_text,
};
use crate::plan::Sections;
use crate::plan::cadence::Cadence;
use crate::plan::parcel::Standing;

/// The adapter's name in records of checks that asked no carrier.
const NO_ADAPTER: &str = "none";

/// The next check of a parcel whose old history is its end, whatever its status: not the time of those that have ended,
/// which would be mended.
const OLD_HISTORY_ENDED: TimeDelta = TimeDelta::days(364);

/// How soon a check is tried again whose connection the carrier closed before any answer, the first time.
const CLOSED_WAIT: TimeDelta = TimeDelta::seconds(5);

/// How soon a number that was refused with what one shop told is asked for with what another told.
const NEXT_TURN: TimeDelta = TimeDelta::minutes(1);

/// How soon a number is looked at again that cannot be asked for as long as its shop does not tell something.
const UNASKED_WAIT: TimeDelta = TimeDelta::days(1);

/// The rules by which one account's answers are judged.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    pub account: &'a Account,
    pub adapter: &'static str,
    pub cadence: &'a Cadence,
    pub sections: &'a Sections,
    /// What was learned of the account; `None` before it was read for the first time.
    pub learned: Option<&'a LearnedAccount>,
    /// Whether messages may hold names of people.
    pub names: bool,
}

/// What one check of a tracking came to, before it becomes an update.
struct Decision {
    outcome: Outcome,
    next_check_at: Time,
    /// Failed checks in a row, including this one.
    fails: u32,
    adapter: &'static str,
    mapping_version: i32,
    unreadable: Unreadable,
    facts: Option<Facts>,
    looks_again: bool,
    extra_turn: i16,
}

impl Judge<'_> {
    /// One update for each of `rows`. A number that the answer leaves out has failed; of two sightings of a number the
    /// first one counts. If the call failed, so has every row. None is checked again before the account's `min_interval`
    /// has passed.
    pub fn updates(
        &self,
        rows: &[Tracking],
        answer: &Result<Vec<Sighting>, CarrierError>,
        asked_at: Time,
    ) -> Vec<Checked> {
        let earliest = asked_at + delta(self.account.min_interval);
        let mut checks = self.judged(rows, answer, asked_at);
        for checked in &mut checks {
            checked.update.next_check_at = checked.update.next_check_at.max(earliest);
        }
        checks
    }

    fn judged(
        &self,
        rows: &[Tracking],
        answer: &Result<Vec<Sighting>, CarrierError>,
        asked_at: Time,
    ) -> Vec<Checked> {
        let sightings = match answer {
            Ok(sightings) => sightings,
            Err(error) => {
                let reason = error.to_string();
                let failed = |row| {
                    let next = self.next_after(row, error, asked_at);
                    let decision = self.failed(row, &reason, next);
                    let decision = match error.failure_of() {
                        FailureOf::Number => refused(row, decision, asked_at),
                        FailureOf::Call | FailureOf::Account => decision,
                    };
                    checked(row, asked_at, decision)
                };
                return rows.iter().map(failed).collect();
            }
        };
        // The last one to come into a map stays, and that has to be the first sighting.
        let verdicts: HashMap<(&CarrierCode, &TrackNumber), &Verdict> = sightings
            .iter()
            .rev()
            .map(|Sighting { asked, verdict }| ((&asked.carrier, &asked.number), verdict))
            .collect();
        let left_out = Verdict::Failed {
            reason: "the carrier's answer leaves this number out".to_owned(),
        };
        rows.iter()
            .map(|row| {
                let verdict = verdicts
                    .get(&(&row.carrier_code, &row.track_number))
                    .copied();
                self.judge(row, verdict.unwrap_or(&left_out), asked_at)
            })
            .collect()
    }

    fn judge(&self, row: &Tracking, verdict: &Verdict, asked_at: Time) -> Checked {
        let decision = match verdict {
            Verdict::Seen(observation) => self.seen(row, observation, asked_at),
            Verdict::NotFoundYet => {
                let next = self.next_check(row, &Outcome::NotFoundYet, asked_at);
                let decision = Decision {
                    next_check_at: next,
                    outcome: Outcome::NotFoundYet,
                    fails: 0,
                    adapter: self.adapter,
                    mapping_version: 0,
                    unreadable: Unreadable::default(),
                    facts: None,
                    looks_again: false,
                    extra_turn: row.extras.answered(),
                };
                refused(row, decision, asked_at)
            }
            Verdict::Invalid { reason } => {
                let reason =
                    format!("the carrier says that this is no number of its own: {reason}");
                let next = self.next_of_invalid(row, asked_at);
                refused(row, self.failed(row, &reason, next), asked_at)
            }
            Verdict::Failed { reason } => {
                let next = self.next_of_failed(row, asked_at);
                refused(row, self.failed(row, reason, next), asked_at)
            }
            // Once it is told, it is asked for at once.
            Verdict::Unasked { reason } => self.failed(row, reason, asked_at + UNASKED_WAIT),
        };
        checked(row, asked_at, decision)
    }

    /// A history gives the status that follows from it and from what was known before. A delivered parcel may be looked at
    /// again, and a history from long before the tracking may not be believed.
    fn seen(&self, row: &Tracking, observation: &Observation, asked_at: Time) -> Decision {
        let mut events = observation.events.clone();
        let mut report = told(row, &mut events, asked_at);
        let is_old = self
            .cadence
            .is_old_history(row.created_at, report.last_event_at);
        let look = report
            .status_at
            .filter(|_| report.status == Status::Delivered);
        let look = look.and_then(|at| self.cadence.after_delivery(at, asked_at));
        let mut outcome = Outcome::Seen {
            report: report.clone(),
            events,
        };
        let mut next = look.unwrap_or_else(|| self.next_check(row, &outcome, asked_at));
        if is_old {
            let waits = Cadence::after_old_history(row.created_at, asked_at);
            if waits.is_some()
                && let Outcome::Seen { report: told, .. } = &mut outcome
            {
                report.status = Status::Pending;
                report.sub_status = Some(SubStatus::PendingOldHistory);
                *told = report;
            }
            next = waits.unwrap_or(asked_at + OLD_HISTORY_ENDED);
        }
        Decision {
            outcome,
            next_check_at: next,
            fails: 0,
            adapter: self.adapter,
            mapping_version: observation.mapping_version,
            unreadable: observation.unreadable.clone(),
            facts: match self.names {
                true => observation.facts.clone(),
                false => observation.facts.clone().and_then(Facts::without_names),
            },
            looks_again: look.is_some() && !is_old,
            extra_turn: row.extras.answered(),
        }
    }

    /// The next check after an answer that is no failure, by the account's policy.
    fn next_check(&self, row: &Tracking, outcome: &Outcome, asked_at: Time) -> Time {
        let status = match outcome {
            Outcome::Seen { report, .. } => report.status,
            // "Not found" replaces no status that the carrier gave before.
            _ if row.status == Status::Unknown => Status::Pending,
            _ => row.status,
        };
        let by_cadence = || self.cadence.after_answer(status, row.id, asked_at);
        let section = self.sections.of(row.carrier_code.as_str());
        let learned = || {
            let standing = Standing::after(row, outcome, asked_at);
            self.learned?
                .next_check(self.account, section, standing, asked_at)
        };
        let next = match self.account.policy {
            Policy::Table => self.cadence.by_table(status, row.id, asked_at),
            Policy::Learned if !status.is_terminal() => learned().unwrap_or_else(by_cadence),
            Policy::Fixed | Policy::Learned => by_cadence(),
        };
        // Of a parcel that the carrier does not know yet it may never push anything.
        let is_known = matches!(outcome, Outcome::Seen { .. }) && !status.is_terminal();
        match self.learned.filter(|_| is_known) {
            Some(learned) => learned.while_pushed(section, next, asked_at),
            None => next,
        }
    }

    /// The next check after a call of one number that failed.
    fn next_after(&self, row: &Tracking, error: &CarrierError, asked_at: Time) -> Time {
        let backoff = self.cadence.after_failure(fails(row), asked_at);
        match error.failure_of() {
            FailureOf::Number => self.next_of_failed(row, asked_at),
            FailureOf::Call if *error == CarrierError::Closed && row.check_fail_count == 0 => {
                backoff.min(asked_at + CLOSED_WAIT)
            }
            FailureOf::Call | FailureOf::Account => backoff,
        }
    }

    /// The next check of a number that failed by itself.
    fn next_of_failed(&self, row: &Tracking, asked_at: Time) -> Time {
        let round = self.learned.map_or(0.0, |it| it.round(self.account));
        let round = Duration::try_from_secs_f64(round * 3_600.0).unwrap_or_default();
        self.cadence
            .after_failure_of_number(fails(row), round, asked_at)
    }

    fn next_of_invalid(&self, row: &Tracking, asked_at: Time) -> Time {
        let known_at = row.last_ok_at.unwrap_or(row.created_at);
        Cadence::after_invalid(known_at, asked_at)
            .unwrap_or_else(|| self.next_check(row, &Outcome::NotFoundYet, asked_at))
    }

    fn failed(&self, row: &Tracking, reason: &str, next_check_at: Time) -> Decision {
        Decision {
            outcome: Outcome::Failed {
                error: clean_text(reason),
            },
            next_check_at,
            fails: fails(row),
            adapter: self.adapter,
            mapping_version: 0,
            unreadable: Unreadable::default(),
            facts: None,
            looks_again: row.looks_again,
            extra_turn: row.extras.answered(),
        }
    }
}

/// What becomes of a tracking whose number was refused with what one of its shops told beside it: another one's turn comes soon,
/// and the wait begins when all of them were refused.
fn refused(row: &Tracking, mut decision: Decision, asked_at: Time) -> Decision {
    let turn = row.extras.refused();
    decision.extra_turn = turn.next;
    if !turn.is_over {
        decision.next_check_at = decision.next_check_at.min(asked_at + NEXT_TURN);
        decision.fails = decision.fails.min(row.check_fail_count.max(1));
    }
    decision
}

/// The failures in a row of a tracking whose check has just failed.
fn fails(row: &Tracking) -> u32 {
    row.check_fail_count.saturating_add(1)
}

/// The update that gives up a tracking without news for too long. No carrier is asked.
pub fn expired(row: &Tracking, now: Time) -> Checked {
    let report = Report {
        status: Status::Expired,
        sub_status: Some(SubStatus::ExpiredNoNews),
        status_raw: Status::Expired.as_str().to_owned(),
        status_at: Some(now),
        ..row.report()
    };
    let decision = Decision {
        outcome: Outcome::Seen {
            report,
            events: Vec::new(),
        },
        next_check_at: now + NEVER_AGAIN,
        fails: 0,
        adapter: NO_ADAPTER,
        mapping_version: 0,
        unreadable: Unreadable::default(),
        facts: None,
        looks_again: false,
        extra_turn: row.extras.turn(),
    };
    checked(row, now, decision)
}

fn checked(row: &Tracking, checked_at: Time, decision: Decision) -> Checked {
    Checked {
        update: Update {
            tracking_id: row.id,
            named: Named::of(row),
            checked_at,
            check_id: row.lease_id.unwrap_or_else(Uuid::now_v7),
            outcome: decision.outcome,
            next_check_at: decision.next_check_at,
            check_fail_count: Some(decision.fails),
            place: 0,
            held: Held::Whole,
            unreadable: decision.unreadable,
            facts: decision.facts,
            looks_again: decision.looks_again,
            extra_turn: decision.extra_turn,
        },
        adapter: decision.adapter,
        mapping_version: decision.mapping_version,
        source: Source::Poll,
    }
}

#[cfg(test)]
mod tests;
