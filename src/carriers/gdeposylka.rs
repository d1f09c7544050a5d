//! gdeposylka (API v4, as the emulator speaks it): one number a call, Russian texts.
//!
//! Format: the emulator's own, after gdeposylka.ru's page on its API v4, read November 2026; the live service takes its
//! token in a header and asks for the carrier's name first, so this adapter is for the emulator and what is shaped like
//! it. The live service's answers (`result`, `data.checkpoints`) are read too, for a gateway that asks for them. The service's terms forbid use by services whose main purpose is tracking parcels: it is never a default, and
//! enabling it requires the service's permission.
//!
//! `statusRaw` is the checkpoint's status, and the message its message if the two differ; if there is no status,
//! `statusRaw` is the message. A time without an offset is local.

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

const PATH: &[&str] = &["gdeposylka", "api", "v4", "track"];

/// The fields of a checkpoint with its status and its message.
const EMULATED: [&str; 2] = ["status", "message"];

/// The live service's, as public clients read them (read November 2026). No client shows how it names the place.
const LIVE: [&str; 2] = ["status_name", "status_raw"];

/// The numbers that the live service gives for a parcel: the one that was asked for, and what it was changed to.
const LIVE_NUMBERS: [&str; 3] = [
    "tracking_number",
    "tracking_number_secondary",
    "tracking_number_current",
];

/// gdeposylka, as the configuration names it.
pub const ADAPTER: Adapter = Adapter {
    name: Gdeposylka::NAME,
    needs: &["api_key"],
    path: PATH,
    make: |access| Arc::new(Gdeposylka(access)),
};

/// An account at gdeposylka.
struct Gdeposylka(Access);

impl OneNumber for Gdeposylka {
    const NAME: &'static str = "gdeposylka";
    const ERROR_FIELDS: &'static [&'static str] = &["error", "messages", "message", "detail"];

    fn key(&self) -> &str {
        &self.0.api_key
    }

    fn url(&self, number: &str) -> Url {
        let mut url = path(&self.0.base_url, PATH);
        url.query_pairs_mut()
            .append_pair("token", &self.0.api_key)
            .append_pair("track", number);
        url
    }

    fn is_unknown(said: &str) -> bool {
        // The emulator's words, then an aggregator's.
        said == "not found" || said.ends_with(" is not known") || says_unknown_number(said)
    }

    fn named_numbers(body: &Value) -> Vec<&Value> {
        let data = &body["data"];
        let in_data = LIVE_NUMBERS.iter().map(|field| &data[*field]);
        [&body["track"]].into_iter().chain(in_data).collect()
    }

    fn verdict(&self, body: &Value) -> Result<Verdict, CarrierError> {
        let said = said(body, Self::ERROR_FIELDS);
        if body["result"] == "error" || body["status"] == "error" {
            return complaint(said.unwrap_or_default(), self.key(), Self::is_unknown);
        }
        let checkpoints = body.get("checkpoints");
        let checkpoints = checkpoints.or_else(|| body["data"].get("checkpoints"));
        let Some(checkpoints) = checkpoints.and_then(reading::list) else {
            let is_own = body["result"].is_string() || body["status"].is_string();
            return match said.filter(|_| is_own) {
                Some(said) => complaint(said, self.key(), Self::is_unknown),
                None => Err(not_in_form(
                    body,
                    self.key(),
                    "it has no list of checkpoints",
                )),
            };
        };
        let read = |checkpoint: &Value| self.text(checkpoint);
        texts::verdict(&checkpoints, self.key(), MAPPING_VERSION, None, read)
    }

    fn reread(&self, event: Event) -> Event {
        texts::reread(event, None, MAPPING_VERSION)
    }
}

impl Gdeposylka {
    /// One checkpoint, or why it cannot be read.
    fn text(&self, checkpoint: &Value) -> Result<(When, DatedText), String> {
        let when = when(&checkpoint["time"], self.0.zone)?;
        let is_live = checkpoint.get(LIVE[0]).is_some();
        let [status, message] = if is_live { LIVE } else { EMULATED };
        let status = reading::main_text(checkpoint, status)?;
        let message = reading::text(checkpoint, message);
        let (raw, message) = reading::raw_and_message(status, message)?;
        let text = DatedText {
            raw,
            message,
            location: reading::place(checkpoint, "postal_code", "location"),
            payload_json: clean_payload(checkpoint),
            hint: None,
        };
        Ok((when, text))
    }
}

#[cfg(test)]
mod tests {
    use crate::carriers::{CarrierError, Step, Verdict, fixture, gdeposylka};

    fn said(body: &str) -> Result<Verdict, CarrierError> {
        let adapter = fixture::adapter(&gdeposylka::ADAPTER, "https://api.example/");
        Ok(fixture::verdicts(&*adapter, &fixture::ok(body), &["N1"])?.remove(0))
    }

    #[test]
    fn a_number_is_escaped_in_the_query() {
        let adapter = fixture::adapter(&gdeposylka::ADAPTER, "https://api.example/");
        let Step::Send(request, _) = fixture::start(&*adapter, &["../a?b&token=x"]) else {
            panic!("nothing is sent");
        };
        assert_eq!(
            request.url.as_str(),
            "https://api.example/gdeposylka/api/v4/track?token=k3y&track=..%2Fa%3Fb%26token%3Dx"
        );
    }

    #[test]
    fn an_error_never_repeats_the_token() {
        let failed = Verdict::Failed {
            reason: "the carrier says: too many numbers".to_owned(),
        };
        assert_eq!(
            said(r#"{"result":"error","error":"too many numbers"}"#),
            Ok(failed)
        );
        let error =
            said(r#"{"result":"error","error":"bad token k3y"}"#).expect_err("is unreadable");
        assert!(!error.to_string().contains("k3y"), "{error}");
    }
}
