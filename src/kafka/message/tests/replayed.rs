//! What archived answers say today travels whole, and a reader that knows no replay takes it for the check that it knows.

use serde_json::{Value, json};
use uuid::Uuid;

use super::checked;
use crate::kafka::message::{Checked, MessageError, decode, encode};
use crate::model::facts::Told;
use crate::model::fixture::{at, event, facts, seen, update};
use crate::model::status::Status;
use crate::model::{Event, Heard, Outcome, Replayed, ReplayedEvent, Source, Update};

fn replayed(events: i64, gone: u8) -> Replayed {
    let Outcome::Seen { report, .. } =
        seen(42, 5, 9, vec![event(Status::Delivered, "4", 4)]).outcome
    else {
        panic!("was seen");
    };
    let told = |n: i64| ReplayedEvent {
        event: Event {
            own: Some((Status::InTransit, None)),
            ..event(Status::Returning, "3", n)
        },
        first: (at(n), Uuid::from_u128(n.unsigned_abs().into())),
        place: 7,
        whole: n % 2 == 0,
        beside: vec![1, u64::MAX],
        rewrites: n % 3 == 0,
    };
    Replayed {
        at: at(90),
        heard: Heard::Seen,
        given: (at(5), Uuid::from_u128(3)),
        report,
        events: (0..events).map(told).collect(),
        gone: (0..gone).map(|n| [n; 32]).collect(),
        facts: Some(Told {
            facts: facts(2),
            checked_at: at(4),
            check_id: Uuid::from_u128(4),
        }),
    }
}

fn message(replayed: Replayed) -> Checked {
    Checked {
        source: Source::Replay,
        ..checked(update(42, 5, 9, Outcome::Replayed(Box::new(replayed))))
    }
}

fn read(value: &[u8]) -> Result<Update, MessageError> {
    decode(Some(value), at(7), at(100))
}

#[test]
fn a_replay_comes_back_whole_from_however_many_records() {
    for (events, gone, count) in [(0, 0, 1), (3, 2, 1), (1_200, 255, 3)] {
        let written = replayed(events, gone);
        let records = encode(&message(written.clone()));
        assert_eq!(records.len(), count);
        let mut whole: Option<Replayed> = None;
        for record in records {
            let update = read(&record.value).expect("reads");
            assert_eq!((update.tracking_id, update.checked_at), (42, at(5)));
            let Outcome::Replayed(part) = update.outcome else {
                panic!("{:?}", update.outcome);
            };
            match &mut whole {
                None => whole = Some(*part),
                Some(whole) => {
                    whole.events.extend(part.events);
                    whole.gone.extend(part.gone);
                }
            }
        }
        assert_eq!(whole, Some(written));
    }
}

#[test]
fn a_reader_that_knows_no_replay_takes_it_for_the_check_with_further_events() {
    let records = encode(&message(replayed(2, 1)));
    let mut value: Value = serde_json::from_slice(&records[0].value).expect("is JSON");
    assert_eq!(value["source"], "replay");
    value["replayed"] = Value::Null;
    for event in value["events"].as_array_mut().expect("has events") {
        event["told"] = Value::Null;
    }
    let update = read(value.to_string().as_bytes()).expect("reads");
    let Outcome::Seen { report, events } = update.outcome else {
        panic!("{:?}", update.outcome);
    };
    assert_eq!((report.status, events.len()), (Status::Delivered, 2));
}

#[test]
fn a_replay_without_its_times_is_refused_and_what_else_is_wrong_is_left_out() {
    let records = encode(&message(replayed(2, 1)));
    let value: Value = serde_json::from_slice(&records[0].value).expect("is JSON");
    for (key, wrong) in [
        ("at", json!("")),
        ("at", json!("soon")),
        ("given_at", json!("x")),
    ] {
        let mut value = value.clone();
        value["replayed"][key] = wrong;
        let error = read(value.to_string().as_bytes()).expect_err("is refused");
        assert!(error.to_string().contains("is not a time"), "{error}");
    }
    let mut value = value;
    value["replayed"]["gone"] = json!(["", "zz", "é".repeat(32), "0".repeat(64)]);
    value["events"][0]["told"] = Value::Null;
    let update = read(value.to_string().as_bytes()).expect("reads");
    let Outcome::Replayed(read) = update.outcome else {
        panic!("{:?}", update.outcome);
    };
    assert_eq!((read.events.len(), read.gone), (1, vec![[0; 32]]));
}
