//! The one rule by which a tracking and an update become the next tracking.
//!
//! Pure, and the same for both databases. The same updates in any order, repeated or delayed, end in the same tracking:
//! each group of fields has a key of its own, and only a greater key changes the group. The key of the status fields is
//! (heard, checked_at, check_id), that of the check fields (checked_at, check_id), that of the facts the same of the checks that
//! had any. What a carrier pushed has no part in the check fields, nor in [`Tracking::last_ok_at`]: nobody asked.

use crate::clock::Time;
use crate::model::facts::Told;
use crate::model::history::History;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{
    Heard, Held, NEVER_AGAIN, Outcome, Replayed, Report, Tracking, Update, overrules,
};

/// The tracking that `update` makes of `row` and its `history`, to which it is added; equal to `row` if the update is not
/// news.
///
/// If something visible changes, `now` becomes `updated_at`. The lease ends only if the update is of the check that
/// holds it.
pub fn merge(row: &Tracking, update: &Update, history: &mut History, now: Time) -> Tracking {
    let mut next = row.clone();
    if let Outcome::Replayed(replayed) = &update.outcome {
        if (next.last_checked_at, next.last_check_id)
            != (Some(update.checked_at), Some(update.check_id))
        {
            // There was a check since, which knows better.
            return next;
        }
        replay(&mut next, replayed, history);
        next.unreadable = update.unreadable.clone();
    } else if update.held == Held::Reread {
        lift(&mut next, update);
    } else {
        merge_status(&mut next, update);
        if update.held != Held::Pushed {
            merge_check(&mut next, update);
        }
        merge_facts(&mut next, update);
    }
    history.add(update, row.journey);
    if matches!(update.outcome, Outcome::Seen { .. }) {
        settle(&mut next, history);
    }
    next.active = next.wants_checks();
    let is_put_off = next
        .last_checked_at
        .is_some_and(|at| next.next_check_at == at + NEVER_AGAIN);
    if next.active && is_put_off {
        // Its newest check thought that it had ended.
        next.next_check_at = next.last_checked_at.unwrap_or(now);
    }
    if next != *row {
        next.version = row.version.saturating_add(1);
        next.updated_at = row.updated_at.max(now);
    }
    if row.lease_id == Some(update.check_id) {
        next.lease_id = None;
        next.lease_until = None;
    }
    next
}

/// Gives a tracking the status that follows from its whole history, unless it is overruled.
pub fn settle(row: &mut Tracking, history: &mut History) {
    let Some(decided) = history.decide() else {
        return;
    };
    row.stage = decided.stage;
    row.first_event_at = Some(decided.first_event_at);
    if !row.is_overruled() {
        put(row, decided.report);
        row.active = row.wants_checks();
    }
}

/// Events that were read anew lift a verdict over the history that was given without them.
fn lift(next: &mut Tracking, update: &Update) {
    if let Outcome::Seen { report, .. } = &update.outcome
        && next.is_overruled()
        && !overrules(report.status, report.sub_status)
        && (next.status_checked_at, next.status_check_id)
            == (Some(update.checked_at), Some(update.check_id))
    {
        put(next, report.clone());
    }
}

/// Makes of a tracking what its answers say, read again. A verdict over the history stays unless the report lifts it.
fn replay(next: &mut Tracking, replayed: &Replayed, history: &mut History) {
    history.replay(replayed, next.journey);
    next.facts = replayed.facts.clone().map(Box::new);
    let report = &replayed.report;
    if next.is_overruled() && overrules(report.status, report.sub_status) {
        settle(next, history);
        return;
    }
    if replayed.heard != next.heard {
        next.heard = replayed.heard;
        (next.status_checked_at, next.status_check_id) =
            (Some(replayed.given.0), Some(replayed.given.1));
    }
    put(next, report.clone());
    (next.stage, next.first_event_at) = (Status::Unknown, None);
    settle(next, history);
}

/// A report replaces an older one. "Not found yet" never replaces a report, even an older one.
fn merge_status(next: &mut Tracking, update: &Update) {
    let (heard, report) = match &update.outcome {
        Outcome::Seen { report, .. } => (Heard::Seen, report.clone()),
        Outcome::NotFoundYet if update.held != Held::Pushed => (Heard::NotFoundYet, not_found()),
        Outcome::NotFoundYet | Outcome::Failed { .. } | Outcome::Replayed(_) => return,
    };
    if update.held != Held::Pushed {
        next.last_ok_at = next.last_ok_at.max(Some(update.checked_at));
    }
    let known = (next.heard, next.status_checked_at, next.status_check_id);
    if known >= (heard, Some(update.checked_at), Some(update.check_id)) {
        return;
    }
    next.heard = heard;
    next.status_checked_at = Some(update.checked_at);
    next.status_check_id = Some(update.check_id);
    next.unreadable = update.unreadable.clone();
    put(next, report);
}

fn put(next: &mut Tracking, report: Report) {
    next.status = report.status;
    next.sub_status = report.sub_status;
    next.direction = report.direction;
    next.status_raw = report.status_raw;
    next.status_at = report.status_at;
    next.last_event_code = report.last_event_code;
    next.last_event_at = report.last_event_at;
}

fn not_found() -> Report {
    Report {
        status: Status::Pending,
        sub_status: Some(SubStatus::PendingNotFound),
        direction: Direction::Forward,
        status_raw: Status::Pending.as_str().to_owned(),
        status_at: None,
        last_event_code: None,
        last_event_at: None,
    }
}

fn merge_check(next: &mut Tracking, update: &Update) {
    let known = (next.last_checked_at, next.last_check_id);
    if known >= (Some(update.checked_at), Some(update.check_id)) {
        return;
    }
    next.last_checked_at = Some(update.checked_at);
    next.last_check_id = Some(update.check_id);
    if next.extras.turn() != update.extra_turn {
        next.extras = std::mem::take(&mut next.extras).at(update.extra_turn);
    }
    let failed = match &update.outcome {
        Outcome::Failed { error } => {
            next.last_error.clone_from(error);
            true
        }
        Outcome::Seen { .. } | Outcome::NotFoundYet | Outcome::Replayed(_) => {
            next.last_error.clear();
            false
        }
    };
    next.check_fail_count = match update.check_fail_count {
        Some(count) => count,
        None if failed => next.check_fail_count.saturating_add(1),
        None => 0,
    };
    // A refresh that came after the check was sent needs a check of its own.
    if next.refreshed_at.is_none_or(|at| at <= update.checked_at) {
        next.urgent = false;
        // So does a hint: the carrier may have had the news only after it was asked.
        if next.hinted_at.is_some_and(|at| at > update.checked_at) {
            next.looks_again = true;
        } else {
            next.next_check_at = update.next_check_at;
            next.looks_again = update.looks_again;
        }
    }
}

fn merge_facts(next: &mut Tracking, update: &Update) {
    let Some(facts) = &update.facts else {
        return;
    };
    let told = Told {
        facts: facts.clone(),
        checked_at: update.checked_at,
        check_id: update.check_id,
    };
    if next
        .facts
        .as_ref()
        .is_none_or(|it| it.order() < told.order())
    {
        next.facts = Some(Box::new(told));
    }
}

#[cfg(test)]
mod tests;
