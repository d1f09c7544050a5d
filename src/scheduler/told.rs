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
    let mut unasked = 0;
    for sighting in sightings {
        let reason = match &sighting.verdict {
            Verdict::Failed { reason } => reason,
            Verdict::Unasked { .. } => {
                unasked += 1;
                continue;
            }
            Verdict::Seen(_) | Verdict::NotFoundYet | Verdict::Invalid { .. } => {
                return Some(Told::Well);
            }
        };
        reasons.push(reason.replace(sighting.asked.number.as_str(), "…"));
    }
    reasons.dedup();
    match reasons.as_slice() {
        // No call was made, or one for the rest alone.
        [] if unasked > 0 => None,
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

#[cfg(test)]
mod tests {
    use super::told_by;
    use crate::archive::asked;
    use crate::carriers::{Sighting, Verdict};
    use crate::model::fixture::tracking;

    #[test]
    fn numbers_that_were_not_asked_for_say_nothing_of_the_account() {
        let row = tracking(1, 1);
        let sighting = |verdict| Sighting {
            asked: asked(&row),
            verdict,
        };
        let unasked = || Verdict::Unasked {
            reason: "the carrier needs more".to_owned(),
        };
        let rows = [row.clone()];
        assert!(told_by(&rows, &[sighting(unasked())]).is_none());
        let failed = Verdict::Failed {
            reason: "refused".to_owned(),
        };
        let both = [sighting(unasked()), sighting(failed)];
        assert!(told_by(&rows, &both).is_some(), "the other one does");
    }
}
