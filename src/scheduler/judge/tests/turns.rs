//! Shops that tell different things of one number take turns.

use super::{judged, seen, sighting};
use crate::carriers::{CarrierError, Verdict};
use crate::config::Policy;
use crate::kafka::message::encode;
use crate::model::extra::Extras;
use crate::model::fixture::{at, tracking};
use crate::model::status::Status;
use crate::model::{Tracking, Update};

/// One that two shops told different postal codes of.
fn told(turn: i16) -> Tracking {
    let json = r#"[{"postal_code":"SECRET-1"},{"postal_code":"SECRET-2"}]"#;
    Tracking {
        extras: Extras::read(json, turn).expect("is a list"),
        ..tracking(1, 1)
    }
}

fn after(row: &Tracking, verdict: Verdict) -> Update {
    let answer = Ok(vec![sighting(row, verdict)]);
    judged(Policy::Fixed, std::slice::from_ref(row), &answer)
        .remove(0)
        .update
}

fn failed() -> Verdict {
    let reason = "no such parcel for this postal code".to_owned();
    Verdict::Failed { reason }
}

#[test]
fn a_refused_one_is_soon_followed_by_the_next_and_then_the_wait_begins() {
    for refusal in [Verdict::NotFoundYet, failed()] {
        let alone = after(&tracking(1, 1), refusal.clone());
        let first = after(&told(0), refusal.clone());
        assert_eq!((first.extra_turn, alone.extra_turn), (1, 0));
        assert!(first.next_check_at <= at(100 + 60), "{first:?}");
        let last = after(&told(1), refusal);
        assert_eq!(last.extra_turn, 0);
        assert_eq!(last.next_check_at, alone.next_check_at);
    }
}

#[test]
fn a_round_of_refusals_counts_as_one_failure() {
    let failing = |turn, fails| Tracking {
        check_fail_count: fails,
        ..told(turn)
    };
    assert_eq!(after(&failing(0, 0), failed()).check_fail_count, Some(1));
    assert_eq!(after(&failing(0, 3), failed()).check_fail_count, Some(3));
    assert_eq!(after(&failing(1, 3), failed()).check_fail_count, Some(4));
}

#[test]
fn the_one_that_was_answered_keeps_its_turn() {
    for turn in [0, 1] {
        let update = after(&told(turn), seen(Status::InTransit));
        assert_eq!(update.extra_turn, turn);
        let call = Err(CarrierError::Closed);
        let update = judged(Policy::Fixed, &[told(turn)], &call).remove(0).update;
        assert_eq!(
            update.extra_turn, turn,
            "the call says nothing of the number"
        );
    }
}

#[test]
fn what_was_not_asked_for_is_left_until_it_is_told() {
    let reason = "the carrier is not asked without the parcel's postalCode".to_owned();
    let update = after(&told(0), Verdict::Unasked { reason });
    assert_eq!(update.next_check_at, at(100 + 86_400));
    assert_eq!(update.extra_turn, 0);
}

#[test]
fn no_record_holds_what_a_shop_told() {
    for verdict in [Verdict::NotFoundYet, seen(Status::InTransit), failed()] {
        let row = told(1);
        let answer = Ok(vec![sighting(&row, verdict)]);
        for checked in judged(Policy::Fixed, &[row], &answer) {
            for record in encode(&checked) {
                let text = String::from_utf8_lossy(&record.value).into_owned();
                assert!(!text.contains("SECRET"), "{text}");
            }
        }
    }
}
