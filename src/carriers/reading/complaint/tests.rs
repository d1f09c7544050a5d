use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use super::{complaint, not_in_form, refused, said, says_unknown_number, words_of_error};
use crate::carriers::reading;
use crate::carriers::{Answer, CarrierError, FailureOf, Verdict, fixture};

fn of_account(said: &str) -> Option<&'static str> {
    match complaint(said, "k3y", says_unknown_number) {
        Err(error) => {
            assert_eq!(error.failure_of(), FailureOf::Account, "{said}");
            assert!(error.to_string().ends_with(said), "{error}");
            Some(error.into())
        }
        Ok(_) => None,
    }
}

#[test]
fn words_about_the_account_or_its_address_are_the_accounts() {
    for (kind, words) in [
        (
            "used_up",
            &[
                "Превышен лимит запросов за сутки",
                "Лимит исчерпан",
                "Слишком много запросов",
                "TooManyRequests",
                "Daily request limit exceeded",
                "Monthly quota is spent",
            ][..],
        ),
        (
            "key_refused",
            &[
                "apiKey not found",
                "Invalid apiKey",
                "Неверный apiKey",
                "API key is missing",
                "Ключ не найден",
                "Ваш ключ заблокирован",
                "Домен не найден",
                "Domain is not registered",
                "Неверный токен",
                "InvalidToken",
                "Missing Authentication Token",
                "Ошибка: домен не зарегистрирован для этого ключа",
            ],
        ),
        (
            "not_served",
            &[
                "Тариф не оплачен",
                "Нет данных об оплате тарифа",
                "Срок действия подписки истёк",
                "Your subscription has expired",
                "User not found",
                "Пользователь не найден",
                "Нет данных о пользователе",
                "Аккаунт заблокирован",
                "Account suspended",
                "IP не разрешен",
                "Your IP is not allowed",
                "Доступ запрещен",
                "Доступ запрещён",
                "Access denied",
                "Forbidden",
                "Payment required",
                "Недостаточно средств на балансе",
            ],
        ),
        (
            "foreign",
            &[
                "no Route matched with those values",
                "Not Found",
                "Page not found",
                "Метод не найден",
                "Cannot GET /v1",
            ],
        ),
    ] {
        for said in words {
            assert_eq!(of_account(said), Some(kind), "{said}");
        }
    }
}

#[test]
fn only_words_about_a_number_say_that_it_is_not_known() {
    for said in [
        "Трек-код не найден",
        "Трек код N1 не найден",
        "Нет данных по данному трек-коду",
        "нет данных по коду",
        "Информация об отправлении не найдена",
        "no data about track N1",
        "Tracking number not found",
        "No information about this shipment",
    ] {
        assert_eq!(
            complaint(said, "", says_unknown_number),
            Ok(Verdict::NotFoundYet),
            "{said}"
        );
    }
}

#[test]
fn other_words_fail_one_number_in_the_carriers_words() {
    for said in [
        "Неверный трек-код",
        "Доступ к информации о посылке ограничен",
        "Нет данных",
        "No data",
        "Ошибка сервиса",
        "Неизвестная ошибка при обработке трек-кода",
        "monkey business",
    ] {
        let failed = Verdict::Failed {
            reason: format!("the carrier says: {said}"),
        };
        assert_eq!(
            complaint(said, "", says_unknown_number),
            Ok(failed),
            "{said}"
        );
    }
}

#[test]
fn an_answer_in_no_carriers_form_is_a_gateways_if_it_has_words_of_an_error() {
    for (body, said) in [
        (json!({"message": "no Route matched"}), "no Route matched"),
        (
            json!({"error": "Not Found", "path": "/v1", "status": 404}),
            "Not Found",
        ),
        (json!({"error": {"code": 5, "message": "down"}}), "down"),
        (json!({"errors": ["down"]}), "down"),
        (json!("down"), "down"),
    ] {
        let expected = CarrierError::Foreign {
            status: 200,
            said: Some(said.to_owned()),
        };
        assert_eq!(not_in_form(&body, "", "it has no status"), expected);
    }
    let error = not_in_form(&json!({"data": 1}), "", "it has no status");
    assert_eq!(error.failure_of(), FailureOf::Number);
}

fn of_status(status: u16, body: &str) -> Result<Verdict, CarrierError> {
    let answer = Answer {
        status,
        body: body.as_bytes().to_vec(),
    };
    let body = reading::json(&answer, "k3y");
    refused(
        status,
        &body,
        body.as_ref().ok().and_then(|body| said(body, &["message"])),
        "k3y",
        says_unknown_number,
    )
}

#[test]
fn a_404_is_not_found_in_the_carriers_words_alone() {
    let unknown = r#"{"message":"Трек-код не найден"}"#;
    for status in [400, 404, 410, 422] {
        assert_eq!(of_status(status, unknown), Ok(Verdict::NotFoundYet));
    }
    for body in [
        "",
        "<html><head><title>404 Not Found</title></head></html>",
        r#"{"message":"no Route matched with those values"}"#,
        r#"{"message":"Not Found"}"#,
        r#"{"message":"there is no /tracking/N1"}"#,
        r#"{"message":"apiKey not found"}"#,
        r#"{"error":"Трек-код не найден"}"#,
        "[]",
    ] {
        let error = of_status(404, body).expect_err(body);
        assert_eq!(error.failure_of(), FailureOf::Account, "{body}: {error}");
    }
    let error = of_status(404, r#"{"message":"this parcel was deleted"}"#).expect_err("fails");
    assert_eq!(error.failure_of(), FailureOf::Number);
    let error = of_status(410, r#"{"message":"gone"}"#).expect_err("fails");
    assert_eq!(error.failure_of(), FailureOf::Number);
}

#[test]
fn a_page_is_told_by_its_title() {
    let adapter = fixture::adapter("track24", "https://api.example/");
    let told = |status, body: &str| {
        let answer = Answer {
            status,
            body: body.as_bytes().to_vec(),
        };
        let error = fixture::verdicts(&*adapter, &answer, &["N1"]).expect_err("is no answer");
        (error.failure_of(), error.to_string())
    };
    let page = "<!DOCTYPE html>\n<HTML><Title>\nJust a moment...</TITLE><body>k3y</body>";
    for status in [200, 404] {
        let (of, said) = told(status, page);
        assert_eq!(of, FailureOf::Account);
        let end = "but not in its own form: a page instead of JSON, Just a moment...";
        assert_eq!(said, format!("the carrier answered {status}, {end}"));
    }
    let (of, said) = told(200, "<html><title>k3y</title>");
    assert_eq!((of, said.contains("k3y")), (FailureOf::Account, false));
    assert_eq!(told(502, page).0, FailureOf::Call);
    assert_eq!(told(200, "Access denied").0, FailureOf::Account);
    for broken in [
        "",
        "Bad code",
        "{\"status\":\"ok\",\"data\":{\"eve",
        "<br />\n<b>Warning</b>: …\n{}",
    ] {
        assert_eq!(told(200, broken).0, FailureOf::Number, "{broken}");
    }
}

#[test]
fn an_answer_without_events_that_complains_is_no_unknown_number() {
    for (adapter, body) in [
        (
            "track24",
            json!({"status": "ok", "data": [], "message": "Лимит исчерпан"}),
        ),
        (
            "track24",
            json!({"status": "ok", "data": {"error": "Домен не найден"}}),
        ),
        (
            "gdeposylka",
            json!({"result": "error", "data": {"checkpoints": []}, "messages": ["Неверный токен"]}),
        ),
        (
            "gdeposylka",
            json!({"status": "ok", "checkpoints": [], "error": "bad token"}),
        ),
        (
            "emulator",
            json!({"status": "error", "detail": "wrong key"}),
        ),
        (
            "emulator",
            json!({"status": "error", "message": "Invalid API key"}),
        ),
    ] {
        let made = fixture::adapter(adapter, "https://api.example/");
        let answer = fixture::ok(&body.to_string());
        let error = fixture::verdicts(&*made, &answer, &["N1"]).expect_err("is the account's");
        assert_eq!(error.failure_of(), FailureOf::Account, "{body}");
    }
}

#[test]
fn plain_words_of_a_refusal_are_told() {
    let error = of_status(400, "Access denied\n").expect_err("is refused");
    let said = "the carrier does not serve our account: Access denied";
    assert_eq!(error.to_string(), said);
    let error = of_status(404, "404 page not found\n").expect_err("is refused");
    let said = "the carrier answered 404, but not in its own form: 404 page not found";
    assert_eq!(error.to_string(), said);
}

#[test]
fn a_refusal_of_credentials_has_the_carriers_words() {
    let error = of_status(403, r#"{"message":"not for you"}"#).expect_err("is refused");
    let said = "the carrier refused our credentials: it answered 403: not for you";
    assert_eq!(error.to_string(), said);
}

#[test]
fn an_error_message_is_one_short_line_without_the_key() {
    assert_eq!(
        words_of_error(" no\n such\u{0} code ", "k3y").as_deref(),
        Some("no such code")
    );
    assert_eq!(words_of_error("bad apiKey=k3y", "k3y"), None);
    assert_eq!(words_of_error("bad ?apiKey=k%26y", "k&y"), None);
    assert_eq!(words_of_error(&"x".repeat(201), ""), None);
    assert_eq!(words_of_error(" \n", ""), None);
}

proptest! {
    #[test]
    fn any_words_are_of_a_number_or_of_the_account(said in ".{0,60}", status in any::<u16>(), value in any::<String>()) {
        drop(complaint(&said, "k", says_unknown_number));
        drop(of_status(status, &json!({"message": said}).to_string()));
        drop(of_status(status, &value));
        drop(not_in_form(&Value::String(value), "k", "it has no status"));
    }
}
