//! `POST /trackings`: creates trackings, or gets those that exist.

use std::collections::{HashMap, HashSet};

use aide::OperationOutput;
use aide::axum::ApiRouter;
use aide::generate::GenContext;
use aide::openapi::{self, Operation, StatusCode};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::http::items::{Checked, ITEMS_MAX, check};
use crate::http::{ALWAYS, Serve};
use crate::model::facts::NumberKind;
use crate::model::number::fold;
use crate::model::shown::{Fields, Shown};
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{CarrierCode, TrackNumber};
use crate::serving::caller::Writes;
use crate::serving::docs;
use crate::serving::extract::Json;
use crate::serving::id::HasId;
use crate::serving::list::List;
use crate::serving::operation::{Tag, documented, post};
use crate::serving::problem::Problem;

/// The operations on trackings.
pub const TAG: Tag = Tag {
    name: "trackings",
    description: "The parcels that TrackBox follows: one number at one carrier each.",
    problems: ALWAYS,
};

/// The parcels to follow.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = docs::all_required)]
pub struct CreateTrackings {
    /// 1 to 10,000 numbers, each with its carrier.
    #[serde(default)]
    #[schemars(with = "Vec<Wanted>", length(min = 1, max = 10_000))]
    items: List<Box<RawValue>, ITEMS_MAX>,
}

/// One number at one carrier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CreateTracking")]
struct Wanted {
    /// The carrier's code, as the configuration names it: free text without control characters.
    #[schemars(length(min = 1, max = 64))]
    carrier_code: &'static str,
    /// The number on the parcel: free text without control characters.
    #[schemars(length(min = 1, max = 64))]
    track_number: &'static str,
}

/// The answer: trackings, in the order of the request. Their JSON is joined, not built.
#[derive(Debug, Default)]
pub struct Trackings(Vec<u8>);

impl Trackings {
    /// Adds a tracking under the id that the client knows, with what may be wrong with its item.
    pub fn add(&mut self, id: i64, shown: &Shown, advice: &[String]) {
        let json = &mut self.0;
        let before = if json.is_empty() { START } else { "," };
        json.extend_from_slice(before.as_bytes());
        json.extend_from_slice(br#"{"id":""#);
        json.extend_from_slice(id.to_string().as_bytes());
        json.push(b'"');
        json.extend_from_slice(&shown.fields);
        if !advice.is_empty() {
            json.extend_from_slice(format!(r#","advice":{}"#, json!(advice)).as_bytes());
        }
        json.push(b'}');
    }
}

/// What an answer begins with.
const START: &str = r#"{"trackings":["#;

impl IntoResponse for Trackings {
    fn into_response(self) -> Response {
        let mut json = self.0;
        if json.is_empty() {
            json.extend_from_slice(START.as_bytes());
        }
        json.extend_from_slice(b"]}");
        ([(header::CONTENT_TYPE, "application/json")], json).into_response()
    }
}

impl OperationOutput for Trackings {
    type Inner = Documented;

    fn operation_response(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Option<openapi::Response> {
        axum::Json::<Documented>::operation_response(ctx, operation)
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, openapi::Response)> {
        axum::Json::<Documented>::inferred_responses(ctx, operation)
    }
}

/// Trackings, in the order of the request.
#[derive(JsonSchema)]
#[schemars(rename = "Trackings")]
#[expect(dead_code, reason = "documents what Trackings writes")]
pub struct Documented {
    trackings: Vec<Tracking>,
}

/// A parcel that TrackBox follows: one number at one carrier.
#[derive(JsonSchema)]
#[schemars(transform = docs::all_required_but(&["advice"]))]
#[expect(dead_code, reason = "documents what Trackings writes")]
pub struct Tracking {
    /// A 64-bit number in decimal.
    id: String,
    #[serde(flatten)]
    shown: Fields<'static>,
    /// What may be wrong with the carrier's code or the number as they were sent, in sentences. Only in the answer to
    /// `POST /trackings`, and only if there is something.
    advice: Vec<String>,
}

impl HasId for Tracking {
    const NAME: &'static str = "tracking";
    const PARAMETER: &'static str = "trackingId";
    const EXAMPLE: &'static str = "1";
}

/// Follow parcels
///
/// Creates a tracking for each pair of carrier and number, or gets the existing one. A new tracking is checked at once.
/// Spellings that differ only in blanks, invisible characters and ASCII case are one pair, unless the carrier minds them;
/// the tracking shows what was sent first. The answer is in the order of the items; a repeated pair appears once, at its
/// first place, with the advice on its items. If any item is refused, nothing is created, and the JSON pointer of each bad
/// item is listed.
#[apply(documented)]
async fn create_trackings(
    _: Writes,
    State(serve): State<Serve>,
    Json(request): Json<CreateTrackings>,
) -> Result<Trackings, Problem> {
    let wanted = check(request.items, &serve.routes)?;
    let mut pairs = Vec::with_capacity(wanted.len());
    let mut advice: HashMap<_, Vec<String>> = HashMap::new();
    for Checked { pair, advice: more } in wanted {
        if !more.is_empty() {
            advice
                .entry(key(&pair.0, &pair.1))
                .or_default()
                .extend(more);
        }
        pairs.push(pair);
    }
    let now = serve.clock.now();
    let rows = serve.current.create_or_get(&pairs, now).await?;
    let mut seen = HashSet::with_capacity(rows.len());
    let mut trackings = Trackings::default();
    // Each tracking once, at its first place, with the advice on its items.
    for row in rows.iter().filter(|row| seen.insert(row.id)) {
        let mut on_it = Vec::new();
        if !advice.is_empty() {
            let key = key(&row.carrier_code, &row.track_number);
            on_it = advice.remove(&key).unwrap_or_default();
            on_it.dedup();
        }
        trackings.add(row.id, &Shown::of(row), &on_it);
    }
    Ok(trackings)
}

fn key(carrier_code: &CarrierCode, track_number: &TrackNumber) -> (String, String) {
    (fold(carrier_code.as_str()), fold(track_number.as_str()))
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
        "createdAt": "2026-11-20T12:00:00Z",
        "updatedAt": checked_at.unwrap_or("2026-11-20T12:00:00Z"),
        "subStatus": on_its_way.then_some(SubStatus::InTransitAccepted),
        "direction": Direction::Forward, "version": if on_its_way { 2 } else { 1 }, "unreadableEvents": null, "oldHistory": false,
        "facts": on_its_way.then(|| json!({
            "expectedFrom": "2026-11-22", "expectedTo": "2026-11-24T18:00:00Z", "signedBy": null, "pieces": 1,
            "service": "express", "origin": "Moscow", "destination": "Omsk",
            "numbers": [{"kind": NumberKind::Return, "number": "1234567891"}],
        })),
    })
}

pub fn router() -> ApiRouter<Serve> {
    let wanted = Wanted {
        carrier_code: "CDEK",
        track_number: "1234567890",
    };
    let operation = create_trackings::operation(TAG)
        .request(json!({"items": [wanted]}))
        .answer("The trackings.", json!({"trackings": [example(false)]}));
    ApiRouter::new().api_route("/trackings", post(create_trackings, operation))
}
