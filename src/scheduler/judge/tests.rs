//! The rules, one by one: what is published of each verdict, and when the next check is.

mod turns;

use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{Judge, expired};
use crate::carriers::routes::{Account, Routes};
use crate::carriers::{Asked, CarrierError, Observation, Sighting, Verdict};
use crate::clock::Time;
use crate::config::{Config, Policy};
use crate::kafka::message::{Checked, encode};
use crate::model::facts::Facts;
use crate::model::fixture::{at, event, facts, tracking};
use crate::model::status::{Status, SubStatus};
use crate::model::{CarrierCode, NEVER_AGAIN, Outcome, Tracking, Unreadable, Update};
use crate::plan::Sections;
use crate::plan::cadence::Cadence;

const ADAPTER: &str = "emulator";

fn cadence() -> Cadence {
    Cadence {
        in_transit_min: Duration::from_secs(60),
        in_transit_max: Duration::from_secs(60),
        unknown: Duration::from_secs(600),
        backoff: [5, 10, 20].map(Duration::from_secs).to_vec(),
        after_delivery: Vec::new(),
        old_history: Duration::ZERO,
    }
}

fn cdek(policy: Policy) -> Account {
    let mut config = Config::default();
    config.work.policy = policy;
    let routes = Routes::new(&config).expect("routes");
    let code = CarrierCode::parse("CDEK").expect("a code");
    let route = routes.resolve(&code).expect("a route");
    Account::clone(&route.account)
}

/// What the answer, asked for at `at(100)`, makes of `rows` under a policy.
fn judged(
    policy: Policy,
    rows: &[Tracking],
    answer: &Result<Vec<Sighting>, CarrierError>,
) -> Vec<Checked> {
    let judge = Judge {
        account: &cdek(policy),
        adapter: ADAPTER,
        cadence: &cadence(),
        sections: &Sections::new(["CDEK".to_owned()]),
        learned: None,
        names: false,
    };
    judge.updates(rows, answer, at(100))
}

#[test]
fn no_parcel_is_checked_again_within_the_shortest_interval() {
    let account = Account {
        min_interval: Duration::from_secs(3_600),
        ..cdek(Policy::Fixed)
    };
    let judge = Judge {
        account: &account,
        adapter: ADAPTER,
        cadence: &cadence(),
        sections: &Sections::new(["CDEK".to_owned()]),
        learned: None,
        names: false,
    };
    let (seldom, failing) = (tracking(1, 1), tracking(2, 1));
    let answer = Ok(vec![sighting(&seldom, seen(Status::InTransit))]);
    for checked in judge.updates(&[seldom, failing], &answer, at(100)) {
        assert!(checked.update.next_check_at >= at(3_700), "{checked:?}");
    }
}

fn sighting(row: &Tracking, verdict: Verdict) -> Sighting {
    Sighting {
        asked: Asked::of(row.carrier_code.clone(), row.track_number.clone()),
        verdict,
    }
}

fn seen(status: Status) -> Verdict {
    Verdict::Seen(Observation {
        events: vec![event(status, "raw", 50)],
        unreadable: Unreadable::default(),
        facts: None,
        mapping_version: 7,
    })
}

fn error_of(checked: &Checked) -> &str {
    match &checked.update.outcome {
        Outcome::Failed { error } => error,
        other => panic!("did not fail: {other:?}"),
    }
}

#[test]
fn a_seen_parcel_is_published_whole_and_ends_its_failures() {
    let mut row = tracking(1, 1);
    row.check_fail_count = 3;
    row.lease_id = Some(Uuid::from_u128(9));
    let answer = Ok(vec![sighting(&row, seen(Status::InTransit))]);
    let checked = judged(Policy::Fixed, &[row], &answer).remove(0);
    assert_eq!((checked.adapter, checked.mapping_version), (ADAPTER, 7));
    let update = checked.update;
    assert_eq!(update.tracking_id, 1);
    assert_eq!(update.check_id, Uuid::from_u128(9), "the lease's");
    assert_eq!(update.check_fail_count, Some(0));
    assert_eq!(update.checked_at, at(100));
    assert_eq!(update.next_check_at, at(160));
    let Outcome::Seen { report, events } = update.outcome else {
        panic!("was seen");
    };
    assert_eq!((report.status, events.len()), (Status::InTransit, 1));
}

#[test]
fn each_row_gets_its_own_verdict_in_any_order_of_the_answer() {
    let rows: Vec<Tracking> = (1..=3_000).map(|id| tracking(id, 1)).collect();
    let mut sightings: Vec<Sighting> = rows
        .iter()
        .map(|row| match row.id % 2 {
            0 => sighting(row, Verdict::NotFoundYet),
            _ => sighting(row, seen(Status::InTransit)),
        })
        .collect();
    sightings.reverse();
    let checked = judged(Policy::Fixed, &rows, &Ok(sightings));
    assert_eq!(checked.len(), rows.len());
    for (row, checked) in rows.iter().zip(checked) {
        assert_eq!(checked.update.tracking_id, row.id);
        let not_found = checked.update.outcome == Outcome::NotFoundYet;
        assert_eq!(not_found, row.id % 2 == 0);
    }
}

#[test]
fn of_two_sightings_of_a_number_the_first_counts() {
    let row = tracking(1, 1);
    let answer = Ok(vec![
        sighting(&row, Verdict::NotFoundYet),
        sighting(&row, seen(Status::Delivered)),
    ]);
    let checked = judged(Policy::Fixed, &[row], &answer);
    assert_eq!(checked[0].update.outcome, Outcome::NotFoundYet);
}

#[test]
fn a_number_that_the_answer_leaves_out_has_failed_and_backs_off() {
    let mut row = tracking(1, 1);
    row.check_fail_count = 1;
    let checked = judged(Policy::Fixed, &[row], &Ok(Vec::new())).remove(0);
    assert_eq!(
        error_of(&checked),
        "the carrier's answer leaves this number out"
    );
    assert_eq!(checked.update.check_fail_count, Some(2));
    assert_eq!(checked.update.next_check_at, at(110), "the second step");
}

#[test]
fn an_invalid_number_fails_with_the_carriers_reason() {
    let row = tracking(1, 1);
    let reason = "too short".to_owned();
    let answer = Ok(vec![sighting(&row, Verdict::Invalid { reason })]);
    let checked = judged(Policy::Fixed, &[row], &answer).remove(0);
    assert!(
        error_of(&checked).ends_with(": too short"),
        "{}",
        error_of(&checked)
    );
    assert_eq!(
        checked.update.next_check_at,
        at(700),
        "as if not found, for it is new"
    );
}

#[test]
fn a_failed_call_fails_all_its_rows_and_a_closed_connection_is_retried_soon() {
    let rows = [tracking(1, 1), tracking(2, 1)];
    let answered = judged(
        Policy::Fixed,
        &rows,
        &Err(CarrierError::Status { status: 502 }),
    );
    assert_eq!(answered.len(), 2);
    for checked in &answered {
        assert_eq!(error_of(checked), "the carrier answered 502");
        assert_eq!(checked.update.next_check_at, at(105));
    }
    let mut row = tracking(1, 1);
    let next = |row: &Tracking| {
        let rows = std::slice::from_ref(row);
        let checked = judged(Policy::Fixed, rows, &Err(CarrierError::Closed)).remove(0);
        checked.update.next_check_at
    };
    assert_eq!(next(&row), at(105));
    row.check_fail_count = 1;
    assert_eq!(next(&row), at(110), "backs off the second time");
}

#[test]
fn not_found_waits_as_pending_and_leaves_a_known_status_its_own_wait() {
    let unknown = tracking(1, 1);
    let mut known = tracking(2, 1);
    known.status = Status::InTransit;
    let answer = Ok(vec![
        sighting(&unknown, Verdict::NotFoundYet),
        sighting(&known, Verdict::NotFoundYet),
    ]);
    let checked = judged(Policy::Fixed, &[unknown, known], &answer);
    assert_eq!(checked[0].update.next_check_at, at(700));
    assert_eq!(checked[1].update.next_check_at, at(160));
}

#[test]
fn the_policy_decides_and_what_was_not_learned_yet_goes_by_the_cadence() {
    let row = tracking(1, 1);
    let answer = Ok(vec![sighting(&row, seen(Status::OutForDelivery))]);
    let wait = |policy| {
        let checked = judged(policy, std::slice::from_ref(&row), &answer).remove(0);
        checked.update.next_check_at - at(100)
    };
    assert_eq!(wait(Policy::Fixed), TimeDelta::seconds(60));
    assert_eq!(wait(Policy::Learned), TimeDelta::seconds(60));
    assert!((28..=32).contains(&wait(Policy::Table).num_minutes()));
}

#[test]
fn a_parcel_that_arrived_is_not_checked_again_under_any_policy() {
    let row = tracking(1, 1);
    let answer = Ok(vec![sighting(&row, seen(Status::Delivered))]);
    for policy in [Policy::Fixed, Policy::Table, Policy::Learned] {
        let checked = judged(policy, std::slice::from_ref(&row), &answer).remove(0);
        assert_eq!(checked.update.next_check_at, at(100) + NEVER_AGAIN);
    }
}

#[test]
fn a_parcel_given_up_keeps_its_last_event() {
    let mut row = tracking(1, 1);
    row.last_event_code = Some("ACCEPTED".to_owned());
    row.last_event_at = Some(at(-9));
    row.check_fail_count = 4;
    let checked = expired(&row, at(100));
    assert_eq!((checked.adapter, checked.mapping_version), ("none", 0));
    assert_eq!(checked.update.check_fail_count, Some(0));
    assert_eq!(checked.update.next_check_at, at(100) + NEVER_AGAIN);
    let Outcome::Seen { report, events } = checked.update.outcome else {
        panic!("is a status");
    };
    assert!(events.is_empty());
    assert_eq!(report.status, Status::Expired);
    assert_eq!(report.sub_status, Some(SubStatus::ExpiredNoNews));
    assert_eq!(report.last_event_code.as_deref(), Some("ACCEPTED"));
    assert_eq!(report.last_event_at, Some(at(-9)));
}

/// What is published of a row that the carrier says was delivered.
fn delivered(cadence: &Cadence, row: Tracking, asked_at: Time) -> Update {
    let judge = Judge {
        account: &cdek(Policy::Fixed),
        adapter: ADAPTER,
        cadence,
        sections: &Sections::new(["CDEK".to_owned()]),
        learned: None,
        names: false,
    };
    let answer = Ok(vec![sighting(&row, seen(Status::Delivered))]);
    judge.updates(&[row], &answer, asked_at).remove(0).update
}

#[test]
fn a_delivered_parcel_is_looked_at_again_as_often_as_the_configuration_wants() {
    let day = 86_400;
    let cadence = Cadence {
        after_delivery: [1, 3]
            .map(|days| Duration::from_secs(days * 86_400))
            .to_vec(),
        ..cadence()
    };
    let look = |asked_at| {
        let row = tracking(1, 1);
        let update = delivered(&cadence, row, at(asked_at));
        let wait = update.next_check_at - update.checked_at;
        (update.looks_again, wait.num_days())
    };
    // It was delivered at `at(50)`.
    assert_eq!(look(100), (true, 1));
    assert_eq!(look(100 + day), (true, 3));
    assert_eq!(look(100 + 4 * day), (false, 365));
}

#[test]
fn a_history_from_long_before_is_not_believed_for_thirty_days() {
    let day = 86_400;
    let cadence = Cadence {
        old_history: Duration::from_secs(90 * 86_400),
        ..cadence()
    };
    let told = |age: i64| {
        let mut row = tracking(1, 1);
        row.created_at = at(100 * day);
        let update = delivered(&cadence, row, at((100 + age) * day));
        let Outcome::Seen { report, events } = update.outcome else {
            panic!("was seen");
        };
        assert_eq!(events.len(), 1, "its history is kept");
        let wait = update.next_check_at - update.checked_at;
        (report.status, report.sub_status, wait.num_days())
    };
    let unbelieved = Some(SubStatus::PendingOldHistory);
    assert_eq!(told(1), (Status::Pending, unbelieved, 1));
    assert_eq!(told(31), (Status::Delivered, None, 364));
}

#[test]
fn a_name_leaves_the_worker_only_if_the_configuration_lets_it() {
    let row = tracking(1, 1);
    let signed = Facts {
        signed_by: Some("Ivanov".to_owned()),
        ..facts(2)
    };
    let Verdict::Seen(mut observation) = seen(Status::Delivered) else {
        panic!("is seen")
    };
    observation.facts = Some(signed.clone());
    let answer = Ok(vec![sighting(&row, Verdict::Seen(observation))]);
    let judge = |names| {
        Judge {
            account: &cdek(Policy::Fixed),
            adapter: ADAPTER,
            cadence: &cadence(),
            sections: &Sections::new(["CDEK".to_owned()]),
            learned: None,
            names,
        }
        .updates(std::slice::from_ref(&row), &answer, at(100))
        .remove(0)
    };
    assert_eq!(judge(true).update.facts, Some(signed));
    let unnamed = judge(false);
    assert_eq!(unnamed.update.facts, Some(facts(2)));
    assert!(!format!("{unnamed:?}").contains("Ivanov"));
    for record in encode(&unnamed) {
        assert!(!String::from_utf8_lossy(&record.value).contains("Ivanov"));
    }
}
