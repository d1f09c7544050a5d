//! The emulator's files.

use std::sync::Arc;

use serde_json::json;

use crate::carriers::adapters::built_in;
use crate::carriers::{
    Answer, Auth, Body, Carrier, CarrierError, FailureOf, Method, Step, Verdict, fixture,
};
use crate::model::answer::alone;
use crate::model::fixture::at;

fn adapter(base_url: &str, batch: bool) -> Arc<dyn Carrier> {
    let name = if batch { "emulator-batch" } else { "emulator" };
    fixture::adapter(name, base_url)
}

fn address(base_url: &str, api_key: &str, number: &str) -> String {
    let mut access = fixture::access(base_url);
    access.api_key = api_key.to_owned();
    let adapter = built_in("emulator").expect("is built in");
    match fixture::start(&*adapter.make(access), &[number]) {
        Step::Send(request, _) => request.url.to_string(),
        Step::Wait(_) | Step::Done(_) => panic!("nothing is sent"),
    }
}

fn said(
    batch: bool,
    status: u16,
    body: &str,
    numbers: &[&str],
) -> Result<Vec<Verdict>, CarrierError> {
    let answer = Answer {
        status,
        body: body.as_bytes().to_vec(),
    };
    fixture::verdicts(&*adapter("http://h", batch), &answer, numbers)
}

#[test]
fn a_base_address_keeps_its_path() {
    for base in ["http://h/a/b", "http://h/a/b/"] {
        assert_eq!(address(base, "", "N1"), "http://h/a/b/v1/tracking/CDEK/N1");
    }
    assert_eq!(
        address("http://h", "k&y", "N1"),
        "http://h/v1/tracking/CDEK/N1?apiKey=k%26y"
    );
}

#[test]
fn with_a_secret_it_logs_in_and_asks_with_its_token() {
    for name in ["emulator", "emulator-batch"] {
        let adapter = built_in(name).expect("is built in");
        let mut access = fixture::access("http://h/a");
        let carrier = adapter.make(access.clone());
        access.secret = String::new();
        let without = adapter.make(access);
        assert!(without.login().is_none());
        let Step::Send(request, _) = fixture::start(&*without, &["N1"]) else {
            panic!("nothing is sent");
        };
        assert_eq!(request.auth, Auth::None);
        let Step::Send(request, _) = fixture::start(&*carrier, &["N1"]) else {
            panic!("nothing is sent");
        };
        assert_eq!(request.auth, Auth::Token);
        let login = carrier.login().expect("logs in");
        assert_eq!(login.request.url.as_str(), "http://h/a/v1/oauth/token");
        assert!(login.counts);
        let answer = fixture::ok(r#"{"access_token":"t","expires_in":60}"#);
        let token = carrier.read_token(&login, &answer, at(0)).expect("a token");
        assert_eq!(token.expose(), "t");
    }
}

#[test]
fn any_number_stays_one_segment() {
    for (number, escaped) in [
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("100%", "100%25"),
        ("%2e%2e", "%252e%252e"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("..\\..", "..%5C.."),
        ("a b", "a%20b"),
        ("№1", "%E2%84%961"),
        ("...", "..."),
    ] {
        assert_eq!(
            address("http://h", "", number),
            format!("http://h/v1/tracking/CDEK/{escaped}")
        );
    }
}

#[test]
fn dots_are_rejected_without_a_call() {
    for number in [".", ".."] {
        let Step::Done(sightings) = fixture::start(&*adapter("http://h", false), &[number]) else {
            panic!("{number} is sent");
        };
        assert!(matches!(sightings[0].verdict, Verdict::Invalid { .. }));
    }
}

#[test]
fn a_batch_is_one_post_of_at_most_thirty() {
    let numbers: Vec<String> = (0..31).map(|n| format!("N{n}")).collect();
    let mut numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    numbers[0] = "..";
    let adapter = adapter("http://h", true);
    assert_eq!(adapter.numbers_per_call(), 30);
    let Step::Send(request, state) = fixture::start(&*adapter, &numbers) else {
        panic!("nothing is sent");
    };
    assert_eq!(request.method, Method::Post);
    assert_eq!(
        request.url.as_str(),
        "http://h/v1/tracking/batch?apiKey=k3y"
    );
    let Body::Json(body) = request.body else {
        panic!("has no JSON");
    };
    assert_eq!(
        body["items"][0],
        json!({"carrier": "CDEK", "trackNumber": ".."})
    );
    assert_eq!(body["items"].as_array().map(Vec::len), Some(30));
    assert_eq!(state.asked.len(), 30);
}

#[test]
fn a_batch_that_is_not_found_is_no_news_of_its_numbers() {
    assert_eq!(
        said(true, 404, "", &["N1"]),
        Err(CarrierError::Foreign {
            status: 404,
            said: None
        })
    );
    assert_eq!(
        said(false, 404, r#"{"detail":"not found"}"#, &["N1"]),
        Ok(vec![Verdict::NotFoundYet])
    );
    for other in [
        r#"{"detail":"Not Found"}"#,
        r#"{"detail":"there is no /v2/tracking/CDEK/N1"}"#,
        r#"{"message":"not found"}"#,
        "<html>404</html>",
    ] {
        let error = said(false, 404, other, &["N1"]).expect_err(other);
        assert_eq!(error.failure_of(), FailureOf::Account, "{other}");
    }
}

#[test]
fn an_unreadable_answer_is_told_by_its_place_without_its_words() {
    let error = said(false, 200, "{\"status\":\n secret", &["N1"]).expect_err("is unreadable");
    assert_eq!(
        error.to_string(),
        "the carrier's answer is unreadable: it is not JSON, line 2 column 2"
    );
    let error = said(false, 200, "{\"status\": 7}", &["N1"]).expect_err("has no status");
    assert_eq!(
        error.to_string(),
        "the carrier's answer is unreadable: it has no status"
    );
}

#[test]
fn an_error_of_a_number_never_repeats_the_key() {
    let body = r#"{"results":[{"track_number":"N1","error":"bad number k3y"}]}"#;
    let failed = Verdict::Failed {
        reason: "the carrier reports an error without saying which".to_owned(),
    };
    assert_eq!(said(true, 200, body, &["N1"]), Ok(vec![failed]));
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_and_the_rest_is_read() {
    let answer = Answer {
        status: 200,
        body: b"{\"status\":\"IN_TRANSIT\",\"status_raw\":\"\xff\\ud800\n\",\"events\":[]}"
            .to_vec(),
    };
    let verdicts = fixture::verdicts(&*adapter("http://h", false), &answer, &["N1"]);
    let verdicts = verdicts.expect("is an answer");
    let Verdict::Seen(seen) = &verdicts[0] else {
        panic!("{verdicts:?}");
    };
    assert_eq!(
        alone(&mut seen.events.clone(), at(0)).status_raw,
        "\u{fffd}\u{fffd}\n"
    );
}

#[test]
fn a_day_without_a_time_stands_after_the_event_before_it_in_the_list() {
    let event = |time: &str, raw: &str| json!({"status": "IN_TRANSIT", "status_raw": raw, "event_time": time});
    let body = json!({"status": "IN_TRANSIT", "events": [
        event("2026-11-19T10:00:00Z", "a"),
        event("2026-11-20T10:00:00Z", "b"),
        event("2026-11-20", "c"),
        event("2026-11-20T00:00:00Z", "d"),
        event("2026-11-21", "e"),
        event("2026-11-20T09:00:00Z", "late"),
    ]});
    let verdicts = said(false, 200, &body.to_string(), &["N1"]).expect("is an answer");
    let Verdict::Seen(seen) = &verdicts[0] else {
        panic!("{verdicts:?}");
    };
    let order: Vec<(&str, bool)> = seen
        .events
        .iter()
        .map(|event| (event.status_raw.as_str(), event.order_at.is_some()))
        .collect();
    assert_eq!(
        order,
        [
            ("a", false),
            ("late", false),
            ("b", false),
            ("c", true),
            ("d", true),
            ("e", false)
        ]
    );
    assert!(seen.events[4].order_at > Some(seen.events[2].event_time));
}

#[test]
fn an_unknown_number_of_a_batch_may_be_told_in_any_case() {
    let body = r#"{"results":[{"track_number":"N1","error":"Not Found"}]}"#;
    assert_eq!(
        said(true, 200, body, &["N1"]),
        Ok(vec![Verdict::NotFoundYet])
    );
}
