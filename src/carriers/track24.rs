//! Track24 (`tracking.json.php`): one number a call, Russian texts, local times without an offset.
//!
//! Format: track24.ru's page on its API, read November 2026; not tried against the live service. Particulars:
//! - `statusRaw` is the operation's attribute, and the message its type if the two differ; if there is no attribute,
//!   `statusRaw` is the type. Both together give the status.
//! - Texts come as strings or as numbers. The whole record is kept as the event's payload.
//! - `trackCode` is the number that the answer is about; `trackCodeModified` names the other spelling of one that Track24
//!   changed.
//! - Track24's own notes (`serviceName`, `source`), such as that a number was added, are not about the parcel and are left
//!   out. An event that names neither is told by its words.
//! - Where the words leave something open, Track24's translation of them, the event's `icon` and, for the newest event, the
//!   answer's `deliveredStatus` and `awaitingStatus` tell more.
//! - An unknown number has an empty list of events, or an error that says so.

mod own;

use std::sync::Arc;

use reqwest::Url;
use serde_json::Value;

use crate::carriers::one_number::OneNumber;
use crate::carriers::reading::complaint::{complaint, not_in_form, said, says_unknown_number};
use crate::carriers::reading::time::{When, when};
use crate::carriers::texts::DatedText;
use crate::carriers::{Access, Adapter, CarrierError, Verdict, path, reading, texts};
use crate::model::{Event, clean_payload};

/// The edition of the mapping.
const MAPPING_VERSION: i32 = 2;

const PATH: &[&str] = &["tracking.json.php"];

/// Track24, as the configuration names it.
pub const ADAPTER: Adapter = Adapter {
    name: Track24::NAME,
    needs: &["api_key", "domain"],
    path: PATH,
    make: |access| Arc::new(Track24(access)),
};

/// An account at Track24.
struct Track24(Access);

impl OneNumber for Track24 {
    const NAME: &'static str = "track24";
    const ERROR_FIELDS: &'static [&'static str] = &["message", "error", "msg", "data", "detail"];

    fn key(&self) -> &str {
        &self.0.api_key
    }

    fn url(&self, number: &str) -> Url {
        let mut url = path(&self.0.base_url, PATH);
        url.query_pairs_mut()
            .append_pair("apiKey", &self.0.api_key)
            .append_pair("domain", &self.0.domain)
            .append_pair("code", number);
        url
    }

    fn is_unknown(said: &str) -> bool {
        says_unknown_number(said)
    }

    fn named_numbers(body: &Value) -> Vec<&Value> {
        let data = &body["data"];
        vec![&data["trackCode"], &data["trackCodeModified"]]
    }

    fn verdict(&self, body: &Value) -> Result<Verdict, CarrierError> {
        if body["status"] != "ok" {
            return self.complaint(body);
        }
        let data = &body["data"];
        // PHP writes an object without fields as an empty list.
        let is_object = data.is_object() || data.as_array().is_some_and(Vec::is_empty);
        let events = reading::list(&data["events"]).filter(|_| is_object);
        let Some(mut events) = events else {
            return Err(reading::misshapen("it has no list of events"));
        };
        events.retain(|event| !own::is_note(event));
        let flag = own::flagged(data);
        let read = |event: &Value| self.text(event);
        texts::verdict(&events, self.key(), MAPPING_VERSION, flag, read)
    }

    fn reread(&self, event: Event) -> Event {
        let record = serde_json::from_str(&event.payload_json).unwrap_or_default();
        texts::reread(event, own::hint(&record), MAPPING_VERSION)
    }
}

impl Track24 {
    /// One event, or why it cannot be read.
    fn text(&self, event: &Value) -> Result<(When, DatedText), String> {
        let when = when(&event["operationDateTime"], self.0.zone)?;
        let attribute = reading::main_text(event, "operationAttribute")?;
        let kind = reading::text(event, "operationType");
        let (raw, message) = reading::raw_and_message(attribute, kind)?;
        let text = DatedText {
            raw,
            message,
            location: reading::place(event, "operationPlacePostalCode", "operationPlaceName"),
            payload_json: clean_payload(event),
            hint: own::hint(event),
        };
        Ok((when, text))
    }

    /// Reads an answer whose status is not "ok".
    fn complaint(&self, body: &Value) -> Result<Verdict, CarrierError> {
        if !body["status"].is_string() {
            return Err(not_in_form(body, self.key(), "it has no status"));
        }
        let said = said(body, Self::ERROR_FIELDS).unwrap_or_default();
        complaint(said, self.key(), Self::is_unknown)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::carriers::{Answer, CarrierError, FailureOf, Step, Verdict, fixture, track24};

    #[test]
    fn a_number_is_escaped_in_the_query() {
        let adapter = fixture::adapter(&track24::ADAPTER, "https://api.example/a");
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
            let adapter = fixture::adapter(&track24::ADAPTER, "https://api.example/a");
            fixture::verdicts(&*adapter, &fixture::ok(body), &["N1"]).expect("is an answer")[0]
                .clone()
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
        let adapter = fixture::adapter(&track24::ADAPTER, "https://api.example/a");
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
            let error =
                fixture::verdicts(&*adapter, &answer, &["N1"]).expect_err("is the account's");
            assert_eq!(error.failure_of(), FailureOf::Account);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_refusal_is_no_parcel() {
        let adapter = fixture::adapter(&track24::ADAPTER, "https://api.example/a");
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
}
