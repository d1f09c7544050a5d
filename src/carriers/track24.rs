//! Track24 (`tracking.json.php`): one number a call, texts in Russian, local times without an offset.
//!
//! Format: api.track24.ru, as its public documentation shows it (read November 2026). `statusRaw` is the operation's
//! attribute, or its type where that is empty; the message is the type where the two differ.

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::carriers::texts::{Text, from_local, observe};
use crate::carriers::{
    Answer, Carrier, CarrierError, Method, Request, State, Step, Verdict, path, unreadable,
};
use crate::clock::Time;
use crate::model::{CarrierCode, TrackNumber, clean_text};

/// The edition of the mapping.
const MAPPING_VERSION: i32 = 1;

/// How its dates are written.
const DATE: &str = "%d.%m.%Y %H:%M:%S";

/// An account at Track24.
pub struct Track24 {
    base_url: Url,
    api_key: String,
    domain: String,
    zone: Tz,
}

#[derive(Deserialize)]
struct Body {
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    message: Option<String>,
}

impl Track24 {
    /// `zone` is where its local times are local.
    pub fn new(base_url: Url, api_key: String, domain: String, zone: Tz) -> Self {
        Self {
            base_url,
            api_key,
            domain,
            zone,
        }
    }

    fn text(&self, event: &Value) -> Option<Text> {
        // Texts come as strings or as numbers.
        let field = |name: &str| match &event[name] {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let local = NaiveDateTime::parse_from_str(&field("operationDateTime"), DATE).ok()?;
        let (attribute, kind) = (field("operationAttribute"), field("operationType"));
        let raw = if attribute.is_empty() {
            kind.clone()
        } else {
            attribute
        };
        let place = [
            field("operationPlacePostalCode"),
            field("operationPlaceName"),
        ];
        Some(Text {
            at: from_local(local, self.zone),
            message: if kind == raw { String::new() } else { kind },
            raw,
            location: place.join(" ").trim().to_owned(),
            payload: event.clone(),
        })
    }
}

impl Carrier for Track24 {
    fn name(&self) -> &'static str {
        "track24"
    }

    fn start(&self, carrier: &CarrierCode, numbers: &[TrackNumber]) -> Step {
        let mut url = path(&self.base_url, &["tracking.json.php"]);
        url.query_pairs_mut()
            .append_pair("apiKey", &self.api_key)
            .append_pair("domain", &self.domain)
            .append_pair("code", numbers.first().map_or("", TrackNumber::as_str));
        let request = Request {
            method: Method::Get,
            url,
            headers: Vec::new(),
            json: None,
        };
        let state = State {
            carrier: carrier.clone(),
            numbers: numbers.to_vec(),
            stage: 0,
        };
        Step::Send(request, state)
    }

    fn resume(&self, state: State, answer: &Answer, _now: Time) -> Result<Step, CarrierError> {
        match answer.status {
            200 => {}
            401 | 403 => {
                return Err(CarrierError::Unauthorized {
                    status: answer.status,
                });
            }
            status => return Err(CarrierError::Status { status }),
        }
        let body: Body =
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error))?;
        let verdict = if body.status == "ok" {
            let events = body.data["events"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            observe(
                events.iter().filter_map(|event| self.text(event)).collect(),
                MAPPING_VERSION,
            )
        } else {
            let says: String = clean_text(body.message.as_deref().unwrap_or(&body.status))
                .chars()
                .take(200)
                .collect();
            Verdict::Failed {
                reason: format!("the carrier says: {says}"),
            }
        };
        Ok(Step::Done(state.all(&verdict)))
    }
}
