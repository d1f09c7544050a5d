//! What a call tells of its account. Pure.

use std::time::Duration;

use crate::carriers::{CarrierError, FailureOf, Sighting, Verdict};
use crate::model::Tracking;
use crate::scheduler::pauses::Told;
use crate::store::failures::PAUSE_MAX;

/// A shorter Retry-After counts as none: the next call would be refused again.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// What a call of `rows` that failed tells of its account; `None` if it tells nothing.
pub fn told_by_error(rows: &[Tracking], error: &CarrierError) -> Option<Told> {
    let reason = error.to_string();
    if let Some(wait) = asked_pause(error) {
        return Some(Told::Pause { reason, wait });
    }
    match error.failure_of() {
        FailureOf::Account => Some(Told::Account { reason }),
        FailureOf::Call => Some(Told::Call { reason }),
        // Of several numbers, one may have spoiled the call for the others.
        FailureOf::Number => (rows.len() == 1).then(|| numbers(rows, &reason)),
    }
}

/// What a failed log-in tells of its account, if the carrier did not refuse the credentials.
pub fn told_by_login(error: &CarrierError) -> Told {
    let reason = format!("cannot log in: {error}");
    match (asked_pause(error), error.failure_of()) {
        (Some(wait), _) => Told::Pause { reason, wait },
        (None, FailureOf::Call) => Told::Call { reason },
        (None, FailureOf::Account | FailureOf::Number) => Told::Account { reason },
    }
}

/// The pause that the carrier asks for.
fn asked_pause(error: &CarrierError) -> Option<Duration> {
    match error {
        CarrierError::RateLimited {
            retry_after: Some(wait),
            ..
        } => Some(PAUSE_MAX.min(*wait)).filter(|wait| *wait >= PAUSE_MIN),
        _ => None,
    }
}

/// What a call of `rows` tells of its account by what was heard of them; `None` if that tells nothing.
pub fn told_by(rows: &[Tracking], sightings: &[Sighting]) -> Option<Told> {
    let mut reasons = Vec::with_capacity(sightings.len());
    for sighting in sightings {
        let Verdict::Failed { reason } = &sighting.verdict else {
            return Some(Told::Well);
        };
        reasons.push(reason.replace(sighting.asked.number.as_str(), "…"));
    }
    reasons.dedup();
    match reasons.as_slice() {
        [] => Some(numbers(rows, "the carrier's answer leaves the number out")),
        [alike] => Some(numbers(rows, alike)),
        _ => None,
    }
}

fn numbers(rows: &[Tracking], reason: &str) -> Told {
    let alike = rows.iter().fold(reason.to_owned(), |alike, row| {
        alike.replace(row.track_number.as_str(), "…")
    });
    Told::Numbers {
        ids: rows.iter().map(|row| row.id).collect(),
        alike,
        answered_before: rows.iter().any(|row| row.last_ok_at.is_some()),
    }
}
