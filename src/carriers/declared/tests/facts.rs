//! What is read of an answer beside its events.

use serde_json::{Value, json};

use crate::carriers::Verdict;
use crate::carriers::declared::tests::{WHOLE, parse, verdict};

/// The facts of a part of an answer, as messages have them.
fn facts(mut part: Value) -> Value {
    part["number"] = "N1".into();
    part["events"] = json!([{"code": "IN", "at": "2026-11-20"}]);
    match verdict(200, &json!({"items": [part]})) {
        Ok(Verdict::Seen(seen)) => json!(seen.facts),
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_that_an_answer_says_is_read() {
    let part = json!({
        "window": {"from": "2026-12-03T09:00:00", "end": "2026-12-03T18:00:00Z"}, "signed": " Ivanov ", "pieces": 2,
        "product": {"name": "Express"}, "from": "Omsk", "to": {"city": "London", "country": "GB"}, "master": "M1",
        "others": [{"type": "out", "id": "N0"}, {"type": "back", "id": "N2"}, {"type": "BACK", "id": 3}],
    });
    let expected = json!({
        "expected_from": "2026-12-03T09:00:00Z", "expected_to": "2026-12-03T18:00:00Z", "signed_by": "Ivanov", "pieces": 2,
        "service": "Express", "origin": "Omsk", "destination": "London, GB",
        "numbers": [
            {"kind": "RETURN", "number": "N2"}, {"kind": "RETURN", "number": "3"}, {"kind": "MASTER", "number": "M1"},
        ],
    });
    assert_eq!(facts(part), expected);
    assert_eq!(facts(json!({})), Value::Null);
}

#[test]
fn a_day_stays_a_day_wherever_midnight_is() {
    let window = |from: &str| facts(json!({"window": {"from": from}}))["expected_from"].clone();
    for day in [
        "2026-12-03",
        "2026-12-03T00:00:00",
        "2026-12-03T00:00:00+05:00",
        "03.12.2026",
    ] {
        assert_eq!(window(day), "2026-12-03", "{day}");
    }
    // Without a country that has one zone, the rule's own zone.
    assert_eq!(window("2026-12-03T00:30:00"), "2026-12-02T23:30:00Z");
    // Of this time only the day is meant.
    let day = facts(json!({"day": "2026-07-23T02:00:00+02:00", "window": {"to": "2026-07-24"}}));
    assert_eq!(
        day,
        json!({"expected_from": "2026-07-23", "expected_to": "2026-07-24"})
    );
}

#[test]
fn what_cannot_be_read_costs_nothing_else() {
    let part = json!({
        "window": {"from": "soon", "to": "0001-01-01"}, "pieces": -1, "product": [], "from": {}, "to": {"city": ""},
        "others": "none", "master": "", "signed": {"name": 1},
    });
    assert_eq!(facts(part), Value::Null);
    for (pieces, count) in [
        (json!("3"), json!(3)),
        (json!(["a", "b"]), json!(2)),
        (json!([]), Value::Null),
        (json!(2.5), Value::Null),
        (json!(5_000_000_000_u64), Value::Null),
    ] {
        assert_eq!(
            facts(json!({"pieces": pieces, "from": "Omsk"}))["pieces"],
            count
        );
    }
}

#[test]
fn a_rule_for_numbers_needs_its_kind_and_its_number() {
    let number = "number = [\"master\", \"whole\"]";
    for (part, told) in [
        (format!("kind = \"MASTER\", {number}"), None),
        (number.to_owned(), Some("facts.numbers.kind is missing")),
        (
            "kind = \"MASTER\"".to_owned(),
            Some("facts.numbers.number is missing"),
        ),
    ] {
        let text = WHOLE.replace(&format!("kind = \"MASTER\", {number}"), &part);
        let mistakes = parse(&text).err().map(|mistakes| mistakes.join("\n"));
        match told {
            Some(told) => assert!(mistakes.expect(told).contains(told)),
            None => assert_eq!(mistakes, None),
        }
    }
}
