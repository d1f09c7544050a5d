//! Two aggregators, Track24 and gdeposylka, over parcels of the carrier `AUTO`.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::http::deliver::deliver;
use crate::http::problem::{Params, Problem};
use crate::moving::ToldEvent;

/// The carrier under which an aggregator's parcels are seeded and judged.
pub const CARRIER: &str = "AUTO";

/// `GET /tracking.json.php`
pub async fn track24(State(emulator): State<Emulator>, uri: Uri) -> Response {
    let code = match track24_code(&uri) {
        Ok(code) => code,
        Err(problem) => return problem.into_response(),
    };
    let asked = emulator.clone();
    deliver(&emulator, "TRACK24", &code, &uri, |faults| {
        let told = asked.ask(CARRIER, &code, faults);
        let events: Vec<Value> = told.events.iter().map(track24_event).collect();
        Ok(json!({"status": "ok", "data": {"trackCode": code, "events": events}}))
    })
    .await
}

fn track24_code(uri: &Uri) -> Result<String, Problem> {
    let params = Params::read(uri)?;
    params.required("apiKey")?;
    params.required("domain")?;
    Ok(params.required("code")?.to_owned())
}

fn track24_event(told: &ToldEvent) -> Value {
    json!({
        "id": told.number,
        "operationDateTime": told.event.event_time.format("%d.%m.%Y %H:%M:%S").to_string(),
        "operationAttribute": told.event.status_raw,
        "operationType": told.event.message,
        "operationPlaceName": told.event.location,
        "operationPlacePostalCode": told.step.postal_code.clone().unwrap_or_default(),
        "itemWeight": "",
        "source": told.step.source.clone().unwrap_or_else(|| "emulator".to_owned()),
    })
}

/// `GET /gdeposylka/api/v4/track`
pub async fn gdeposylka(State(emulator): State<Emulator>, uri: Uri) -> Response {
    let track = match gdeposylka_track(&uri) {
        Ok(track) => track,
        Err(problem) => return problem.into_response(),
    };
    let asked = emulator.clone();
    deliver(&emulator, "GDEPOSYLKA", &track, &uri, |faults| {
        if !asked.knows(CARRIER, &track) {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                format!("{track} is not known"),
            ));
        }
        let told = asked.ask(CARRIER, &track, faults);
        let checkpoints: Vec<Value> = told.events.iter().map(checkpoint).collect();
        Ok(json!({"status": "ok", "track": track, "checkpoints": checkpoints}))
    })
    .await
}

fn gdeposylka_track(uri: &Uri) -> Result<String, Problem> {
    let params = Params::read(uri)?;
    params.required("token")?;
    Ok(params.required("track")?.to_owned())
}

fn checkpoint(told: &ToldEvent) -> Value {
    json!({
        "time": told.event.event_time,
        "status": told.event.status_raw,
        "message": told.event.message,
        "location": told.event.location,
        "postal_code": told.step.postal_code.clone().unwrap_or_default(),
        "source": told.step.source.clone().unwrap_or_else(|| "emulator".to_owned()),
    })
}
