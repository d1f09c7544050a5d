//! What several trackings of one parcel become when they are folded into one.

use crate::clock::Time;
use crate::model::Tracking;

/// The first of `rows` with the status of the one that heard the best and newest, the last check of any, and the
/// newest facts.
///
/// The orders are those of [`merge`](crate::model::merge): as if all had been told to one tracking.
pub fn folded(rows: &[Tracking], now: Time) -> Option<Tracking> {
    let first = rows.first()?;
    let heard = rows
        .iter()
        .max_by_key(|row| (row.heard, row.status_checked_at, row.status_check_id))?;
    let checked = rows
        .iter()
        .max_by_key(|row| (row.last_checked_at, row.last_check_id))?;
    let facts = rows.iter().filter_map(|row| row.facts.as_ref());
    let urgent = rows.iter().any(|row| row.urgent);
    let next_check_at = rows
        .iter()
        .filter(|row| row.active)
        .map(|row| row.next_check_at);
    let mut row = Tracking {
        id: first.id,
        carrier_code: first.carrier_code.clone(),
        track_number: first.track_number.clone(),
        last_ok_at: rows.iter().filter_map(|row| row.last_ok_at).max(),
        last_checked_at: checked.last_checked_at,
        last_check_id: checked.last_check_id,
        next_check_at: next_check_at.min().unwrap_or(first.next_check_at),
        check_fail_count: checked.check_fail_count,
        last_error: checked.last_error.clone(),
        facts: facts.max_by_key(|told| told.order()).cloned(),
        urgent,
        refreshed_at: rows.iter().filter_map(|row| row.refreshed_at).max(),
        lease_until: first.lease_until,
        lease_id: first.lease_id,
        journey: first.journey,
        change_seq: rows.iter().map(|row| row.change_seq).max()?,
        changed_at: rows.iter().filter_map(|row| row.changed_at).max(),
        wanted: rows.iter().any(|row| row.wanted),
        owners: first.owners,
        version: rows.iter().map(|row| row.version).max()?.saturating_add(1),
        created_at: first.created_at,
        updated_at: now.max(heard.updated_at),
        ..heard.clone()
    };
    row.active = row.wants_checks();
    Some(row)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::model::facts::Told;
    use crate::model::fixture::{at, facts, tracking};
    use crate::model::status::Status;
    use crate::model::twins::folded;
    use crate::model::{Heard, Tracking};

    #[test]
    fn the_oldest_keeps_its_name_and_gets_the_best_news() {
        let seen = |id, secs, status| Tracking {
            heard: Heard::Seen,
            status,
            status_checked_at: Some(at(secs)),
            last_ok_at: Some(at(secs)),
            last_checked_at: Some(at(secs)),
            next_check_at: at(secs + 60),
            ..tracking(id, id)
        };
        let never_found = Tracking {
            heard: Heard::NotFoundYet,
            status: Status::Pending,
            status_checked_at: Some(at(900)),
            last_checked_at: Some(at(900)),
            check_fail_count: 2,
            last_error: "the carrier answered 502".to_owned(),
            urgent: true,
            refreshed_at: Some(at(800)),
            next_check_at: at(850),
            ..tracking(3, 9)
        };
        let told = |secs, pieces| {
            Some(Box::new(Told {
                facts: facts(pieces),
                checked_at: at(secs),
                check_id: Uuid::nil(),
            }))
        };
        let mut rows = [
            seen(1, 100, Status::InTransit),
            seen(2, 200, Status::Delivered),
            never_found,
        ];
        (rows[0].facts, rows[1].facts) = (told(100, 7), told(50, 8));
        let row = folded(&rows, at(1_000)).expect("has rows");
        assert_eq!((row.id, row.track_number.as_str()), (1, "N1"));
        assert_eq!(
            (row.status, row.heard, row.last_ok_at),
            (Status::Delivered, Heard::Seen, Some(at(200)))
        );
        assert_eq!(
            (row.last_checked_at, row.check_fail_count),
            (Some(at(900)), 2)
        );
        assert_eq!(
            (row.urgent, row.active, row.next_check_at),
            (true, true, at(160))
        );
        assert_eq!((row.version, row.updated_at), (10, at(1_000)));
        let pieces = row.facts.expect("has facts").facts.pieces;
        assert_eq!(pieces, Some(7), "the newest facts, not those of the status");
        assert!(!folded(&rows[..2], at(1_000)).expect("has rows").active);
    }
}
