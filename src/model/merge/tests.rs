//! The promise that any order, repetition and delay of messages gives the same final state.

mod push;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert_eq, proptest};
use strum::VariantArray as _;
use uuid::Uuid;

use super::merge;
use crate::clock::Time;
use crate::model::facts::Facts;
use crate::model::fixture::{at, event, facts, seen, tracking, update};
use crate::model::history::History;
use crate::model::status::Status;
use crate::model::{Event, Heard, Held, Outcome, Tracking, Update};

fn status() -> impl Strategy<Value = Status> {
    (0..Status::VARIANTS.len())
        .prop_map(|place| Status::VARIANTS[place])
        .prop_filter("our messages say pending as not found", |status| {
            *status != Status::Pending
        })
}

/// A check at one of few seconds, so that times tie. `check` identifies it.
fn check(check: u128) -> impl Strategy<Value = Update> {
    let outcome = prop_oneof![
        4 => status().prop_map(Some),
        1 => Just(None),
    ];
    let pieces = proptest::option::of(1..4_u32);
    // Of three that saw something one was pushed, which may tell an event later than a check did.
    let pushed = prop_oneof![2 => Just(None), 1 => (0..6_i64).prop_map(Some)];
    (0..6_i64, outcome, any::<bool>(), 1..5_u32, (pieces, pushed)).prop_map(
        move |(secs, status, failed, fails, (pieces, pushed))| {
            let mut one = match status {
                Some(status) => seen(1, secs, check, vec![event(status, status.as_str(), secs)]),
                None if failed => {
                    let error = format!("the carrier answered 50{fails}");
                    update(1, secs, check, Outcome::Failed { error })
                }
                None => update(1, secs, check, Outcome::NotFoundYet),
            };
            if let Outcome::Failed { .. } = one.outcome {
                one.check_fail_count = Some(fails);
            }
            one.facts = pieces.map(facts);
            // A worker says with every check whose turn is next.
            one.extra_turn = i16::try_from(check % 3).expect("is small");
            if let (true, Outcome::Seen { events, .. }) = (is_verdict(&one), &mut one.outcome) {
                // A parcel is given up without an event.
                events.clear();
            }
            match (pushed, status) {
                // Only a worker gives a parcel up.
                (Some(event_secs), Some(status)) if status != Status::Expired => {
                    push(secs, check, event(status, status.as_str(), event_secs))
                }
                _ => one,
            }
        },
    )
}

/// What a carrier sent by itself: one event.
fn push(secs: i64, id: u128, event: Event) -> Update {
    Update {
        held: Held::Pushed,
        ..seen(1, secs, id, vec![event])
    }
}

/// Up to eight checks, and the order in which they arrive, some of them repeatedly.
fn messages() -> impl Strategy<Value = (Vec<Update>, Vec<usize>)> {
    (1..8_usize).prop_flat_map(|count| {
        let checks: Vec<_> = (0..count).map(|n| check(n as u128 + 1)).collect();
        let order = proptest::collection::vec(0..count, 0..16).prop_flat_map(move |repeated| {
            let all: Vec<usize> = (0..count).chain(repeated).collect();
            Just(all).prop_shuffle()
        });
        (checks, order)
    })
}

/// A tracking that may have been refreshed and may be being checked.
fn start() -> impl Strategy<Value = Tracking> {
    (
        proptest::option::of(0..6_i64),
        proptest::option::of(0..6_i64),
        proptest::option::of(1..8_u128),
    )
        .prop_map(|(refreshed, hinted, lease)| {
            let mut row = tracking(1, 1);
            row.hinted_at = hinted.map(at);
            if let Some(secs) = refreshed {
                row.urgent = true;
                row.refreshed_at = Some(at(secs));
                row.next_check_at = at(secs);
            }
            row.lease_id = lease.map(Uuid::from_u128);
            row.lease_until = lease.map(|_| at(120));
            row
        })
}

fn fold<'a>(row: &Tracking, updates: impl IntoIterator<Item = &'a Update>) -> Tracking {
    let mut history = History::default();
    updates.into_iter().fold(row.clone(), |row, update| {
        merge(&row, update, &mut history, at(1_000))
    })
}

/// The row without the fields that depend on the order of arrival.
fn settled(mut row: Tracking) -> Tracking {
    row.version = 0;
    row.updated_at = at(0);
    row
}

/// The same, beside two events that say nothing of where the parcel is.
fn keeping(update: &Update) -> Update {
    let mut update = update.clone();
    if let Outcome::Seen { events, .. } = &mut update.outcome {
        let note = |raw: &str, at: Time| Event {
            own: Some(Event::KEEPS),
            event_time: at,
            ..event(Status::Unknown, raw, 0)
        };
        let at = events[0].event_time;
        events.insert(0, note("a label was printed", at));
        events.push(note("a date was updated", at));
    }
    update
}

/// A worker's verdict over a history, which is no event's meaning.
fn is_verdict(update: &Update) -> bool {
    matches!(&update.outcome, Outcome::Seen { report, .. } if report.status == Status::Expired)
}

proptest! {
    #[test]
    fn an_event_that_keeps_gives_no_status_in_any_order(row in start(), (checks, order) in messages()) {
        let in_turn: Vec<&Update> = checks.iter().filter(|one| !is_verdict(one)).collect();
        let shuffled = order.iter().map(|place| &checks[*place]).filter(|one| !is_verdict(one));
        let kept: Vec<Update> = in_turn.iter().map(|one| keeping(one)).collect();
        let shuffled: Vec<Update> = shuffled.map(keeping).collect();
        let (without, with) = (fold(&row, in_turn), fold(&row, &kept));
        let given = |row: &Tracking| (row.heard, row.status, row.direction, row.status_raw.clone(), row.status_at);
        prop_assert_eq!(given(&without), given(&with));
        prop_assert_eq!(settled(with), settled(fold(&row, &shuffled)));
    }

    #[test]
    fn any_order_and_repetition_gives_the_same_final_row(
        row in start(), (checks, order) in messages()
    ) {
        let in_turn = fold(&row, &checks);
        let shuffled = fold(&row, order.iter().map(|place| &checks[*place]));
        prop_assert_eq!(settled(in_turn), settled(shuffled));
    }

    #[test]
    fn nothing_ever_goes_back(row in start(), (checks, order) in messages()) {
        let (mut now, mut history) = (row, History::default());
        for place in order {
            let next = merge(&now, &checks[place], &mut history, at(1_000));
            assert!(next.version >= now.version);
            assert!(next.updated_at >= now.updated_at);
            assert!(next.last_checked_at >= now.last_checked_at);
            assert!(next.last_ok_at >= now.last_ok_at);
            assert!(next.heard >= now.heard);
            let told = |row: &Tracking| row.facts.as_ref().map(|told| told.order());
            assert!(told(&next) >= told(&now));
            if next.heard == now.heard {
                assert!(next.status_checked_at >= now.status_checked_at);
            }
            assert_eq!(next.active, next.wants_checks());
            now = next;
        }
    }

    #[test]
    fn a_repeated_message_changes_nothing(row in start(), one in check(1)) {
        let mut history = History::default();
        let once = merge(&row, &one, &mut history, at(1_000));
        prop_assert_eq!(merge(&once, &one, &mut history, at(2_000)), once);
    }
}

#[test]
fn not_found_yet_never_replaces_a_status_that_came_from_an_event() {
    let transit = seen(1, 0, 1, vec![event(Status::InTransit, "3", 0)]);
    let row = fold(
        &tracking(1, 1),
        [&transit, &update(1, 5, 2, Outcome::NotFoundYet)],
    );
    assert_eq!((row.status, row.heard), (Status::InTransit, Heard::Seen));
    assert_eq!(row.last_checked_at, Some(at(5)));
}

#[test]
fn a_number_that_is_not_found_yet_is_pending_and_no_failure() {
    let row = fold(&tracking(1, 1), [&update(1, 5, 2, Outcome::NotFoundYet)]);
    assert_eq!(row.status, Status::Pending);
    assert_eq!((row.check_fail_count, row.last_error.as_str()), (0, ""));
}

#[test]
fn a_failure_leaves_the_status_and_says_why() {
    let transit = seen(1, 0, 1, vec![event(Status::InTransit, "3", 0)]);
    let error = "the carrier answered 502".to_owned();
    let row = fold(
        &tracking(1, 1),
        [&transit, &update(1, 5, 2, Outcome::Failed { error })],
    );
    assert_eq!(row.status, Status::InTransit);
    assert_eq!(
        (row.check_fail_count, row.last_error.as_str()),
        (1, "the carrier answered 502")
    );
    assert_eq!(
        (row.last_ok_at, row.last_checked_at),
        (Some(at(0)), Some(at(5)))
    );
}

#[test]
fn failures_without_a_count_add_up_and_a_success_clears_them() {
    let failure = |secs, check| Update {
        check_fail_count: None,
        ..update(
            1,
            secs,
            check,
            Outcome::Failed {
                error: "x".to_owned(),
            },
        )
    };
    let row = fold(&tracking(1, 1), [&failure(1, 1), &failure(2, 2)]);
    assert_eq!(row.check_fail_count, 2);
    let good = Update {
        check_fail_count: None,
        ..seen(1, 3, 3, vec![event(Status::InTransit, "3", 3)])
    };
    assert_eq!(fold(&row, [&good]).check_fail_count, 0);
}

#[test]
fn a_refresh_waits_for_a_check_of_its_own() {
    let mut row = fold(
        &tracking(1, 1),
        [&seen(1, 0, 1, vec![event(Status::Delivered, "4", 0)])],
    );
    assert!(!row.active);
    row.urgent = true;
    row.active = true;
    row.refreshed_at = Some(at(10));
    row.next_check_at = at(10);
    let sent_before = fold(
        &row,
        [&seen(1, 9, 2, vec![event(Status::Delivered, "4", 0)])],
    );
    assert!(sent_before.urgent && sent_before.active);
    assert_eq!(sent_before.next_check_at, at(10));
    let sent_after = fold(
        &sent_before,
        [&seen(1, 11, 3, vec![event(Status::Delivered, "4", 0)])],
    );
    assert!(!sent_after.urgent && !sent_after.active);
    assert_eq!(
        sent_after.next_check_shown() - at(11),
        chrono::TimeDelta::days(365)
    );
}

#[test]
fn a_lease_ends_only_with_the_check_that_holds_it() {
    let mut row = tracking(1, 1);
    row.lease_id = Some(Uuid::from_u128(7));
    row.lease_until = Some(at(120));
    let others = fold(&row, [&seen(1, 1, 6, Vec::new())]);
    assert_eq!(others.lease_id, Some(Uuid::from_u128(7)));
    let own = fold(&others, [&seen(1, 0, 7, Vec::new())]);
    assert_eq!(
        (own.lease_id, own.lease_until),
        (None, None),
        "even if it was overtaken"
    );
    assert_eq!(own.version, others.version, "a lease is not visible");
}

#[test]
fn the_newest_facts_win_whole_and_a_check_without_any_leaves_them() {
    let told = |secs, check, facts: Option<Facts>| Update {
        facts,
        ..seen(1, secs, check, vec![event(Status::InTransit, "3", 0)])
    };
    let facts_of = |row: &Tracking| row.facts.as_ref().map(|told| told.facts.clone());
    let express = Facts {
        service: Some("express".to_owned()),
        ..Facts::default()
    };
    let newest = told(5, 2, Some(facts(2)));
    let late = told(4, 9, Some(express));
    let mut row = fold(&tracking(1, 1), [&newest, &late, &told(9, 3, None)]);
    assert_eq!(facts_of(&row), Some(facts(2)));
    let failed = update(
        1,
        10,
        4,
        Outcome::Failed {
            error: "x".to_owned(),
        },
    );
    row = fold(&row, [&failed, &told(11, 5, Some(facts(3)))]);
    assert_eq!(facts_of(&row), Some(facts(3)));
}

#[test]
fn changed_facts_are_a_visible_change() {
    let told = |check, pieces| Update {
        facts: Some(facts(pieces)),
        ..seen(1, 5, check, vec![event(Status::InTransit, "3", 0)])
    };
    let row = fold(&tracking(1, 1), [&told(1, 1)]);
    assert_eq!(fold(&row, [&told(2, 2)]).version, row.version + 1);
}
