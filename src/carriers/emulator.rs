//! The carrier emulator's own API (`tools/emulator`, v1): one number a call, or thirty in its batch call.
//!
//! Its status words are ours, so nothing is mapped; a word that is none of ours is UNKNOWN and kept raw.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::carriers::{
    Answer, Carrier, CarrierError, EVENTS_MAX, Method, Observation, Request, Sighting, State, Step,
    Verdict, path, read_time, unreadable,
};
use crate::clock::Time;
use crate::model::status::{Direction, Status};
use crate::model::{CarrierCode, Event, Report, TrackNumber, clean_payload, clean_text};

/// How many numbers the batch call takes.
const BATCH: usize = 30;

/// The edition of the mapping.
const MAPPING_VERSION: i32 = 1;

/// An account at the emulator.
pub struct Emulator {
    base_url: Url,
    api_key: Option<String>,
    batch: bool,
}

#[derive(Deserialize)]
struct Parcel {
    #[serde(default)]
    status: String,
    #[serde(default)]
    status_raw: String,
    status_at: Option<String>,
    #[serde(default)]
    events: Vec<Value>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct ParcelEvent {
    #[serde(default)]
    status: String,
    #[serde(default)]
    status_raw: String,
    event_time: String,
    location: Option<String>,
    message: Option<String>,
    #[serde(default)]
    payload: Value,
}

#[derive(Deserialize)]
struct Batch {
    results: Vec<Value>,
}

impl Emulator {
    pub fn new(base_url: Url, api_key: Option<String>, batch: bool) -> Self {
        Self {
            base_url,
            api_key,
            batch,
        }
    }
}

impl Carrier for Emulator {
    fn name(&self) -> &'static str {
        if self.batch {
            "emulator-batch"
        } else {
            "emulator"
        }
    }

    fn numbers_per_call(&self) -> usize {
        if self.batch { BATCH } else { 1 }
    }

    fn start(&self, carrier: &CarrierCode, numbers: &[TrackNumber]) -> Step {
        let state = State {
            carrier: carrier.clone(),
            numbers: numbers.to_vec(),
            stage: 0,
        };
        let names = [
            carrier.as_str(),
            numbers.first().map_or("", TrackNumber::as_str),
        ];
        if !self.batch && names.iter().any(|name| matches!(*name, "." | "..")) {
            return Step::Done(state.all(&Verdict::Invalid {
                reason: "an address cannot hold a name of only dots".to_owned(),
            }));
        }
        let (mut url, json) = if self.batch {
            let url = path(&self.base_url, &["v1", "tracking", "batch"]);
            let items: Vec<Value> = numbers
                .iter()
                .map(|number| json!({"carrier": carrier, "trackNumber": number}))
                .collect();
            (url, Some(json!({"items": items})))
        } else {
            (
                path(&self.base_url, &["v1", "tracking", names[0], names[1]]),
                None,
            )
        };
        if let Some(key) = &self.api_key {
            url.query_pairs_mut().append_pair("apiKey", key);
        }
        let request = Request {
            method: if self.batch {
                Method::Post
            } else {
                Method::Get
            },
            url,
            headers: Vec::new(),
            json,
        };
        Step::Send(request, state)
    }

    fn resume(&self, state: State, answer: &Answer, _now: Time) -> Result<Step, CarrierError> {
        match answer.status {
            200 => {}
            404 if !self.batch => {
                return Ok(Step::Done(state.all(&Verdict::NotFoundYet)));
            }
            401 | 403 => {
                return Err(CarrierError::Unauthorized {
                    status: answer.status,
                });
            }
            status => return Err(CarrierError::Status { status }),
        }
        if self.batch {
            let batch: Batch =
                serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error))?;
            return Ok(Step::Done(batch_sightings(state, &batch.results)));
        }
        let parcel: Parcel =
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(&error))?;
        Ok(Step::Done(state.all(&verdict(&parcel))))
    }
}

/// Results belong to the numbers by name; a number without one is left out.
fn batch_sightings(state: State, results: &[Value]) -> Vec<Sighting> {
    state
        .numbers
        .into_iter()
        .filter_map(|number| {
            let result = results
                .iter()
                .find(|result| result["track_number"] == number.as_str())?;
            let verdict = match serde_json::from_value::<Parcel>(result.clone()) {
                Ok(parcel) => verdict(&parcel),
                Err(error) => Verdict::Failed {
                    reason: unreadable(&error).to_string(),
                },
            };
            Some(Sighting { number, verdict })
        })
        .collect()
}

fn verdict(parcel: &Parcel) -> Verdict {
    if let Some(error) = &parcel.error {
        if error == "not found" {
            return Verdict::NotFoundYet;
        }
        return Verdict::Failed {
            reason: format!("the carrier says: {}", clean_text(error)),
        };
    }
    let events: Vec<Event> = parcel
        .events
        .iter()
        .filter_map(event)
        .take(EVENTS_MAX)
        .collect();
    let newest = events.iter().max_by_key(|event| event.event_time);
    let status = Status::parse(&parcel.status).unwrap_or(Status::Unknown);
    let report = Report {
        status,
        sub_status: None,
        direction: direction(status),
        status_raw: clean_text(&parcel.status_raw),
        status_at: parcel.status_at.as_deref().and_then(read_time),
        last_event_code: newest.map(|event| event.status.as_str().to_owned()),
        last_event_at: newest.map(|event| event.event_time),
    };
    Verdict::Seen(Observation {
        report,
        events,
        mapping_version: MAPPING_VERSION,
    })
}

fn direction(status: Status) -> Direction {
    match status {
        Status::Returning | Status::Returned => Direction::Return,
        _ => Direction::Forward,
    }
}

/// One event; `None` where it has no readable time, since then it could not be told from its repetition.
fn event(value: &Value) -> Option<Event> {
    let event: ParcelEvent = serde_json::from_value(value.clone()).ok()?;
    Some(Event {
        status: Status::parse(&event.status).unwrap_or(Status::Unknown),
        sub_status: None,
        status_raw: clean_text(&event.status_raw),
        event_time: read_time(&event.event_time)?,
        location: clean_text(event.location.as_deref().unwrap_or_default()),
        message: clean_text(event.message.as_deref().unwrap_or_default()),
        payload_json: clean_payload(&event.payload),
        mapping_version: MAPPING_VERSION,
    })
}
