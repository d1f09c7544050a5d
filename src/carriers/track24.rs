//! Track24 (`tracking.json.php`): one number a call, Russian texts, local times without an offset.
//!
//! Format: track24.ru's page on its API, read November 2026; not tried against the live service. What one should know:
//! - `statusRaw` is the operation's attribute, and the message its type where the two differ; where there is no
//!   attribute, `statusRaw` is the type. Both together give the status.
//! - Texts come as strings or as numbers. The whole record is kept as the event's payload.
//! - A number just added has an event of Track24's own (`serviceName`); that one is about no parcel and is left out.
//! - "Nothing known" is an empty list of events, or an error that says so.

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use reqwest::Url;
use serde_json::Value;

use crate::carriers::texts::{Text, observe};
use crate::carriers::{
    Answer, Carrier, CarrierError, Request, State, Step, Verdict, path, reading,
};
use crate::clock::Time;
use crate::model::{CarrierCode, TrackNumber, clean_payload};

/// The edition of the mapping.
const MAPPING_VERSION: i32 = 1;

/// How it writes times.
const TIME_FORMS: &[&str] = &["%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"];

/// The sender of the events that Track24 adds by itself.
const OWN_SERVICE: &str = "track24";

/// Where an error's words are looked for, and parts of those that mean "nothing known", in lower case.
const ERROR_FIELDS: &[&str] = &["message", "error", "msg", "data"];
const NOTHING_KNOWN: &[&str] = &[
    "нет данных",
    "не найден",
    "нет информации",
    "not found",
    "no data",
];

/// An account at Track24.
pub struct Track24 {
    base_url: Url,
    api_key: String,
    domain: String,
    zone: Tz,
}

impl Track24 {
    /// `domain` is the site that the key was given to; `zone` is where its local times are local.
    pub fn new(base_url: Url, api_key: String, domain: String, zone: Tz) -> Self {
        Self {
            base_url,
            api_key,
            domain,
            zone,
        }
    }

    fn verdict(&self, body: &Value) -> Result<Verdict, CarrierError> {
        if body["status"] != "ok" {
            return self.complaint(body);
        }
        let events = match &body["data"]["events"] {
            Value::Array(events) => events.as_slice(),
            Value::Null if body["data"].is_object() => &[],
            _ => return Err(reading::misshapen("it has no list of events")),
        };
        let is_own = |event: &Value| {
            event["serviceName"]
                .as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case(OWN_SERVICE))
        };
        let of_parcel: Vec<&Value> = events.iter().filter(|event| !is_own(event)).collect();
        let texts: Vec<Text> = of_parcel
            .iter()
            .filter_map(|event| self.text(event))
            .collect();
        if texts.is_empty() && !of_parcel.is_empty() {
            return Err(reading::misshapen(
                "none of its events has a time and a text",
            ));
        }
        Ok(observe(texts, MAPPING_VERSION).map_or(Verdict::NotFoundYet, Verdict::Seen))
    }

    /// One event; `None` where it has no readable time or says nothing.
    fn text(&self, event: &Value) -> Option<Text> {
        let time = reading::text(event, "operationDateTime")?;
        let local = TIME_FORMS
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(time.trim(), form).ok())?;
        let attribute = reading::text(event, "operationAttribute")?;
        let kind = reading::text(event, "operationType")?;
        let (raw, message) = reading::raw_and_message(attribute, kind)?;
        Some(Text {
            at: reading::local_time(local, self.zone)?,
            raw,
            message,
            location: reading::place(event, "operationPlacePostalCode", "operationPlaceName")?,
            payload_json: clean_payload(event),
        })
    }

    /// What an answer says that is not "ok".
    fn complaint(&self, body: &Value) -> Result<Verdict, CarrierError> {
        if !body["status"].is_string() {
            return Err(reading::misshapen("it has no status"));
        }
        let said = ERROR_FIELDS
            .iter()
            .find_map(|field| body[field].as_str())
            .unwrap_or_default();
        let lower = said.to_lowercase();
        if NOTHING_KNOWN.iter().any(|part| lower.contains(part)) {
            return Ok(Verdict::NotFoundYet);
        }
        let reason = match reading::words_of_error(said, &self.api_key) {
            Some(words) => format!("the carrier says: {words}"),
            None => "the carrier reports an error without saying which".to_owned(),
        };
        Ok(Verdict::Failed { reason })
    }
}

impl Carrier for Track24 {
    fn name(&self) -> &'static str {
        "track24"
    }

    fn start(&self, carrier: &CarrierCode, numbers: &[TrackNumber]) -> Step {
        let state = State::first(carrier, &numbers[..numbers.len().min(1)]);
        let mut url = path(&self.base_url, &["tracking.json.php"]);
        url.query_pairs_mut()
            .append_pair("apiKey", &self.api_key)
            .append_pair("domain", &self.domain)
            .append_pair("code", numbers.first().map_or("", TrackNumber::as_str));
        Step::Send(Request::get(url), state)
    }

    fn resume(&self, state: State, answer: &Answer, _now: Time) -> Result<Step, CarrierError> {
        let verdict = match answer.status {
            200..=299 => self.verdict(&reading::json(&answer.body)?)?,
            404 => Verdict::NotFoundYet,
            status => return Err(reading::refusal(status)),
        };
        Ok(Step::Done(state.all(&verdict)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use reqwest::Url;

    use super::Track24;
    use crate::carriers::{Answer, Carrier as _, CarrierError, Step, Verdict, fixture};

    fn adapter(zone: chrono_tz::Tz) -> Track24 {
        let base_url = Url::parse("https://api.example/a").expect("an address");
        Track24::new(base_url, "k3y".to_owned(), "shop.example".to_owned(), zone)
    }

    #[test]
    fn recorded_answers_are_read_as_expected() {
        fixture::check("track24", |given| Box::new(adapter(given.zone)));
    }

    #[test]
    fn a_number_is_asked_for_whatever_it_holds() {
        let Step::Send(request, _) = fixture::start(&adapter(chrono_tz::UTC), &["№ 1/2&apiKey=x"])
        else {
            panic!("nothing is sent");
        };
        assert_eq!(
            request.url.as_str(),
            "https://api.example/a/tracking.json.php?apiKey=k3y&domain=shop.example&code=%E2%84%96+1%2F2%26apiKey%3Dx"
        );
    }

    #[test]
    fn an_error_is_told_in_the_carriers_words_but_never_with_the_key() {
        let told = |body: &str| {
            let answer = Answer {
                status: 200,
                body: body.as_bytes().to_vec(),
            };
            let adapter = adapter(chrono_tz::UTC);
            fixture::verdicts(&adapter, &answer, &["N1"]).expect("is an answer")[0].clone()
        };
        let failed = |reason: &str| Verdict::Failed {
            reason: reason.to_owned(),
        };
        assert_eq!(
            told(r#"{"status":"error","message":"Лимит\nисчерпан"}"#),
            failed("the carrier says: Лимит исчерпан")
        );
        let silent = failed("the carrier reports an error without saying which");
        assert_eq!(
            told(r#"{"status":"error","message":"wrong key k3y"}"#),
            silent
        );
        assert_eq!(
            told(&format!(
                r#"{{"status":"error","message":"{}"}}"#,
                "x".repeat(201)
            )),
            silent
        );
        assert_eq!(
            told(r#"{"status":"error","message":"Трек-код не найден"}"#),
            Verdict::NotFoundYet
        );
    }

    #[test]
    fn a_refusal_is_no_parcel() {
        let error = |status| {
            let answer = Answer {
                status,
                body: Vec::new(),
            };
            fixture::verdicts(&adapter(chrono_tz::UTC), &answer, &["N1"]).expect_err("is a refusal")
        };
        assert_eq!(error(403), CarrierError::Unauthorized { status: 403 });
        assert_eq!(error(500), CarrierError::Status { status: 500 });
        assert!(matches!(
            error(429),
            CarrierError::RateLimited { status: 429, .. }
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            fixture::survives(&adapter(chrono_tz::Tz::Europe__Moscow), body);
        }

        #[test]
        fn no_json_makes_it_panic(body in fixture::json_like(&[
            "status", "data", "events", "message", "operationDateTime", "operationAttribute", "operationType",
            "operationPlacePostalCode", "operationPlaceName", "serviceName",
        ])) {
            fixture::survives(&adapter(chrono_tz::Tz::Europe__Moscow), body);
        }
    }

    #[test]
    fn its_name_is_the_configurations() {
        assert_eq!(adapter(chrono_tz::UTC).name(), "track24");
        assert_eq!(adapter(chrono_tz::UTC).numbers_per_call(), 1);
    }
}
