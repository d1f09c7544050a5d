//! Track24's file.

use serde_json::{Value, json};

use crate::carriers::{Answer, CarrierError, FailureOf, Step, Verdict, fixture};
use crate::model::status::Status;

/// What an answer with these data says.
fn of_data(data: &Value) -> Result<Verdict, CarrierError> {
    let adapter = fixture::adapter("track24", "https://api.example/a");
    let answer = fixture::ok(&json!({"status": "ok", "data": data}).to_string());
    Ok(fixture::verdicts(&*adapter, &answer, &["N1"])?.remove(0))
}

/// The statuses of the events in such an answer.
fn statuses_of(data: &Value) -> Vec<Status> {
    let Ok(Verdict::Seen(seen)) = of_data(data) else {
        panic!("{data}");
    };
    seen.events.iter().map(|event| event.status).collect()
}

#[test]
fn a_number_is_escaped_in_the_query() {
    let adapter = fixture::adapter("track24", "https://api.example/a");
    assert_eq!(adapter.numbers_per_call(), 1);
    let Step::Send(request, _) = fixture::start(&*adapter, &["№ 1/2&apiKey=x"]) else {
        panic!("nothing is sent");
    };
    assert_eq!(
        request.url.as_str(),
        "https://api.example/a/tracking.json.php?apiKey=k3y&domain=shop.example&code=%E2%84%96+1%2F2%26apiKey%3Dx"
    );
}

#[test]
fn an_error_is_told_in_the_carriers_words_but_never_with_the_key() {
    let said = |body: &str| {
        let adapter = fixture::adapter("track24", "https://api.example/a");
        fixture::verdicts(&*adapter, &fixture::ok(body), &["N1"]).expect("is an answer")[0].clone()
    };
    let failed = |reason: &str| Verdict::Failed {
        reason: reason.to_owned(),
    };
    assert_eq!(
        said(r#"{"status":"error","message":"Ошибка\nсервиса"}"#),
        failed("the carrier says: Ошибка сервиса")
    );
    let silent = failed("the carrier reports an error without saying which");
    assert_eq!(said(r#"{"status":"error","message":"no k3y"}"#), silent);
    assert_eq!(
        said(&format!(
            r#"{{"status":"error","message":"{}"}}"#,
            "x".repeat(201)
        )),
        silent
    );
    assert_eq!(
        said(r#"{"status":"error","message":"Трек-код не найден"}"#),
        Verdict::NotFoundYet
    );
}

#[test]
fn a_used_up_limit_and_a_refused_key_are_the_accounts_and_never_show_the_key() {
    let adapter = fixture::adapter("track24", "https://api.example/a");
    for (message, expected) in [
        (
            "Превышен лимит запросов за сутки",
            "the carrier says that our calls are used up: Превышен лимит запросов за сутки",
        ),
        (
            "Неверный apiKey",
            "the carrier refused our credentials: Неверный apiKey",
        ),
        (
            "wrong key k3y",
            "the carrier refused our credentials: in words not shown here",
        ),
    ] {
        let answer = Answer {
            status: 200,
            body: json!({"status": "error", "message": message})
                .to_string()
                .into_bytes(),
        };
        let error = fixture::verdicts(&*adapter, &answer, &["N1"]).expect_err("is the account's");
        assert_eq!(error.failure_of(), FailureOf::Account);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_refusal_is_no_parcel() {
    let adapter = fixture::adapter("track24", "https://api.example/a");
    let said = |status, body: &str| {
        let answer = Answer {
            status,
            body: body.as_bytes().to_vec(),
        };
        fixture::verdicts(&*adapter, &answer, &["N1"]).expect_err("is a refusal")
    };
    let error = |status| said(status, "");
    assert_eq!(
        error(404),
        CarrierError::Foreign {
            status: 404,
            said: None
        }
    );
    assert_eq!(
        error(400),
        CarrierError::Foreign {
            status: 400,
            said: None
        }
    );
    assert_eq!(
        said(400, r#"{"status":"error","message":"Bad code"}"#),
        CarrierError::Refused {
            status: 400,
            said: "Bad code".to_owned()
        }
    );
    assert_eq!(
        error(403),
        CarrierError::Unauthorized {
            status: 403,
            said: None
        }
    );
    assert_eq!(error(500), CarrierError::Status { status: 500 });
    assert!(matches!(
        error(429),
        CarrierError::RateLimited { status: 429, .. }
    ));
}

#[test]
fn its_own_notes_are_no_events_of_the_parcel() {
    let event = |attribute: &str, kind: &str| json!({"operationDateTime": "20.11.2026 10:00:00", "operationAttribute": attribute, "operationType": kind});
    let is_note = |event: &Value| of_data(&json!({"events": [event]})) == Ok(Verdict::NotFoundYet);
    let note = event(
        "Трек-код внесён в базу Track24 для автоматического мониторинга.",
        "Вероятно, посылка ещё не отправлена.",
    );
    let named = |event: &Value, field: &str, name: &str| {
        let mut event = event.clone();
        event[field] = json!(name);
        event
    };
    let scan = event("Прием", "");
    for own in [
        note.clone(),
        event("", "Вероятно, посылка еще не отправлена."),
        named(&note, "source", ""),
        named(&scan, "serviceName", "Track24"),
        named(&scan, "serviceName", " TRACK24.RU "),
        named(&scan, "source", "track24"),
    ] {
        assert!(is_note(&own), "{own}");
    }
    for others in [
        scan.clone(),
        named(&scan, "source", "rupost"),
        named(&note, "serviceName", "Почта России"),
        json!({"serviceName": 24, "source": []}),
    ] {
        assert!(!is_note(&others), "{others}");
    }
}

#[test]
fn flags_come_as_texts_numbers_and_booleans() {
    let status = |mut data: Value| {
        let newest =
            json!({"operationDateTime": "20.11.2026 10:00:00", "operationAttribute": "妥投"});
        data["events"] = json!([newest]);
        statuses_of(&data)[0]
    };
    for set in [json!("1"), json!(1), json!(true), json!(" 1 ")] {
        let delivered = json!({"deliveredStatus": set, "awaitingStatus": set});
        assert_eq!(status(delivered), Status::Delivered, "{set}");
        let awaiting = json!({"deliveredStatus": "0", "awaitingStatus": set});
        assert_eq!(status(awaiting), Status::AvailableForPickup, "{set}");
    }
    for unset in [json!("0"), json!(0), json!(false), json!(null), json!([])] {
        assert_eq!(
            status(json!({"deliveredStatus": unset})),
            Status::Unknown,
            "{unset}"
        );
    }
}

#[test]
fn a_flag_is_about_the_newest_event_alone_and_never_ends_a_return() {
    let statuses = |events: &[(&str, &str)]| -> Vec<Status> {
        let events: Vec<Value> = events
            .iter()
            .map(|(at, text)| json!({"operationDateTime": at, "operationAttribute": text, "operationType": ""}))
            .collect();
        statuses_of(&json!({"events": events, "deliveredStatus": "1"}))
    };
    let (older, newer) = (
        ("20.11.2026 10:00:00", "妥投"),
        ("21.11.2026 10:00:00", "妥投"),
    );
    let last_only = [Status::Unknown, Status::Delivered];
    assert_eq!(statuses(&[older, newer]), last_only);
    assert_eq!(statuses(&[newer, older]), last_only);
    assert_eq!(
        statuses(&[newer, newer, older]),
        [Status::Unknown, Status::Unknown, Status::Delivered]
    );
    for (text, expected) in [
        ("Сортировка", Status::InTransit),
        ("Отправлено обратно отправителю", Status::Returning),
        ("Возвр. отправление", Status::Unknown),
        ("Не то, что ждали", Status::Unknown),
    ] {
        assert_eq!(
            statuses(&[("20.11.2026 10:00:00", text)]),
            [expected],
            "{text}"
        );
    }
}
