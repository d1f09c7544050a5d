//! What holds for every file, and what mistakes in one are told.

mod emulator;
mod extras;
mod facts;
mod gdeposylka;
mod later;
mod logins;
mod track24;

use proptest::prelude::{any, prop_assert, proptest};
use serde_json::{Value, json};

use crate::carriers::adapters::Adapter;
use crate::carriers::declared::file::File;
use crate::carriers::{
    Answer, Asked, Auth, Body, Carrier, CarrierError, FailureOf, Step, Verdict, fixture,
};
use crate::model::fixture::at;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{CarrierCode, Event, TrackNumber};

/// A file with everything that one may have.
const WHOLE: &str = include_str!("tests/whole.toml");

fn parse(text: &str) -> Result<File, Vec<String>> {
    let told = |mistakes: Vec<crate::config::mistakes::Mistake>| {
        mistakes.iter().map(ToString::to_string).collect()
    };
    File::parse("carriers.d/whole.toml", text).map_err(told)
}

fn made() -> std::sync::Arc<dyn Carrier> {
    let file = parse(WHOLE).unwrap_or_else(|mistakes| panic!("{}", mistakes.join("\n")));
    Adapter::new(file, true).make(fixture::access("https://api.example/base/"))
}

fn verdict(http: u16, body: &Value) -> Result<Verdict, CarrierError> {
    let answer = Answer {
        status: http,
        body: body.to_string().into_bytes(),
    };
    Ok(fixture::verdicts(&*made(), &answer, &["N1"])?.remove(0))
}

fn events(events: &Value) -> Vec<Event> {
    let body = json!({"items": [{"number": "N1", "events": events}]});
    match verdict(200, &body) {
        Ok(Verdict::Seen(seen)) => seen.events,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_filled_in_with_everything_escaped_by_its_place() {
    let Step::Send(request, _) = fixture::start(&*made(), &["a/b&<c>"]) else {
        panic!("nothing is sent");
    };
    let url = "https://api.example/base/v1/a%2Fb%26%3Cc%3E?lang=en&key=k3y";
    assert_eq!(request.url.as_str(), url);
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (&**name, value.as_str()))
        .collect();
    let expected = [
        ("Accept", "application/json"),
        ("Authorization", "Basic dXMzcjpzM2NyZXQ="),
    ];
    assert_eq!(headers, expected);
    let Body::Json(body) = request.body else {
        panic!("has no JSON");
    };
    assert_eq!(
        body,
        json!({"numbers": ["a/b&<c>"], "all": "a/b&<c>", "deep": [{"n": "a/b&<c>"}], "fixed": [1, true]})
    );
}

#[test]
fn what_may_be_empty_is_left_out_and_the_rest_is_needed() {
    let file = parse(WHOLE).expect("is right");
    assert_eq!(file.needs(), ["secret", "user"]);
    let mut access = fixture::access("https://api.example/");
    access.api_key = String::new();
    let made = Adapter::new(file, true).make(access);
    let Step::Send(request, _) = fixture::start(&*made, &["N1"]) else {
        panic!("nothing is sent");
    };
    assert_eq!(request.url.as_str(), "https://api.example/v1/N1?lang=en");
}

#[test]
fn a_code_that_keeps_changes_nothing_and_one_taken_back_does_not_count() {
    let mut events = events(&json!([
        {"code": "IN", "at": "2026-11-20T10:00:00Z"},
        {"code": "NOTE", "at": "2026-11-21T10:00:00Z"},
        {"code": "DONE", "at": "2026-11-22T10:00:00Z", "deleted": true},
        {"code": "SECRET", "at": "2026-11-22T11:00:00Z"},
        {"code": "NOTE", "at": "2026-11-23T10:00:00Z"},
    ]));
    let report = crate::model::answer::alone(&mut events, at(30 * 86_400));
    assert_eq!(report.status, Status::InTransit);
    assert_eq!(report.status_raw, "IN");
    let shown: Vec<Status> = events.iter().map(|event| event.status).collect();
    let transit = Status::InTransit;
    assert_eq!(shown, [transit, transit, Status::Delivered, transit]);
    assert!(events[2].taken_back && events[1].own() == Event::KEEPS);
}

#[test]
fn a_pair_counts_before_its_code_and_back_turns_the_parcel_round() {
    let mut events = events(&json!([
        {"code": "IN", "at": "2026-11-20T10:00:00Z"},
        {"code": "NO", "reason": 23, "at": "2026-11-21T10:00:00Z"},
        {"code": "in.depot", "at": "2026-11-22T10:00:00Z"},
        {"code": "DONE", "at": "2026-11-23T10:00:00Z"},
        {"code": "NEVER SEEN", "text": "Something", "at": "2026-11-23T11:00:00Z"},
    ]));
    let details: Vec<Option<SubStatus>> = events.iter().map(|event| event.sub_status).collect();
    let expected = [
        None,
        Some(SubStatus::ReturningStorageExpired),
        Some(SubStatus::InTransitArrived),
        None,
        None,
    ];
    assert_eq!(details, expected);
    let report = crate::model::answer::alone(&mut events, at(30 * 86_400));
    assert_eq!(
        (report.status, report.direction),
        (Status::Returned, Direction::Return)
    );
    assert_eq!(events[4].status, Status::Unknown);
}

#[test]
fn an_item_that_goes_back_makes_every_event_one_of_the_way_back() {
    let body = json!({"items": [{"number": "N1", "return": true, "events": [
        {"code": "IN", "at": "2026-11-20T10:00:00Z"}, {"code": "DONE", "at": "2026-11-23T10:00:00Z"},
    ]}]});
    let Ok(Verdict::Seen(seen)) = verdict(200, &body) else {
        panic!("is not seen");
    };
    let statuses: Vec<Status> = seen.events.iter().map(|event| event.status).collect();
    assert_eq!(statuses, [Status::Returning, Status::Returned]);
}

#[test]
fn the_status_of_the_whole_counts_where_there_is_no_event() {
    let body = json!({"items": [{"number": "N1", "status": "ready", "statusAt": "2026-11-20", "events": []}]});
    let Ok(Verdict::Seen(seen)) = verdict(200, &body) else {
        panic!("is not seen");
    };
    assert!(seen.events[0].stated);
    assert_eq!(seen.events[0].status, Status::AvailableForPickup);
}

#[test]
fn the_newest_of_several_parts_about_one_number_counts() {
    let part = |number: &str, at: &str, code: &str| json!({"number": number, "statusAt": at, "events": [{"code": code, "at": at}]});
    let body = json!({"items": [
        part("N1", "2026-11-20T10:00:00Z", "IN"), part("N1", "2026-11-22T10:00:00Z", "DONE"), part("N2", "2026-11-23T10:00:00Z", "NO"),
    ]});
    let Ok(Verdict::Seen(seen)) = verdict(200, &body) else {
        panic!("is not seen");
    };
    assert_eq!(seen.events[0].status, Status::Delivered);
    let other = json!({"items": [part("N2", "2026-11-23T10:00:00Z", "NO")]});
    assert_eq!(
        verdict(200, &other),
        Err(CarrierError::Foreign {
            status: 200,
            said: None
        })
        .or(verdict(200, &other))
    );
}

#[test]
fn each_kind_of_failure_is_told_from_the_others() {
    let of = |http, body: Value| verdict(http, &body);
    assert_eq!(of(404, json!({"code": "nf"})), Ok(Verdict::NotFoundYet));
    let reason = "the carrier says: check the number".to_owned();
    assert_eq!(
        of(400, json!({"code": "bad", "text": "check the number"})),
        Ok(Verdict::Invalid { reason })
    );
    let reason = "the carrier says: try later".to_owned();
    assert_eq!(
        of(400, json!({"code": "fail", "text": "try later"})),
        Ok(Verdict::Failed { reason })
    );
    for (http, code) in [
        (429, "x"),
        (200, "quota"),
        (403, "key"),
        (200, "unpaid"),
        (404, "x"),
    ] {
        let error = of(http, json!({"code": code, "text": "k3y and s3cret"})).expect_err(code);
        assert_eq!(error.failure_of(), FailureOf::Account, "{error}");
        assert!(!error.to_string().contains("k3y"), "{error}");
    }
    assert_eq!(
        of(503, json!({})),
        Err(CarrierError::Status { status: 503 })
    );
}

#[test]
fn a_known_event_gets_the_meaning_that_its_record_has_today() {
    let known = Event {
        own: Some((Status::Unknown, None)),
        status: Status::Unknown,
        sub_status: None,
        mapping_version: 1,
        ..events(&json!([{"code": "NO", "reason": "23", "at": "2026-11-21T10:00:00Z"}])).remove(0)
    };
    let reread = made().reread(known);
    assert_eq!(
        reread.own(),
        (Status::Returning, Some(SubStatus::ReturningStorageExpired))
    );
    assert_eq!(reread.mapping_version, 3);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line_and_the_nearest_word() {
    let text = WHOLE
        .replace("IN = \"IN_TRANSIT\"", "IN = \"IN_TRANZIT\"")
        .replace("lang = \"en\"", "lang = \"{nummer}\"")
        .replace("code = \"code\"", "kode = \"code\"")
        .replace("is = \"nf\"", "is = \"nf\", paht = \"x\"")
        .replace("numbers = 1", "numbers = 0")
        .replace("service = [", "servise = [")
        .replace("\"to.city\"", "\"to..city\"")
        .replace("\"MASTER\"", "\"COUSIN\"");
    let mistakes = parse(&text).expect_err("has mistakes").join("\n");
    for told in [
        "map.IN is \"IN_TRANZIT\"",
        "did you mean IN_TRANSIT?",
        "did you mean {number}?",
        "event.kode is not known",
        "item.not_found.paht is not known",
        "did you mean path?",
        "request.numbers is no whole number from 1",
        "facts.servise is not known",
        "did you mean service?",
        "facts.destination is \"to..city\": it has an empty name",
        "facts.numbers.kind is \"COUSIN\": none of RETURN, ORIGINAL, LOCAL, MASTER",
        "carriers.d/whole.toml, line 1",
    ] {
        assert!(mistakes.contains(told), "{told} is not in\n{mistakes}");
    }
    let line = text
        .lines()
        .position(|line| line.contains("IN_TRANZIT"))
        .expect("is there")
        + 1;
    assert!(mistakes.contains(&format!("line {line}\n")), "{mistakes}");
    assert!(parse("name = ").expect_err("is no TOML")[0].contains("line 1"));
    assert!(!parse("").expect_err("is empty").is_empty());
}

#[test]
fn an_address_that_is_not_encrypted_or_holds_a_secret_is_refused_in_a_file() {
    for wrong in ["https://me:k3y@api.example", "https://api.example/?key=k3y"] {
        let mistakes = parse(&WHOLE.replace("https://api.example", wrong)).expect_err(wrong);
        assert!(!mistakes.join("\n").contains("k3y"), "{mistakes:?}");
    }
    let text = WHOLE.replace("https://api.example", "http://api.example");
    let mistakes = parse(&text).expect_err("is refused").join("\n");
    assert!(
        mistakes.contains("neither https nor an address of this machine"),
        "{mistakes}"
    );
    assert!(parse(&WHOLE.replace("https://api.example", "http://localhost:9000")).is_ok());
}

/// The lines of the file with some of them left out, repeated, or replaced by junk.
fn torn(seeds: &[(u16, u8)], junk: &str) -> String {
    let mut lines: Vec<String> = WHOLE.lines().map(str::to_owned).collect();
    for (place, what) in seeds {
        let place = usize::from(*place) % lines.len();
        match what % 4 {
            0 => lines[place] = String::new(),
            1 => lines[place] = junk.to_owned(),
            2 => lines[place] = lines[place].replace('"', junk),
            _ => lines[place] = lines[place].replace(char::is_alphabetic, "7"),
        }
    }
    lines.join("\n")
}

fn asked(number: &str) -> Option<Asked> {
    let carrier = CarrierCode::parse("CDEK").ok()?;
    let number = TrackNumber::parse(number).ok()?;
    Some(Asked::of(carrier, number))
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(
        seeds in proptest::collection::vec(any::<(u16, u8)>(), 0..6),
        junk in "[a-z.\\[\\]{}\"' =,*<-]{0,12}",
        any in any::<String>(),
    ) {
        drop(parse(&any));
        let text = torn(&seeds, &junk);
        if let Ok(file) = parse(&text) {
            let made = Adapter::new(file, true).make(fixture::access("https://api.example/"));
            fixture::survives(&*made, br#"{"items":[{"number":"N1","events":[{"code":"IN","at":"2026-11-20"}]}]}"#.to_vec());
        }
    }

    #[test]
    fn no_answer_of_any_status_makes_a_file_panic(
        body in fixture::json_like(["items", "number", "events", "code", "reason", "at", "deleted", "status", "return", "window", "from", "to", "day", "pieces", "others"].map(str::to_owned).to_vec()),
        http in 100_u16..600,
    ) {
        fixture::survives(&*made(), body.clone());
        let answer = Answer { status: http, body };
        drop(fixture::verdicts(&*made(), &answer, &["N1"]));
    }

    #[test]
    fn no_number_changes_the_host_or_the_path(number in any::<String>()) {
        if let Some(asked) = asked(&number)
            && let Step::Send(request, _) = made().start(&[asked])
        {
            prop_assert!(request.url.host_str() == Some("api.example"));
            prop_assert!(request.url.path().starts_with("/base/v1/"));
            prop_assert!(request.url.path().matches('/').count() == 3);
        }
    }
}

#[test]
fn an_account_logs_in_with_what_its_section_holds_and_without_a_secret_not_at_all() {
    let file = || crate::carriers::adapters::built_in("emulator").expect("is built in");
    let mut access = fixture::access("https://api.example/a");
    let login = file().make(access.clone()).login().expect("logs in");
    assert_eq!(
        login.request.url.as_str(),
        "https://api.example/a/v1/oauth/token"
    );
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let fields = vec![
        field("grant_type", "client_credentials"),
        field("client_id", "us3r"),
        field("client_secret", "s3cret"),
    ];
    assert!(login.request.body == Body::Form(fields) && login.secret == "s3cret");
    let Step::Send(request, _) = fixture::start(&*file().make(access.clone()), &["N1"]) else {
        panic!("nothing is sent");
    };
    assert_eq!(request.auth, Auth::Token);
    access.secret = String::new();
    let made = file().make(access);
    assert!(made.login().is_none());
    let Step::Send(request, _) = fixture::start(&*made, &["N1"]) else {
        panic!("nothing is sent");
    };
    assert_eq!(request.auth, Auth::None);
}

#[test]
fn a_file_that_would_take_any_404_for_an_unknown_number_is_refused() {
    let text = WHOLE.replace(
        "http = [400, 404], path = \"code\", is = \"nf\"",
        "http = 404",
    );
    let mistakes = parse(&text).expect_err("is refused").join("\n");
    assert!(
        mistakes.contains("item.not_found goes by the status alone"),
        "{mistakes}"
    );
}

#[test]
fn what_may_be_empty_stands_only_where_it_can_be_left_out() {
    let text = WHOLE.replace("path = \"/v1/{number}\"", "path = \"/v1/{key?}/{number}\"");
    let mistakes = parse(&text).expect_err("is refused").join("\n");
    assert!(
        mistakes.contains("request.path or xml has a placeholder"),
        "{mistakes}"
    );
}
