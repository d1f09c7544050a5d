//! Trackings as the API shows them: what all of its operations on them share.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::ALWAYS;
use crate::model::facts::NumberKind;
use crate::model::owned::View;
use crate::model::parcel::State;
use crate::model::shown::{Fields, Shown};
use crate::model::status::{Direction, Status, SubStatus};
use crate::serving::docs;
use crate::serving::id::HasId;
use crate::serving::operation::Tag;

/// The operations on trackings.
pub const TAG: Tag = Tag {
    name: "trackings",
    description: "The parcels that TrackBox follows: one number at one carrier each.",
    problems: ALWAYS,
};

/// The answer: trackings, in the order of the request. Their JSON is joined, not built.
#[derive(Debug, Default)]
pub struct Trackings {
    json: Vec<u8>,
    /// Further fields of the answer, with a comma before each.
    further: Vec<u8>,
}

impl Trackings {
    /// Adds a tracking under the id that the client knows, with its owner's view and what may be wrong with its item.
    pub fn add(&mut self, id: i64, shown: &Shown, view: &[u8], advice: &[String]) {
        let json = &mut self.json;
        let before = if json.is_empty() { START } else { "," };
        json.extend_from_slice(before.as_bytes());
        open(json, id, shown, view);
        if !advice.is_empty() {
            json.extend_from_slice(format!(r#","advice":{}"#, json!(advice)).as_bytes());
        }
        json.push(b'}');
    }

    /// With a further field.
    pub fn with_field(mut self, name: &str, value: &impl Serialize) -> Self {
        self.further
            .extend_from_slice(format!(r#","{name}":"#).as_bytes());
        // Texts and numbers always serialize.
        self.further
            .extend(serde_json::to_vec(value).unwrap_or_default());
        self
    }
}

/// One tracking's JSON.
pub fn one(id: i64, shown: &Shown, view: &[u8]) -> Vec<u8> {
    let mut json = Vec::with_capacity(shown.fields.len() + view.len() + 32);
    open(&mut json, id, shown, view);
    json.push(b'}');
    json
}

/// A tracking's JSON without the last brace.
fn open(json: &mut Vec<u8>, id: i64, shown: &Shown, view: &[u8]) {
    json.extend_from_slice(br#"{"id":""#);
    json.extend_from_slice(id.to_string().as_bytes());
    json.push(b'"');
    json.extend_from_slice(&shown.fields);
    json.extend_from_slice(view);
}

/// What an answer begins with.
const START: &str = r#"{"trackings":["#;

impl IntoResponse for Trackings {
    fn into_response(self) -> Response {
        let mut json = self.json;
        if json.is_empty() {
            json.extend_from_slice(START.as_bytes());
        }
        json.push(b']');
        json.extend_from_slice(&self.further);
        json.push(b'}');
        ([(header::CONTENT_TYPE, "application/json")], json).into_response()
    }
}

/// Documents an answer of joined JSON as another type.
macro_rules! documented_as {
    ($($answer:ty: $documented:ty),+) => {$(
        impl aide::OperationOutput for $answer {
            type Inner = $documented;

            fn operation_response(
                ctx: &mut aide::generate::GenContext,
                operation: &mut aide::openapi::Operation,
            ) -> Option<aide::openapi::Response> {
                <axum::Json<$documented> as aide::OperationOutput>::operation_response(ctx, operation)
            }

            fn inferred_responses(
                ctx: &mut aide::generate::GenContext,
                operation: &mut aide::openapi::Operation,
            ) -> Vec<(Option<aide::openapi::StatusCode>, aide::openapi::Response)> {
                <axum::Json<$documented> as aide::OperationOutput>::inferred_responses(ctx, operation)
            }
        }
    )+};
}

pub(crate) use documented_as;

documented_as!(Trackings: Documented);

/// Trackings, in the order of the request.
#[derive(JsonSchema)]
#[schemars(rename = "Trackings")]
#[expect(dead_code, reason = "documents what Trackings writes")]
pub struct Documented {
    trackings: Vec<Tracking>,
}

/// A parcel that TrackBox follows: one number at one carrier.
#[derive(JsonSchema)]
#[schemars(transform = docs::all_required_but(&["advice", "postalCode", "shipDate", "country", "extra"]))]
#[expect(dead_code, reason = "documents what Trackings writes")]
pub struct Tracking {
    /// A 64-bit number in decimal.
    id: String,
    #[serde(flatten)]
    shown: Fields<'static>,
    #[serde(flatten)]
    view: View<'static>,
    /// What may be wrong with the carrier's code or the number as they were sent, in sentences. Only in the answer to
    /// `POST /trackings`, and only if there is something.
    advice: Vec<String>,
}

impl HasId for Tracking {
    const NAME: &'static str = "tracking";
    const PARAMETER: &'static str = "trackingId";
    const EXAMPLE: &'static str = "1";
}

/// The tracking that the examples show: just created, or on its way.
pub fn example(on_its_way: bool) -> serde_json::Value {
    let checked_at = on_its_way.then_some("2026-11-20T12:00:01Z");
    json!({
        "id": "1", "carrierCode": "CDEK", "trackNumber": "1234567890",
        "status": if on_its_way { Status::InTransit } else { Status::Unknown },
        "statusRaw": if on_its_way { "ACCEPTED" } else { "UNKNOWN" },
        "statusAt": on_its_way.then_some("2026-11-20T09:30:00Z"),
        "lastCheckedAt": checked_at,
        "nextCheckAt": if on_its_way { "2026-11-20T12:01:01Z" } else { "2026-11-20T12:00:00Z" },
        "checkFailCount": 0, "lastError": "",
        "updatedAt": checked_at.unwrap_or("2026-11-20T12:00:00Z"),
        "subStatus": on_its_way.then_some(SubStatus::InTransitAccepted),
        "direction": Direction::Forward, "version": if on_its_way { 2 } else { 1 },
        "changeSeq": if on_its_way { 1 } else { 0 }, "changedAt": checked_at, "unreadableEvents": null, "oldHistory": false,
        "facts": on_its_way.then(|| json!({
            "expectedFrom": "2026-11-22", "expectedTo": "2026-11-24T18:00:00Z", "signedBy": null, "pieces": 1,
            "service": "express", "origin": "Moscow", "destination": "Omsk",
            "numbers": [{"kind": NumberKind::Return, "number": "1234567891"}],
        })),
        "createdAt": "2026-11-20T12:00:00Z", "state": State::Followed, "orderId": "A-17", "title": null, "note": null,
        "labels": ["express"], "metadata": {"warehouse": "2"}, "postalCode": "10115",
    })
}
