//! Administration: seeding, the truth, the ledger, and faults.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::emulator::{Emulator, SeedError};
use crate::faults::Rule;
use crate::http::aggregators;
use crate::http::error::{ApiError, Params, read_json};
use crate::ledger::Ledger;
use crate::pushes::{Pushed, Pushing};
use crate::scenario::{Parcel, Step};
use crate::truth::{Truth, TruthPage};

/// Upper limit of the parcels in one answer.
const TRUTHS_MAX: usize = 10_000;

type Body = Result<Bytes, BytesRejection>;

pub async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

#[derive(Deserialize)]
struct SeedRequest<T> {
    items: Vec<T>,
}

/// `POST /v1/admin/seed-v1`
pub async fn seed_v1(
    State(emulator): State<Emulator>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let seeds: SeedRequest<Parcel> = read_json(body)?;
    seeded(emulator.seed(seeds.items))
}

fn seeded(result: Result<usize, SeedError>) -> Result<Json<Value>, ApiError> {
    match result {
        Ok(count) => Ok(Json(json!({"status": "ok", "count": count}))),
        Err(error) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            error.to_string(),
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AutoParcel {
    code: String,
    #[serde(alias = "step_seconds", default = "step_seconds")]
    step_seconds: u64,
    steps: Vec<AutoStep>,
}

fn step_seconds() -> u64 {
    30
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AutoStep {
    #[serde(alias = "operation_attribute", default)]
    operation_attribute: String,
    #[serde(alias = "operation_type", default)]
    operation_type: String,
    #[serde(alias = "operation_place_postal_code", default)]
    operation_place_postal_code: Option<String>,
    #[serde(alias = "operation_place_name", default)]
    operation_place_name: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

/// `POST /v1/admin/seed`
pub async fn seed(State(emulator): State<Emulator>, body: Body) -> Result<Json<Value>, ApiError> {
    let seeds: SeedRequest<AutoParcel> = read_json(body)?;
    let parcels = seeds.items.into_iter().map(auto_parcel).collect();
    seeded(emulator.seed(parcels))
}

fn auto_parcel(auto: AutoParcel) -> Parcel {
    let steps = auto
        .steps
        .into_iter()
        .map(|step| Step {
            status: "UNKNOWN".to_owned(),
            status_raw: step.operation_attribute,
            location: step.operation_place_name,
            message: Some(step.operation_type),
            repeat: 1,
            late_seconds: 0,
            event_time: None,
            postal_code: step.operation_place_postal_code,
            source: step.source,
        })
        .collect();
    Parcel {
        postal_code: None,
        carrier: aggregators::CARRIER.to_owned(),
        track_number: auto.code,
        step_seconds: auto.step_seconds,
        progress_prob: 0.25,
        steps,
    }
}

/// `POST /v1/admin/reset`
pub async fn reset(State(emulator): State<Emulator>) -> Json<Value> {
    emulator.reset();
    Json(json!({"status": "ok"}))
}

/// `POST /v1/admin/push`: pushes all that a carrier's parcels have had so far, and tells how that was answered.
pub async fn push(State(emulator): State<Emulator>, body: Body) -> Result<Json<Pushed>, ApiError> {
    let pushing: Pushing = read_json(body)?;
    Ok(Json(emulator.push(&pushing).await))
}

/// `GET /v1/admin/ledger`
pub async fn ledger(State(emulator): State<Emulator>) -> Json<Ledger> {
    Json(emulator.ledger())
}

/// `GET /v1/admin/truth/{carrier}/{number}`
pub async fn truth(
    State(emulator): State<Emulator>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Truth>, ApiError> {
    let Path((carrier, number)) = path.map_err(|_| ApiError::bad("the path is unreadable"))?;
    let truth = emulator.truth(&carrier, &number);
    truth.map(Json).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("{carrier} {number} was never seeded or asked for"),
        )
    })
}

/// `GET /v1/admin/truth`
pub async fn truths(
    State(emulator): State<Emulator>,
    uri: Uri,
) -> Result<Json<TruthPage>, ApiError> {
    let params = Params::read(&uri)?;
    let number = |name: &str, default: usize| match params.0.get(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| ApiError::bad(format!("{name} must be a whole number, 0 or more"))),
    };
    let (offset, limit) = (number("offset", 0)?, number("limit", 100)?);
    Ok(Json(emulator.truths(offset, limit.min(TRUTHS_MAX))))
}

/// `GET /v1/admin/faults`
pub async fn faults(State(emulator): State<Emulator>) -> Json<Value> {
    Json(json!({"faults": emulator.faults()}))
}

/// `POST /v1/admin/faults`: switches a fault on; `"fault":"none"` switches off all faults of the carrier.
pub async fn set_fault(
    State(emulator): State<Emulator>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let wanted: Value = read_json(body)?;
    let carrier = wanted["carrier"].as_str().unwrap_or_default().to_owned();
    if carrier.is_empty() {
        return Err(ApiError::bad(
            "carrier must name the carrier whose calls go wrong",
        ));
    }
    if wanted["fault"] == "none" {
        emulator.set_fault(&carrier, None);
    } else {
        let rule: Rule = serde_json::from_value(wanted).map_err(|error| {
            ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("not a fault: {error}"),
            )
        })?;
        rule.check()
            .map_err(|detail| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail))?;
        emulator.set_fault(&carrier, Some(rule));
    }
    Ok(Json(json!({"status": "ok", "faults": emulator.faults()})))
}
