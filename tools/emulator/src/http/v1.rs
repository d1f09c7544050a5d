//! The carriers' own API: one number, or a batch of numbers of one carrier.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::faults::Fault;
use crate::http::deliver::deliver;
use crate::http::error::{ApiError, Params, read_json};
use crate::moving::{Report, ReportedEvent};

/// Upper limit of the numbers in one batch.
const BATCH_MAX: usize = 30;

/// `GET /v1/tracking/{carrier}/{number}`
pub async fn one(
    State(emulator): State<Emulator>,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Response {
    let Ok(Path((carrier, number))) = path else {
        return ApiError::bad("the path is unreadable").into_response();
    };
    let asked = emulator.clone();
    deliver(&emulator, &carrier, &[&number], &uri, |faults| {
        let params = Params::read(&uri)?;
        let postal_code = params.0.get("postalCode").map(String::as_str);
        Ok(answer(&asked, &carrier, &number, postal_code, faults))
    })
    .await
}

/// What is said of a number to a call that names this postal code.
pub fn answer(
    emulator: &Emulator,
    carrier: &str,
    number: &str,
    postal_code: Option<&str>,
    faults: &[Fault],
) -> Value {
    if !emulator.tells(carrier, number, postal_code) {
        return json!({
            "carrier": carrier, "track_number": number, "status": "error", "error": "not found",
        });
    }
    body(carrier, number, &emulator.ask(carrier, number, faults))
}

/// What is said of one parcel, asked for or pushed.
pub fn body(carrier: &str, number: &str, report: &Report) -> Value {
    json!({
        "carrier": carrier,
        "track_number": number,
        "status": report.status,
        "status_raw": report.status_raw,
        "status_at": report.status_at,
        "events": report.events.iter().map(event).collect::<Vec<_>>(),
    })
}

fn event(reported: &ReportedEvent) -> Value {
    json!({
        "status": reported.event.status,
        "status_raw": reported.event.status_raw,
        "event_time": reported.event.event_time,
        "location": reported.event.location,
        "message": reported.event.message,
        "payload": reported.payload(),
    })
}

/// Numbers of one carrier.
#[derive(Deserialize)]
pub struct Batch {
    pub items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    pub carrier: String,
    #[serde(alias = "track_number")]
    pub track_number: String,
    #[serde(default, alias = "postal_code")]
    pub postal_code: Option<String>,
}

impl Batch {
    /// Reads at most `max` numbers, and their carrier.
    pub fn read(
        body: Result<Bytes, BytesRejection>,
        max: usize,
    ) -> Result<(Self, String), ApiError> {
        let batch: Self = read_json(body)?;
        let Some(first) = batch.items.first() else {
            return Err(ApiError::bad("items must not be empty"));
        };
        let refused = |detail| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        if batch.items.len() > max {
            return Err(refused(format!(
                "items must have at most {max} numbers, these are {}",
                batch.items.len()
            )));
        }
        let mut items = batch.items.iter();
        if let Some(place) = items.position(|item| item.carrier != first.carrier) {
            return Err(refused(format!(
                "items[{place}]: all items must have the carrier of the first, {}",
                first.carrier
            )));
        }
        let carrier = first.carrier.clone();
        Ok((batch, carrier))
    }

    pub fn numbers(&self) -> Vec<&str> {
        let items = self.items.iter();
        items.map(|item| item.track_number.as_str()).collect()
    }
}

/// `POST /v1/tracking/batch`: one call in the ledger.
pub async fn batch(
    State(emulator): State<Emulator>,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (batch, carrier) = match Batch::read(body, BATCH_MAX) {
        Ok(read) => read,
        Err(error) => return error.into_response(),
    };
    let asked = emulator.clone();
    deliver(&emulator, &carrier, &batch.numbers(), &uri, |faults| {
        let results: Vec<Value> = batch
            .items
            .iter()
            .map(|item| {
                let postal_code = item.postal_code.as_deref();
                answer(
                    &asked,
                    &item.carrier,
                    &item.track_number,
                    postal_code,
                    faults,
                )
            })
            .collect();
        Ok(json!({"results": results}))
    })
    .await
}
