//! Facts travel whole, and nothing in them makes a record unreadable.

use serde_json::{Value, json};

use super::checked;
use crate::kafka::message::{decode, encode};
use crate::model::facts::{Expected, Facts};
use crate::model::fixture::{at, event, facts, seen};
use crate::model::status::Status;
use crate::model::{Event, Outcome, Update};

#[test]
fn facts_travel_with_every_record_of_a_check() {
    let events: Vec<Event> = (0..600)
        .map(|n| event(Status::InTransit, "scan", n))
        .collect();
    let told = Facts {
        expected_to: Expected::parse("2026-12-03"),
        service: Some("express".to_owned()),
        ..facts(2)
    };
    let one = Update {
        facts: Some(told.clone()),
        ..seen(42, 5, 9, events)
    };
    let records = encode(&checked(one));
    assert_eq!(records.len(), 2);
    for record in records {
        let value: Value = serde_json::from_slice(&record.value).expect("is JSON");
        let expected = json!({"expected_to": "2026-12-03", "service": "express", "pieces": 2});
        assert_eq!(value["facts"], expected);
        let read = decode(Some(&record.value), at(50), at(60)).expect("reads");
        assert_eq!(read.facts, Some(told.clone()));
    }
    let without = encode(&checked(seen(42, 5, 9, Vec::new()))).remove(0);
    assert!(!String::from_utf8_lossy(&without.value).contains("facts"));
}

#[test]
fn no_facts_make_a_record_unreadable() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let many = format!("{{\"numbers\":[{}1]}}", "1,".repeat(100_000));
    for odd in [
        "null",
        "7",
        "1e999",
        r#"{"pieces":1e999}"#,
        r#"{"service":"\ud800"}"#,
        "[]",
        &deep,
        &many,
    ] {
        let record = format!(r#"{{"tracking_id":42,"status":"DELIVERED","facts":{odd}}}"#);
        let read = decode(Some(record.as_bytes()), at(7), at(100)).expect("reads");
        assert_eq!(read.facts, None);
        assert!(matches!(read.outcome, Outcome::Seen { .. }));
    }
}
