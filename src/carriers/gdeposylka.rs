//! gdeposylka (API v4): one number a call, texts in Russian.
//!
//! Format: its API v4 as the emulator speaks it; the public documentation was read November 2026. Its terms forbid
//! services whose main purpose is tracking parcels, so it is no default: who switches it on must have its leave.

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::carriers::texts::{Text, from_local, observe};
use crate::carriers::{
    Answer, Carrier, CarrierError, Method, Request, State, Step, Verdict, path, read_time,
    unreadable,
};
use crate::clock::Time;
use crate::model::{CarrierCode, TrackNumber};

/// The edition of the mapping.
const MAPPING_VERSION: i32 = 1;

/// How its dates are written where they have no offset.
const DATES: &[&str] = &["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];

/// An account at gdeposylka.
pub struct Gdeposylka {
    base_url: Url,
    token: String,
    zone: Tz,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    checkpoints: Vec<Value>,
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

    fn text(&self, checkpoint: &Value) -> Option<Text> {
        let field = |name: &str| match &checkpoint[name] {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let time = field("time");
        let local = || {
            let read = DATES
                .iter()
                .find_map(|form| NaiveDateTime::parse_from_str(&time, form).ok());
            read.map(|local| from_local(local, self.zone))
        };
        let (status, message) = (field("status"), field("message"));
        let place = [field("postal_code"), field("location")];
        Some(Text {
            at: read_time(&time).or_else(local)?,
            message: if message == status {
                String::new()
            } else {
                message
            },
            raw: status,
            location: place.join(" ").trim().to_owned(),
            payload: checkpoint.clone(),
        })
    }
}

impl Carrier for Gdeposylka {
    fn name(&self) -> &'static str {
        "gdeposylka"
    }

    fn start(&self, carrier: &CarrierCode, numbers: &[TrackNumber]) -> Step {
        let mut url = path(&self.base_url, &["gdeposylka", "api", "v4", "track"]);
        url.query_pairs_mut()
            .append_pair("token", &self.token)
            .append_pair("track", numbers.first().map_or("", TrackNumber::as_str));
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
        let verdict = match answer.status {
            200 => {
                let body: Body =
                    serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error))?;
                observe(
                    body.checkpoints
                        .iter()
                        .filter_map(|one| self.text(one))
                        .collect(),
                    MAPPING_VERSION,
                )
            }
            404 => Verdict::NotFoundYet,
            401 | 403 => {
                return Err(CarrierError::Unauthorized {
                    status: answer.status,
                });
            }
            status => return Err(CarrierError::Status { status }),
        };
        Ok(Step::Done(state.all(&verdict)))
    }
}
