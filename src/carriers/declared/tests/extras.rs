//! What shops tell beside a number, in requests.

use serde_json::json;

use super::parse;
use crate::carriers::adapters::Adapter;
use crate::carriers::{Answer, Asked, Body, Carrier, Step, Verdict, fixture};
use crate::model::extra::Extra;
use crate::model::fixture::at;
use crate::model::{CarrierCode, TrackNumber};

/// A file that asks for several numbers with `json`, and one with `query`.
fn file(request: &str) -> String {
    format!(
        r#"
name = "x"
title = "X"
version = 1
source = "s"
terms = "t"
[request]
{request}
[answer]
items = "items"
[item]
number = "number"
events = "events"
failed = {{ path = "error", exists = true, says = "error" }}
[event]
code = "code"
raw = "code"
time = "at"
[map]
IN = "IN_TRANSIT"
"#
    )
}

fn made(request: &str) -> std::sync::Arc<dyn Carrier> {
    let file = parse(&file(request)).unwrap_or_else(|mistakes| panic!("{}", mistakes.join("\n")));
    Adapter::new(file, true).make(fixture::access("https://api.example/"))
}

fn asked(number: &str, extra: &str) -> Asked {
    let carrier = CarrierCode::parse("CDEK").expect("a code");
    Asked {
        extra: Extra::read(Some(extra)).expect("is one"),
        ..Asked::of(carrier, TrackNumber::parse(number).expect("a number"))
    }
}

const BATCH: &str = r#"
method = "POST"
path = "/a"
numbers = 3
json = { list = [{ n = "{number}", zip = "{extra.postal_code}", day = "{extra.ship_date?}" }] }"#;

#[test]
fn each_number_of_a_batch_has_its_own_and_one_without_is_not_sent() {
    let made = made(BATCH);
    assert_eq!(made.wants().uses, ["postal_code", "ship_date"]);
    assert_eq!(made.wants().needs, ["postal_code"]);
    let all = [
        asked("N1", r#"{"postal_code":"10115","ship_date":"2026-11-30"}"#),
        asked("N2", r#"{"ship_date":"2026-11-30"}"#),
        asked("N3", r#"{"postal_code":"20095"}"#),
    ];
    let Step::Send(request, state) = made.start(&all) else {
        panic!("nothing is sent");
    };
    let sent = json!({"list": [
        {"n": "N1", "zip": "10115", "day": "2026-11-30"}, {"n": "N3", "zip": "20095"},
    ]});
    assert!(request.body == Body::Json(sent), "another body is sent");
    let body = json!({"items": [
        {"number": "N1", "events": []}, {"number": "N3", "error": "20095 is not the addressee's"},
    ]});
    let answer = Answer {
        status: 200,
        body: body.to_string().into_bytes(),
    };
    let Ok(Step::Done(sightings)) = made.resume(state, &answer, at(0)) else {
        panic!("is not read");
    };
    let verdict = |number: &str| {
        let of_number = |it: &&_| {
            let it: &crate::carriers::Sighting = it;
            it.asked.number.as_str() == number
        };
        let found = sightings.iter().find(of_number);
        found.expect("has one").verdict.clone()
    };
    assert_eq!(verdict("N1"), Verdict::NotFoundYet);
    let Verdict::Unasked { reason } = verdict("N2") else {
        panic!("{:?}", verdict("N2"));
    };
    assert!(
        reason.contains("postalCode: tell it with PATCH"),
        "{reason}"
    );
    let Verdict::Failed { reason } = verdict("N3") else {
        panic!("{:?}", verdict("N3"));
    };
    assert!(reason.contains("… is not"), "others read it too: {reason}");
}

#[test]
fn an_error_of_the_whole_call_repeats_nothing_that_was_told() {
    let made = made(BATCH);
    let Step::Send(_, state) = made.start(&[asked("N1", r#"{"postal_code":"10115"}"#)]) else {
        panic!("nothing is sent");
    };
    for (status, body) in [
        (200, r#""10115 is wrong""#),
        (400, r#"{"message": "10115"}"#),
        (500, "10115"),
    ] {
        let answer = Answer {
            status,
            body: body.as_bytes().to_vec(),
        };
        let error = made
            .resume(state.clone(), &answer, at(0))
            .expect_err("is none");
        assert!(!error.to_string().contains("10115"), "{error}");
    }
}

#[test]
fn without_what_it_needs_no_call_is_made() {
    let made = made(BATCH);
    let Step::Done(sightings) = made.start(&[asked("N1", "{}"), asked("N2", "{}")]) else {
        panic!("something is sent");
    };
    assert!(
        matches!(&sightings[..], [a, b] if matches!(a.verdict, Verdict::Unasked { .. }) && a.verdict == b.verdict),
        "{sightings:?}"
    );
}

#[test]
fn one_numbers_own_does_not_stand_where_a_call_has_it_once() {
    for request in [
        BATCH.replace("path = \"/a\"", "path = \"/a/{extra.country}\""),
        BATCH.replace("json = { ", "json = { zip = \"{extra.postal_code}\", "),
        format!("{BATCH}\nquery = {{ zip = \"{{extra.postal_code?}}\" }}"),
    ] {
        let mistakes = parse(&file(&request)).expect_err("is refused").join("\n");
        assert!(
            mistakes.contains("what a shop told of one number"),
            "{mistakes}"
        );
    }
    let login = "[login]\nmethod = \"POST\"\npath = \"/t\"\nform = { zip = \"{extra.postal_code}\" }\n[answer]";
    let text = file(BATCH).replacen("[answer]", login, 1);
    let mistakes = parse(&text).expect_err("is refused").join("\n");
    assert!(mistakes.contains("is a log-in's"), "{mistakes}");
}

#[test]
fn dhl_is_told_the_addressees_postal_code_if_the_shop_told_it() {
    let known = crate::carriers::adapters::all("").0;
    let dhl = known.iter().find(|adapter| adapter.name == "dhl");
    let dhl = dhl
        .expect("is built in")
        .make(fixture::access("https://api.example/"));
    let url = |extra: &str| {
        let Step::Send(request, _) = dhl.start(&[asked("N1", extra)]) else {
            panic!("nothing is sent");
        };
        request.url.to_string()
    };
    assert!(url(r#"{"postal_code":"SW1A 1AA"}"#).ends_with("&recipientPostalCode=SW1A+1AA"));
    assert!(!url(r#"{"country":"GB"}"#).contains("recipientPostalCode"));
}
