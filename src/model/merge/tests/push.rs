//! What carriers push enters like any update, in its place on the parcel's way, and no check knows of it.

use uuid::Uuid;

use super::{fold, push};
use crate::model::fixture::{at, event, seen, tracking, update};
use crate::model::history::History;
use crate::model::merge::merge;
use crate::model::status::Status;
use crate::model::{Event, Held, NEVER_AGAIN, Outcome, Tracking, Update};

#[test]
fn what_is_pushed_moves_the_status_and_no_clock_of_the_checks() {
    let mut row = fold(
        &tracking(1, 1),
        [
            &seen(1, 0, 1, vec![event(Status::InTransit, "3", 0)]),
            &update(
                1,
                5,
                2,
                Outcome::Failed {
                    error: "the carrier answered 502".to_owned(),
                },
            ),
        ],
    );
    row.lease_id = Some(Uuid::from_u128(3));
    row.lease_until = Some(at(120));
    let pushed = fold(&row, [&push(9, 4, event(Status::OutForDelivery, "5", 8))]);
    assert_eq!(
        (pushed.status, pushed.status_at),
        (Status::OutForDelivery, Some(at(8)))
    );
    let checks = |row: &Tracking| {
        let clocks = (row.last_ok_at, row.last_checked_at, row.last_check_id);
        let failing = (row.check_fail_count, row.last_error.clone());
        let lease = (row.lease_id, row.lease_until);
        (clocks, failing, lease, row.next_check_at, row.urgent)
    };
    assert_eq!(checks(&pushed), checks(&row));
}

#[test]
fn a_late_push_of_an_old_event_undoes_nothing_and_one_of_no_event_tells_nothing() {
    let row = fold(
        &tracking(1, 1),
        [&seen(1, 5, 1, vec![event(Status::Delivered, "4", 4)])],
    );
    let late = push(9, 2, event(Status::InTransit, "3", 1));
    let row = fold_on(&row, &[event(Status::Delivered, "4", 4)], &late);
    assert_eq!(
        (row.status, row.status_at),
        (Status::Delivered, Some(at(4)))
    );
    for outcome in [
        Outcome::NotFoundYet,
        Outcome::Failed {
            error: "x".to_owned(),
        },
    ] {
        let empty = Update {
            held: Held::Pushed,
            ..update(1, 10, 3, outcome)
        };
        assert_eq!(fold(&row, [&empty]), row);
    }
}

#[test]
fn a_parcel_that_was_given_up_lives_on_with_a_pushed_event() {
    let mut given_up = seen(1, 5, 2, Vec::new());
    if let Outcome::Seen { report, .. } = &mut given_up.outcome {
        report.status = Status::Expired;
    }
    given_up.next_check_at = at(5) + NEVER_AGAIN;
    let first = seen(1, 0, 1, vec![event(Status::InTransit, "3", 0)]);
    let pushed = push(9, 3, event(Status::InTransit, "6", 8));
    let row = fold(&tracking(1, 1), [&first, &given_up, &pushed]);
    assert_eq!(
        (row.status, row.status_at),
        (Status::InTransit, Some(at(8)))
    );
    assert!(row.active && row.next_check_at <= at(9), "it is due again");
}

/// The row after `update`, with a history of these events.
fn fold_on(row: &Tracking, events: &[Event], update: &Update) -> Tracking {
    let mut history = History::default();
    history.add(&seen(1, 5, 1, events.to_vec()), 1);
    merge(row, update, &mut history, at(1_000))
}

#[test]
fn what_an_answer_held_takes_the_place_of_what_was_pushed_in_other_words_whichever_came_first() {
    let polled = Event {
        message: "Departed from facility".to_owned(),
        ..event(Status::InTransit, "005", 4)
    };
    let pushed = Event {
        message: "On the way".to_owned(),
        ..event(Status::InTransit, "005", 4)
    };
    let other = event(Status::InTransit, "007", 4);
    let checked = seen(1, 6, 1, vec![polled]);
    for (before, after) in [(5, 7), (7, 5)] {
        let updates = [
            push(before, 2, pushed.clone()),
            checked.clone(),
            push(after, 3, pushed.clone()),
            push(after, 4, other.clone()),
        ];
        let (mut row, mut history) = (tracking(1, 1), History::default());
        for update in &updates {
            row = merge(&row, update, &mut history, at(10));
        }
        let changed = history.changed();
        let mut shown: Vec<(&str, bool)> = changed
            .map(|kept| (kept.status_raw.as_str(), kept.superseded))
            .collect();
        shown.sort_unstable();
        assert_eq!(shown, [("005", false), ("005", true), ("007", false)]);
    }
}
