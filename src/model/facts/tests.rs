//! Facts keep their bounds, whatever they are read from.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{Expected, Facts, NUMBERS_MAX, NumberKind, PIECES_MAX, Related};
use crate::model::text::TEXT_CHARS_MAX;

fn value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("2026-12-03"),
        Just("2026-12-03T12:00:00.1234567+03:00"),
        Just("+262142-12-31"),
        Just("0000-00-00"),
        Just("9999-12-31T23:59:59-23:59"),
        Just("RETURN"),
        Just("nul \0 and bell \u{7}"),
    ];
    prop_oneof![
        3 => word.prop_map(|word| json!(word)),
        1 => any::<String>().prop_map(|text| json!(text)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => (0..4_000_usize).prop_map(|chars| json!("я".repeat(chars))),
        1 => Just(json!(null)),
    ]
}

/// Facts as any producer may write them.
fn written() -> impl Strategy<Value = Value> {
    let names = [
        "expected_from",
        "expected_to",
        "signed_by",
        "pieces",
        "service",
        "origin",
        "destination",
        "numbers",
    ];
    let number =
        (value(), value()).prop_map(|(kind, number)| json!({"kind": kind, "number": number}));
    let numbers = proptest::collection::vec(number, 0..60).prop_map(Value::Array);
    let field = (
        proptest::sample::select(names.to_vec()),
        prop_oneof![2 => value(), 1 => numbers],
    );
    let fields = field.prop_map(|(name, value)| (name.to_owned(), value));
    proptest::collection::vec(fields, 0..10).prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    #[test]
    fn whatever_is_read_is_within_the_bounds_and_reads_back(written in written(), junk in any::<String>()) {
        for text in [written.to_string(), junk] {
            let Some(facts) = Facts::read(&text) else {
                continue;
            };
            let texts = [&facts.signed_by, &facts.service, &facts.origin, &facts.destination];
            for text in texts.into_iter().flatten() {
                prop_assert!(!text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.contains('\0'));
            }
            prop_assert!(facts.numbers.len() <= NUMBERS_MAX);
            prop_assert!(facts.pieces.is_none_or(|pieces| (1..=PIECES_MAX).contains(&pieces)));
            let text = serde_json::to_string(&facts).expect("is JSON");
            prop_assert_eq!(Facts::read(&text), Some(facts));
        }
    }
}

#[test]
fn a_part_that_cannot_be_read_costs_no_other() {
    let text = json!({
        "expected_from": "soon", "expected_to": "2026-12-03T12:00:00+03:00", "signed_by": 7, "pieces": "2",
        "service": " express ", "origin": "", "numbers": [
            {"kind": "COUSIN", "number": "1"}, {"kind": "LOCAL"}, 7, {"kind": "LOCAL", "number": " 2 "},
            {"kind": "LOCAL", "number": "2"}, {"kind": "MASTER", "number": ""},
        ], "later": true,
    });
    let facts = Facts {
        expected_to: Expected::parse("2026-12-03T09:00:00Z"),
        service: Some("express".to_owned()),
        numbers: Related::of(NumberKind::Local, "2").into_iter().collect(),
        ..Facts::default()
    };
    assert_eq!(Facts::read(&text.to_string()), Some(facts));
    for nothing in [
        "",
        "null",
        "7",
        "{}",
        r#"{"pieces":0}"#,
        r#"{"numbers":[]}"#,
    ] {
        assert_eq!(Facts::read(nothing), None, "{nothing}");
    }
}

#[test]
fn a_day_stays_a_day_and_a_time_is_told_in_utc() {
    for (text, expected) in [
        ("2026-12-03", Some("2026-12-03")),
        ("2026-12-03T01:30:00+03:00", Some("2026-12-02T22:30:00Z")),
        ("1970-01-01", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31", None),
        ("3.12.2026", None),
    ] {
        let read = Expected::parse(text).map(|it| it.to_string());
        assert_eq!(read.as_deref(), expected, "{text}");
    }
}

#[test]
fn without_names_nobody_is_named() {
    let named = Facts {
        signed_by: Some("Ivanov".to_owned()),
        ..Facts::default()
    };
    assert_eq!(named.clone().without_names(), None);
    let facts = Facts {
        pieces: Some(2),
        ..named
    };
    let kept = Facts {
        signed_by: None,
        ..facts.clone()
    };
    assert_eq!(facts.without_names(), Some(kept));
}
