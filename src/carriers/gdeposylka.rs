//! gdeposylka (API v4, as the emulator speaks it): one number a call, Russian texts.
//!
//! Format: the emulator's own, after gdeposylka.ru's page on its API v4, read November 2026; the live service takes its
//! token in a header and asks for the carrier's name first, so this adapter is for the emulator and what is shaped like
//! it. The service's terms forbid use by services whose main purpose is tracking parcels: it is never a default, and who
//! switches it on must have its leave.
//!
//! `statusRaw` is the checkpoint's status, and the message its message where the two differ; where there is no status,
//! `statusRaw` is the message. A time without an offset is local.

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

/// How times without an offset are written.
const LOCAL_FORMS: &[&str] = &[
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
];

/// An account at gdeposylka.
pub struct Gdeposylka {
    base_url: Url,
    token: String,
    zone: Tz,
}

impl Gdeposylka {
    /// `zone` is where times without an offset are local.
    pub fn new(base_url: Url, token: String, zone: Tz) -> Self {
        Self {
            base_url,
            token,
            zone,
        }
    }

    fn verdict(&self, body: &Value) -> Result<Verdict, CarrierError> {
        let Value::Array(checkpoints) = &body["checkpoints"] else {
            return self.complaint(body);
        };
        let texts: Vec<Text> = checkpoints
            .iter()
            .filter_map(|checkpoint| self.text(checkpoint))
            .collect();
        if texts.is_empty() && !checkpoints.is_empty() {
            return Err(reading::misshapen(
                "none of its checkpoints has a time and a text",
            ));
        }
        Ok(observe(texts, MAPPING_VERSION).map_or(Verdict::NotFoundYet, Verdict::Seen))
    }

    /// What an answer without checkpoints says: that it failed, or nothing we understand.
    fn complaint(&self, body: &Value) -> Result<Verdict, CarrierError> {
        let said = body["error"]
            .as_str()
            .and_then(|text| reading::words_of_error(text, &self.token));
        let words = said.ok_or_else(|| reading::misshapen("it has no list of checkpoints"))?;
        Ok(Verdict::Failed {
            reason: format!("the carrier says: {words}"),
        })
    }

    /// One checkpoint; `None` where it has no readable time or says nothing.
    fn text(&self, checkpoint: &Value) -> Option<Text> {
        let time = reading::text(checkpoint, "time")?;
        let status = reading::text(checkpoint, "status")?;
        let message = reading::text(checkpoint, "message")?;
        let (raw, message) = reading::raw_and_message(status, message)?;
        Some(Text {
            at: reading::time(time.trim()).or_else(|| self.local_time(time.trim()))?,
            raw,
            message,
            location: reading::place(checkpoint, "postal_code", "location")?,
            payload_json: clean_payload(checkpoint),
        })
    }

    fn local_time(&self, text: &str) -> Option<Time> {
        let local = LOCAL_FORMS
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
        reading::local_time(local, self.zone)
    }
}

impl Carrier for Gdeposylka {
    fn name(&self) -> &'static str {
        "gdeposylka"
    }

    fn start(&self, carrier: &CarrierCode, numbers: &[TrackNumber]) -> Step {
        let state = State::first(carrier, &numbers[..numbers.len().min(1)]);
        let mut url = path(&self.base_url, &["gdeposylka", "api", "v4", "track"]);
        url.query_pairs_mut()
            .append_pair("token", &self.token)
            .append_pair("track", numbers.first().map_or("", TrackNumber::as_str));
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

    use super::Gdeposylka;
    use crate::carriers::{Answer, CarrierError, Step, Verdict, fixture};

    fn adapter(zone: chrono_tz::Tz) -> Gdeposylka {
        let base_url = Url::parse("https://api.example/").expect("an address");
        Gdeposylka::new(base_url, "t0ken".to_owned(), zone)
    }

    fn told(body: &str) -> Result<Verdict, CarrierError> {
        let answer = Answer {
            status: 200,
            body: body.as_bytes().to_vec(),
        };
        Ok(fixture::verdicts(&adapter(chrono_tz::UTC), &answer, &["N1"])?.remove(0))
    }

    #[test]
    fn recorded_answers_are_read_as_expected() {
        fixture::check("gdeposylka", |given| Box::new(adapter(given.zone)));
    }

    #[test]
    fn a_number_is_asked_for_whatever_it_holds() {
        let Step::Send(request, _) = fixture::start(&adapter(chrono_tz::UTC), &["../a?b&token=x"])
        else {
            panic!("nothing is sent");
        };
        assert_eq!(
            request.url.as_str(),
            "https://api.example/gdeposylka/api/v4/track?token=t0ken&track=..%2Fa%3Fb%26token%3Dx"
        );
    }

    #[test]
    fn an_error_never_repeats_the_token() {
        let failed = Verdict::Failed {
            reason: "the carrier says: too many numbers".to_owned(),
        };
        assert_eq!(
            told(r#"{"result":"error","error":"too many numbers"}"#),
            Ok(failed)
        );
        let error =
            told(r#"{"result":"error","error":"bad token t0ken"}"#).expect_err("is unreadable");
        assert!(!error.to_string().contains("t0ken"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            fixture::survives(&adapter(chrono_tz::Tz::Europe__Berlin), body);
        }

        #[test]
        fn no_json_makes_it_panic(body in fixture::json_like(&[
            "status", "checkpoints", "time", "message", "location", "postal_code", "error",
        ])) {
            fixture::survives(&adapter(chrono_tz::Tz::Europe__Berlin), body);
        }
    }
}
