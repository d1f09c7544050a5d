//! Two aggregators, Track24 and gdeposylka. Their parcels belong to the carrier `AUTO`.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::http::deliver::deliver;
use crate::http::error::{ApiError, Params};
use crate::moving::ReportedEvent;

/// The carrier code of the aggregators' parcels, in seeds and truth.
pub const CARRIER: &str = "AUTO";

/// `GET /tracking.json.php`
pub async fn track24(State(emulator): State<Emulator>, uri: Uri) -> Response {
    let code = match track24_code(&uri) {
        Ok(code) => code,
        Err(error) => return error.into_response(),
    };
    let asked = emulator.clone();
    deliver(&emulator, "TRACK24", &[&code], &uri, |faults| {
        let report = asked.ask(CARRIER, &code, faults);
        let events: Vec<Value> = report.events.iter().map(track24_event).collect();
        Ok(json!({"status": "ok", "data": {"trackCode": code, "events": events}}))
    })
    .await
}

fn track24_code(uri: &Uri) -> Result<String, ApiError> {
    let params = Params::read(uri)?;
    params.required("apiKey")?;
    params.required("domain")?;
    Ok(params.required("code")?.to_owned())
}

fn track24_event(reported: &ReportedEvent) -> Value {
    json!({
            "id": reported.
    number,
            "operationDateTime": reported.
    event.event_time.format("%d.%m.%Y %H:%M:%S").to_string(),
            "operationAttribute": reported.
    event.status_raw,
            "operationType": reported.
    event.message,
            "operationPlaceName": reported.
    event.location,
            "operationPlacePostalCode": reported.
    step.postal_code.clone().unwrap_or_default(),
            "itemWeight": "",
            "source": reported.
    step.source.clone().unwrap_or_else(|| "emulator".to_owned()),
        })
}

/// `GET /gdeposylka/api/v4/track`
pub async fn gdeposylka(State(emulator): State<Emulator>, uri: Uri) -> Response {
    let track = match gdeposylka_track(&uri) {
        Ok(track) => track,
        Err(error) => return error.into_response(),
    };
    let asked = emulator.clone();
    deliver(&emulator, "GDEPOSYLKA", &[&track], &uri, |faults| {
        if !asked.knows(CARRIER, &track) {
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                format!("{track} is not known"),
            ));
        }
        let report = asked.ask(CARRIER, &track, faults);
        let checkpoints: Vec<Value> = report.events.iter().map(checkpoint).collect();
        Ok(json!({"status": "ok", "track": track, "checkpoints": checkpoints}))
    })
    .await
}

fn gdeposylka_track(uri: &Uri) -> Result<String, ApiError> {
    let params = Params::read(uri)?;
    params.required("token")?;
    Ok(params.required("track")?.to_owned())
}

fn checkpoint(reported: &ReportedEvent) -> Value {
    json!({
            "time": reported.
    event.event_time,
            "status": reported.
    event.status_raw,
            "message": reported.
    event.message,
            "location": reported.
    event.location,
            "postal_code": reported.
    step.postal_code.clone().unwrap_or_default(),
            "source": reported.
    step.source.clone().unwrap_or_else(|| "emulator".to_owned()),
        })
}
