//! Our records read back as they were; those of others read as the wire contract says; no input makes the reader panic.

mod facts;
mod replayed;

use chrono::TimeDelta;
use proptest::prelude::{Just, Strategy, any};
use proptest::{prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Checked, MessageError, decode, encode};
use crate::model::fixture::{at, event, seen, tracking, update};
use crate::model::history::History;
use crate::model::merge::merge;
use crate::model::status::Status;
use crate::model::{Event, Held, Named, Outcome, Source, Update};

fn checked(update: Update) -> Checked {
    Checked {
        update,
        adapter: "emulator",
        mapping_version: 1,
        source: Source::Poll,
    }
}

fn read(value: &Value) -> Result<Update, MessageError> {
    decode(Some(value.to_string().as_bytes()), at(7), at(100))
}

fn events_of(update: &Update) -> &[Event] {
    match &update.outcome {
        Outcome::Seen { events, .. } => events,
        other => panic!("nothing was seen: {other:?}"),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let outcomes = [
        seen(
            42,
            5,
            9,
            vec![
                event(Status::InTransit, "3", 1),
                event(Status::Delivered, "4", 4),
            ],
        ),
        update(42, 5, 9, Outcome::NotFoundYet),
        update(
            42,
            5,
            9,
            Outcome::Failed {
                error: "the carrier answered 502".to_owned(),
            },
        ),
    ];
    for one in outcomes {
        let records = encode(&checked(one.clone()));
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].key, b"42");
        assert_eq!(decode(Some(&records[0].value), at(50), at(60)), Ok(one));
    }
}

#[test]
fn what_a_carrier_pushed_is_read_back_as_pushed() {
    let pushed = Update {
        held: Held::Pushed,
        ..seen(42, 5, 9, vec![event(Status::Delivered, "4", 4)])
    };
    let record = Checked {
        source: Source::Push,
        ..checked(pushed.clone())
    };
    let records = encode(&record);
    assert_eq!(decode(Some(&records[0].value), at(50), at(60)), Ok(pushed));
}

#[test]
fn a_message_names_its_parcel_and_one_that_does_not_is_read_too() {
    let one = update(42, 5, 9, Outcome::NotFoundYet);
    let value: Value = serde_json::from_slice(&encode(&checked(one))[0].value).expect("is JSON");
    assert_eq!(
        (&value["carrier_code"], &value["track_number"]),
        (&json!("CDEK"), &json!("N42"))
    );
    for other in [
        json!({"tracking_id": 42}),
        json!({"tracking_id": 42, "carrier_code": "", "track_number": null}),
    ] {
        assert_eq!(
            read(&other).map(|update| update.named),
            Ok(Named::default())
        );
    }
}

#[test]
fn a_good_check_has_no_error_and_a_failed_one_no_status() {
    let keys = |one: Update| {
        let value: Value =
            serde_json::from_slice(&encode(&checked(one))[0].value).expect("is JSON");
        let object = value.as_object().expect("is an object").clone();
        (
            object.contains_key("error"),
            object.contains_key("status"),
            object,
        )
    };
    let (error, status, good) = keys(seen(1, 5, 9, vec![event(Status::InTransit, "3", 1)]));
    assert!(!error && status);
    assert_eq!(good["checked_at"], json!("2026-11-20T12:00:05Z"));
    assert_eq!(good["tracking_id"], json!(1));
    for key in [
        "check_id",
        "check_fail_count",
        "adapter",
        "mapping_version",
        "next_check_at",
    ] {
        assert!(good.contains_key(key), "{key}");
    }
    let (error, status, _) = keys(update(
        1,
        5,
        9,
        Outcome::Failed {
            error: "x".to_owned(),
        },
    ));
    assert!(error && !status);
}

#[test]
fn very_many_events_travel_in_several_records_of_one_check() {
    let events: Vec<Event> = (0..10_000)
        .map(|n| event(Status::InTransit, &format!("scan {n}"), n))
        .collect();
    let one = seen(42, 5, 9, events.clone());
    let records = encode(&checked(one.clone()));
    assert!(records.len() >= 20);
    assert!(
        records
            .iter()
            .all(|record| record.value.len() < 900 * 1024 && record.key == b"42")
    );
    let mut all = Vec::new();
    for record in &records {
        let part = decode(Some(&record.value), at(50), at(60)).expect("reads");
        assert_eq!(
            (part.check_id, part.checked_at),
            (one.check_id, one.checked_at)
        );
        let Outcome::Seen { report, events } = part.outcome else {
            panic!("was seen")
        };
        assert_eq!(
            report.last_event_at,
            Some(at(9_999)),
            "every part tells the whole report"
        );
        all.extend(events);
    }
    assert_eq!(all, events);
}

#[test]
fn events_that_grow_when_they_are_written_still_fit_a_request() {
    // Each takes six bytes in JSON.
    let text = "\u{1}".repeat(2_000);
    let events = (0..200).map(|n| Event {
        message: text.clone(),
        ..event(Status::InTransit, "scan", n)
    });
    for record in encode(&checked(seen(42, 5, 9, events.collect()))) {
        assert!(record.value.len() < 900 * 1024, "{}", record.value.len());
    }
}

#[test]
fn a_message_of_the_original_worker_is_read() {
    let one = read(&json!({
        "tracking_id": 7, "checked_at": "2026-11-20T12:00:03.123456789Z", "status": "IN_TRANSIT",
        "status_raw": "В пути", "status_at": "2026-11-20T15:00:00+03:00",
        "next_check_at": "2026-11-20T12:01:03Z", "events": [
            {"status": "IN_TRANSIT", "status_raw": "В пути", "event_time": "2026-11-20T12:00:00Z",
             "location": "Москва", "payload": {"id": 1}},
            {"status": "LOST_IN_SPACE", "status_raw": "?", "event_time": "2026-11-20T12:00:01Z"},
        ]
    }))
    .expect("reads");
    assert_eq!(one.checked_at, at(3) + TimeDelta::microseconds(123_456));
    assert_eq!((one.next_check_at, one.check_fail_count), (at(63), None));
    let Outcome::Seen { report, events } = &one.outcome else {
        panic!("was seen")
    };
    assert_eq!(
        (report.status, report.status_at),
        (Status::InTransit, Some(at(0)))
    );
    assert_eq!(
        (report.last_event_at, report.last_event_code.as_deref()),
        (Some(at(1)), Some("UNKNOWN"))
    );
    assert_eq!(events[0].payload_json, r#"{"id":1}"#);
    assert_eq!(events[1].status, Status::Unknown);
}

#[test]
fn year_one_means_absent_and_absent_times_have_their_defaults() {
    let one = read(&json!({
        "tracking_id": 7, "checked_at": "0001-01-01T00:00:00Z", "status": "DELIVERED",
        "status_at": "0001-01-01T00:00:00Z", "next_check_at": "0001-01-01T00:00:00Z",
        "events": [{"status": "DELIVERED", "status_raw": "4", "event_time": "0001-01-01T00:00:00Z"}]
    }))
    .expect("reads");
    assert_eq!((one.checked_at, one.next_check_at), (at(7), at(7 + 3_600)));
    let Outcome::Seen { report, events } = &one.outcome else {
        panic!("was seen")
    };
    assert_eq!((report.status_at, events.len()), (None, 1));
    assert!(events[0].stated, "its status is all that is told");
}

#[test]
fn no_producer_puts_a_parcel_off_for_longer_than_a_year() {
    let value = json!({
        "tracking_id": 1, "status": "IN_TRANSIT", "checked_at": at(0), "next_check_at": "9999-12-31T23:59:59Z",
    });
    let update = read(&value).expect("is an update");
    assert_eq!(update.next_check_at, at(366 * 24 * 3_600));
}

#[test]
fn an_empty_error_is_none_and_events_beside_an_error_are_ignored() {
    let events =
        json!([{"status": "DELIVERED", "status_raw": "4", "event_time": "2026-11-20T12:00:01Z"}]);
    let good = read(
        &json!({"tracking_id": 7, "status": "DELIVERED", "error": "", "events": events.clone()}),
    );
    assert_eq!(events_of(&good.expect("reads")).len(), 1);
    let failed =
        read(&json!({"tracking_id": 7, "status": "DELIVERED", "error": "boom", "events": events}));
    assert_eq!(
        failed.expect("reads").outcome,
        Outcome::Failed {
            error: "boom".to_owned()
        }
    );
}

#[test]
fn a_check_without_an_id_has_the_same_one_every_time_it_is_read() {
    let value = json!({"tracking_id": 7, "status": "DELIVERED"});
    let other = json!({"tracking_id": 7, "status": "IN_TRANSIT"});
    let id = |value: &Value| read(value).expect("reads").check_id;
    assert_eq!(id(&value), id(&value));
    assert_ne!(id(&value), id(&other));
}

#[test]
fn what_is_not_an_update_says_why() {
    let reasons = [
        (decode(None, at(0), at(0)), "the record has no value"),
        (
            decode(Some(b"\xff\xfe"), at(0), at(0)),
            "the value is not an update: expected value",
        ),
        (
            read(&json!({"tracking_id": "x"})),
            "the value is not an update: invalid type",
        ),
        (
            read(&json!({"status": "DELIVERED"})),
            "the value is not an update: missing field `tracking_id`",
        ),
        (
            read(&json!({"tracking_id": 7, "checked_at": "yesterday"})),
            "checked_at is not a time: yesterday",
        ),
        (
            read(&json!({"tracking_id": 7, "checked_at": at(100 + 601)})),
            "checked_at is 601 s ahead",
        ),
    ];
    for (result, reason) in reasons {
        let error = result.expect_err(reason).to_string();
        assert!(
            error.starts_with(reason),
            "{error} does not start with {reason}"
        );
    }
}

#[test]
fn texts_lose_their_nul_and_what_is_beyond_the_limit() {
    let one = read(&json!({"tracking_id": 7, "status": "IN_TRANSIT", "status_raw": "a\u{0}b", "events": [
        {"status": "IN_TRANSIT", "status_raw": "x".repeat(5_000), "event_time": "2026-11-20T12:00:01Z",
         "payload": {"long": "y".repeat(50_000)}}
    ]}))
    .expect("reads");
    let Outcome::Seen { report, events } = &one.outcome else {
        panic!("was seen")
    };
    assert_eq!(report.status_raw, "ab");
    assert_eq!(
        (events[0].status_raw.len(), events[0].payload_json.len()),
        (2_000, 0)
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = proptest::prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("2026-11-20T12:00:01Z")),
        Just(json!("+262142-01-01T00:00:00Z")),
    ];
    leaf.prop_recursive(2, 16, 4, |inner| {
        proptest::collection::vec(inner, 0..4).prop_map(Value::from)
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        if let Ok(one) = decode(Some(&bytes), at(0), at(0)) {
            prop_assert_eq!(decode(Some(&bytes), at(0), at(0)), Ok(one));
        }
    }

    #[test]
    fn no_fields_make_the_reader_panic(
        fields in proptest::collection::hash_map(
            "tracking_id|checked_at|status|status_raw|status_at|next_check_at|events|error|check_id|check_fail_count|\
             derived|first_event|unreadable_events|looks_again|source|sub_status|direction|last_event_at|carrier_code",
            any_json(), 0..10)
    ) {
        let mut object: serde_json::Map<String, Value> = fields.into_iter().collect();
        object.entry("tracking_id").or_insert(json!(1));
        let value = Value::Object(object);
        prop_assert_eq!(read(&value).is_ok(), read(&value).is_ok());
    }

    #[test]
    fn no_record_that_can_be_read_breaks_a_history(
        events in proptest::collection::vec(proptest::collection::hash_map(
            "status|sub_status|status_raw|location|message|payload|own_status|own_sub_status|order_at|taken_back|stated",
            prop_oneof![any_json(), any::<bool>().prop_map(Value::from), Just(json!("DELIVERED"))], 0..8), 0..6),
        times in proptest::collection::vec(
            prop_oneof![Just("9999-12-31T23:59:59Z"), Just("0002-01-01T00:00:00Z"), Just("2026-11-20T12:00:01Z")], 6),
        first_event in prop_oneof![any::<Option<i32>>(), Just(Some(i32::MAX))], derived in any::<bool>(), source in "poll|reread|push",
    ) {
        let events: Vec<Value> = events.into_iter().zip(times).map(|(fields, time)| {
            let mut event: serde_json::Map<String, Value> = fields.into_iter().collect();
            event.insert("event_time".to_owned(), json!(time));
            Value::Object(event)
        }).collect();
        let value = json!({
            "tracking_id": 1, "checked_at": at(0), "check_id": Uuid::from_u128(1), "status": "IN_TRANSIT", "events": events,
            "first_event": first_event, "derived": derived, "source": source,
        });
        if let Ok(update) = read(&value) {
            let (mut row, mut history) = (tracking(1, 1), History::default());
            for _ in 0..2 {
                row = merge(&row, &update, &mut history, at(1));
            }
        }
    }
}
