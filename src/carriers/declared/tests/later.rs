//! Checks of several calls: tickets that are asked for later, and numbers that are registered first.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::carriers::adapters::{built_in, parse};
use crate::carriers::{
    Answer, Asked, Body, Carrier, CarrierError, FailureOf, State, Step, Verdict, fixture,
};
use crate::model::fixture::at;
use crate::model::{CarrierCode, TrackNumber};

fn asked(numbers: &[&str]) -> Vec<Asked> {
    let carrier = CarrierCode::parse("POST_RU").expect("a code");
    let asked = |number: &&str| {
        let number = TrackNumber::parse(*number).expect("a number");
        Asked::of(carrier.clone(), number)
    };
    numbers.iter().map(asked).collect()
}

fn text(body: Body) -> String {
    match body {
        Body::Text { text, .. } => text,
        other => panic!("{:?} is no text", std::mem::discriminant(&other)),
    }
}

fn answer(body: &Value) -> Answer {
    fixture::ok(&body.to_string())
}

fn resumed(adapter: &dyn Carrier, state: &State, body: &Value) -> Result<Step, CarrierError> {
    adapter.resume(state.clone(), &answer(body), at(0))
}

#[test]
fn a_ticket_is_asked_for_with_every_number_that_the_carrier_can_have() {
    let post = fixture::adapter("russian-post-batch", "https://post.example/");
    let numbers = asked(&["RA644000001RU", "RA644000001RU-00", "10944022440321"]);
    let Step::Send(request, state) = post.start(&numbers) else {
        panic!("nothing is sent");
    };
    assert_eq!(request.url.as_str(), "https://post.example/fc");
    let sent = text(request.body);
    let items = "<request><fcl:Item Barcode=\"RA644000001RU\"/><fcl:Item Barcode=\"10944022440321\"/></request>";
    assert!(sent.contains(items), "{sent}");
    assert!(sent.contains("<login>us3r</login><password>s3cret</password>"));
    assert_eq!(
        state.asked, numbers,
        "the long one waits for its verdict with them"
    );
    let Step::Done(sightings) = post.start(&numbers[1..2]) else {
        panic!("a ticket for nothing is asked for");
    };
    assert!(matches!(sightings[0].verdict, Verdict::Invalid { .. }));
    let Step::Send(request, _) = post.redeem("2015<&>\"CLIENT", &numbers) else {
        panic!("nothing is sent");
    };
    let sent = text(request.body);
    assert!(
        sent.contains("<ticket>2015&lt;&amp;&gt;&quot;CLIENT</ticket>"),
        "{sent}"
    );
    assert!(!sent.contains("RA644000001RU"));
}

#[test]
fn an_answer_is_a_ticket_not_ready_gone_or_of_the_numbers() {
    let adapter = fixture::adapter("emulator-ticket", "https://emulator.example/");
    assert!(adapter.gives_tickets());
    let Step::Send(_, first) = adapter.start(&asked(&["N1", "N2"])) else {
        panic!("nothing is sent");
    };
    let Ok(Step::Wait(ticket)) = resumed(&*adapter, &first, &json!({"ticket": " T1 "})) else {
        panic!("no ticket is read");
    };
    assert_eq!((ticket.id.as_str(), ticket.wait.as_secs()), ("T1", 1));
    for nothing in [
        json!({}),
        json!({"ticket": ""}),
        json!({"ticket": "x".repeat(2_000)}),
        json!([]),
    ] {
        assert!(resumed(&*adapter, &first, &nothing).is_err(), "{nothing}");
    }
    let whole = resumed(&*adapter, &first, &json!({"detail": "out of paper"}));
    let error = whole.expect_err("is refused");
    assert_eq!(
        error.failure_of(),
        FailureOf::Number,
        "fewer numbers may be taken: {error}"
    );
    let Step::Send(_, later) = adapter.redeem("T1", &first.asked) else {
        panic!("nothing is sent");
    };
    let again = resumed(&*adapter, &later, &json!({"ready": false}));
    assert!(matches!(again, Ok(Step::Wait(same)) if same.id == "T1"));
    let gone = Answer {
        status: 404,
        ..answer(&json!({"detail": "no ticket T1 is known"}))
    };
    let gone = adapter.resume(later.clone(), &gone, at(0));
    assert!(
        matches!(gone, Err(CarrierError::TicketGone { .. })),
        "{gone:?}"
    );
    let parts =
        json!([{"carrier": "POST_RU", "track_number": "N2", "status": "IN_TRANSIT", "events": []}]);
    match resumed(&*adapter, &later, &json!({"ready": true, "results": parts})) {
        Ok(Step::Done(sightings)) => assert_eq!(sightings.len(), 1),
        other => panic!("{other:?}"),
    }
}

/// A carrier that has to be told numbers, as an account that may or may not tell it.
fn registering(registers: bool) -> Arc<dyn Carrier> {
    let mut access = fixture::access("https://api.example/");
    access.registers = registers;
    built_in("17track").expect("is built in").make(access)
}

fn rejected(number: &str, code: i64) -> Value {
    json!({"number": number, "error": {"code": code, "message": "because"}})
}

fn verdicts(step: Result<Step, CarrierError>) -> Vec<(String, &'static str)> {
    let Ok(Step::Done(sightings)) = step else {
        panic!("{step:?}");
    };
    let mut verdicts: Vec<(String, &str)> = sightings
        .into_iter()
        .map(|sighting| {
            let word = match sighting.verdict {
                Verdict::Seen(_) => "seen",
                Verdict::NotFoundYet => "not found",
                Verdict::Invalid { .. } => "invalid",
                Verdict::Failed { .. } => "failed",
                Verdict::Unasked { .. } => "unasked",
            };
            (sighting.asked.number.to_string(), word)
        })
        .collect();
    verdicts.sort();
    verdicts
}

#[test]
fn unknown_numbers_are_registered_once_and_what_is_known_of_others_is_kept() {
    let adapter = registering(true);
    let Step::Send(_, state) = adapter.start(&asked(&["N10001", "N10002", "N10003"])) else {
        panic!("nothing is sent");
    };
    let unknown = -18_019_902;
    let known = json!({"latest_status": {"status": "InfoReceived"}, "tracking": {"providers": [{"events": []}]}});
    let body = json!({"code": 0, "data": {
        "accepted": [{"number": "N10001", "track_info": known}],
        "rejected": [rejected("N10002", unknown), rejected("N10003", unknown)],
    }});
    let Ok(Step::Send(request, second)) = resumed(&*adapter, &state, &body) else {
        panic!("nothing is registered");
    };
    assert!(request.url.path().ends_with("/register"));
    let numbers = json!([{"number": "N10002"}, {"number": "N10003"}]);
    assert!(request.body == Body::Json(numbers), "both and no other");
    let body = json!({"code": 0, "data": {
        "accepted": [{"number": "N10002", "carrier": 1}], "rejected": [rejected("N10003", unknown)],
    }});
    let told = verdicts(resumed(&*adapter, &second, &body));
    let expected = [
        ("N10001", "seen"),
        ("N10002", "not found"),
        ("N10003", "failed"),
    ];
    assert_eq!(
        told,
        expected.map(|(number, word)| (number.to_owned(), word))
    );
    // The registration fails as a whole.
    let refused = json!({"code": -18_019_908, "data": {"errors": [{"code": -18_019_908, "message": "no quota"}]}});
    let told = verdicts(resumed(&*adapter, &second, &refused));
    let expected = [
        ("N10001", "seen"),
        ("N10002", "failed"),
        ("N10003", "failed"),
    ];
    assert_eq!(
        told,
        expected.map(|(number, word)| (number.to_owned(), word))
    );
    let alone = State {
        told: Vec::new(),
        ..second
    };
    let error = resumed(&*adapter, &alone, &refused).expect_err("is the account's");
    assert!(error.is_limit(), "{error}");
}

#[test]
fn a_section_that_must_not_register_reads_what_is_registered() {
    let adapter = registering(false);
    let Step::Send(_, state) = adapter.start(&asked(&["N10001"])) else {
        panic!("nothing is sent");
    };
    let body =
        json!({"code": 0, "data": {"accepted": [], "rejected": [rejected("N10001", -18_019_902)]}});
    let told = verdicts(resumed(&*adapter, &state, &body));
    assert_eq!(told, [("N10001".to_owned(), "failed")]);
}

#[test]
fn a_file_with_the_codes_of_another_has_its_meanings_and_a_higher_version() {
    let own = include_str!("../../../../carriers/russian-post-batch.toml");
    let batch = parse("a file", own).expect("is right");
    let single = include_str!("../../../../carriers/russian-post.toml");
    let single = parse("a file", single).expect("is right");
    assert_eq!(batch.item.version, 1 + single.item.version);
    let wrong = |text: String| {
        let mistakes = parse("a file", &text).expect_err("is wrong");
        mistakes[0].to_string()
    };
    let unknown = wrong(own.replace("map_of = \"russian-post\"", "map_of = \"rusian-post\""));
    assert!(unknown.contains("no built-in file with a map"), "{unknown}");
    let itself = wrong(own.replace(
        "map_of = \"russian-post\"",
        "map_of = \"russian-post-batch\"",
    ));
    assert!(itself.contains("no built-in file with a map"), "{itself}");
    let two = wrong(format!("{own}\n[map]\n1 = \"IN_TRANSIT\""));
    assert!(two.contains("stands beside map_of"), "{two}");
}

#[test]
fn mistakes_in_tickets_and_registrations_are_told() {
    let ticket = include_str!("../../../../carriers/emulator-ticket.toml");
    let seventeen = include_str!("../../../../carriers/17track.toml");
    let post = include_str!("../../../../carriers/russian-post-batch.toml");
    for (text, from, to, told) in [
        (ticket, "wait = \"1s\"\n", "", "ticket.wait is missing"),
        (
            ticket,
            "wait = \"1s\"",
            "wait = \"2h\"",
            "ticket.ends_after is not longer",
        ),
        (ticket, "id = \"ticket\"\n", "", "ticket.id is missing"),
        (
            ticket,
            "tickets/{ticket}",
            "tickets/all",
            "ticket.path names no ticket",
        ),
        (
            ticket,
            "path = \"/v1/tracking/tickets\"",
            "path = \"/v1/{ticket}\"",
            "request.path or another part names a ticket",
        ),
        (
            seventeen,
            "when = { path = \"error.code\", is = -18019902 }\n",
            "",
            "register.when is missing",
        ),
        (
            post,
            "<request>{items}</request>",
            "",
            "request.xml_each and {items} in xml need each other",
        ),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let mistakes = parse("a file", &changed).expect_err(told);
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert!(
            mistakes.iter().any(|it| it.contains(told)),
            "{told}: {mistakes:?}"
        );
    }
}
