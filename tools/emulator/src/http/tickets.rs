//! Tickets: numbers that are taken now and answered later.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::http::deliver::deliver;
use crate::http::error::ApiError;
use crate::http::v1::{self, Batch};
use crate::options::Behaviour;
use crate::tickets::{Counts, NUMBERS_MAX};

/// `POST /v1/tracking/tickets`: one call in the ledger.
pub async fn take(
    State(emulator): State<Emulator>,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if !emulator.behaves(Behaviour::Ticket) {
        return ApiError::new(StatusCode::NOT_FOUND, "started without --behave ticket")
            .into_response();
    }
    let (batch, carrier) = match Batch::read(body, NUMBERS_MAX) {
        Ok(read) => read,
        Err(error) => return error.into_response(),
    };
    let numbers = batch.numbers();
    deliver(&emulator, &carrier, &numbers, &uri, |_| {
        let (wait, now) = (emulator.ticket_wait(), emulator.now());
        let ticket = emulator.tickets().give(&carrier, &numbers, wait, now);
        Ok(json!({"ticket": ticket}))
    })
    .await
}

/// `GET /v1/tracking/tickets/{ticket}`: one call in the ledger.
pub async fn answer(
    State(emulator): State<Emulator>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    let Ok(Path(ticket)) = path else {
        return ApiError::bad("the path is unreadable").into_response();
    };
    let now = emulator.now();
    let Some(given) = emulator.tickets().get(&ticket, now) else {
        let detail = format!("no ticket {ticket} is known");
        return ApiError::new(StatusCode::NOT_FOUND, detail).into_response();
    };
    let numbers: Vec<&str> = given.numbers.iter().map(String::as_str).collect();
    deliver(&emulator, &given.carrier, &numbers, &uri, |faults| {
        let results =
            |carrier: &str, number: &String| v1::answer(&emulator, carrier, number, None, faults);
        let answered = emulator.tickets().answer(&ticket, now, |given| {
            let numbers = given.numbers.iter();
            let results: Vec<Value> = numbers.map(|it| results(&given.carrier, it)).collect();
            json!({"ready": true, "results": results})
        });
        Ok(answered.unwrap_or_else(|| json!({"ready": false})))
    })
    .await
}

/// `GET /v1/admin/tickets`
pub async fn counts(State(emulator): State<Emulator>) -> Json<Counts> {
    Json(emulator.tickets().counts())
}
