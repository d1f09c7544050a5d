//! `GET /trackings/{trackingId}/events`: a parcel's history.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::http::Serve;
use crate::http::trackings::TAG;
use crate::model;
use crate::model::status::{Status, SubStatus};
use crate::serving::extract::{Path, Query};
use crate::serving::list::Id;
use crate::serving::problem::{FieldError, Kind, Problem};
use crate::serving::{docs, page};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 500;

/// Which tracking.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct TrackingPath {
    /// The tracking's id.
    #[serde(rename = "trackingId")]
    #[schemars(example = "1", regex(pattern = "^-?[0-9]+$"))]
    tracking_id: String,
}

impl TrackingPath {
    /// The id.
    ///
    /// # Errors
    /// A refusal where it is no number; "not found" where it is one that nobody can have.
    pub fn id(&self) -> Result<i64, Problem> {
        match Id::parse(&self.tracking_id) {
            Id::Number(id) => Ok(id),
            Id::Beyond => Err(self.not_found()),
            Id::Other => Err(Problem::invalid_at(FieldError::parameter(
                "trackingId",
                "trackingId must be a whole number",
            ))),
        }
    }

    /// There is no such tracking.
    pub fn not_found(&self) -> Problem {
        Problem::new(
            Kind::NotFound,
            format!("there is no tracking {}", self.tracking_id),
        )
    }
}

/// Which part of the history.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Page {
    /// How many events at most: 1 to 500, default 100.
    #[schemars(with = "Option<i64>", example = 100)]
    limit: Option<String>,
    /// How many of the newest events to pass over; default 0.
    #[schemars(with = "Option<i64>", example = 0)]
    offset: Option<String>,
}

/// A part of a history, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Events {
    events: Vec<TrackingEvent>,
}

/// One thing that the carrier says happened to a parcel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
struct TrackingEvent {
    id: String,
    tracking_id: String,
    status: Status,
    /// The carrier's own code or text for it.
    status_raw: String,
    event_time: Time,
    location: String,
    message: String,
    /// The carrier's own record as JSON; empty where there is none.
    payload_json: String,
    created_at: Time,
    /// What lies behind the status.
    sub_status: Option<SubStatus>,
}

impl From<model::TrackingEvent> for TrackingEvent {
    fn from(row: model::TrackingEvent) -> Self {
        Self {
            id: row.id.to_string(),
            tracking_id: row.tracking_id.to_string(),
            status: row.event.status,
            status_raw: row.event.status_raw,
            event_time: row.event.event_time,
            location: row.event.location,
            message: row.event.message,
            payload_json: row.event.payload_json,
            created_at: row.created_at,
            sub_status: row.event.sub_status,
        }
    }
}

/// Answers events by time and id, both descending.
pub async fn events(
    State(serve): State<Serve>,
    Path(path): Path<TrackingPath>,
    Query(page): Query<Page>,
) -> Result<axum::Json<Events>, Problem> {
    let limit = page::limit(page.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)
        .map_err(Problem::invalid_at)?;
    let offset = page::number("offset", page.offset.as_deref()).map_err(Problem::invalid_at)?;
    let rows = serve
        .store
        .events(path.id()?, limit, offset.unwrap_or(0))
        .await?;
    let rows = rows.ok_or_else(|| path.not_found())?;
    let events = rows.into_iter().map(TrackingEvent::from).collect();
    Ok(axum::Json(Events { events }))
}

pub fn events_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("listEvents")
        .tag(TAG)
        .summary("A parcel's history")
        .description(
            "Everything the carrier ever reported, by time and id, both descending. A limit above 500 counts as 500; an \
             empty, negative or zero limit as 100; an empty or negative offset as 0.",
        );
    let example = json!({"events": [{
        "id": "7", "trackingId": "1", "status": Status::InTransit, "statusRaw": "ACCEPTED",
        "eventTime": "2026-11-20T09:30:00Z", "location": "Moscow", "message": "Accepted at the office",
        "payloadJson": "{\"code\":\"ACCEPTED\"}", "createdAt": "2026-11-20T12:00:02Z",
        "subStatus": SubStatus::InTransitAccepted,
    }]});
    let op = docs::answer::<Events>(op, "A part of the history.", example);
    docs::problems(
        op,
        &[
            Kind::NotFound,
            Kind::Invalid,
            Kind::TooManyRequests,
            Kind::Internal,
            Kind::Unavailable,
        ],
    )
}
