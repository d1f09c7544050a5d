//! `GET /trackings/{trackingId}/events`: a parcel's history.

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::http::trackings::{TAG, Tracking};
use crate::http::{Serve, veil};
use crate::model;
use crate::model::status::{Status, SubStatus};
use crate::serving::caller::Reads;
use crate::serving::docs;
use crate::serving::extract::Query;
use crate::serving::id::IdPath;
use crate::serving::operation::{documented, get};
use crate::serving::page::{FLAG, ListQuery, Offset, flag};
use crate::serving::problem::Problem;

/// A part of a history, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Events {
    events: Vec<TrackingEvent>,
}

/// Something that the carrier reported about a parcel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required_but(&["supersededAt"]))]
struct TrackingEvent {
    id: String,
    tracking_id: String,
    status: Status,
    /// The carrier's own code or text for the status.
    status_raw: String,
    event_time: Time,
    location: String,
    message: String,
    /// The carrier's own record as JSON; empty if it sent none. If several shops share the installation, only those have it that
    /// the carrier's section names, or for whose postal code or the like the carrier answered.
    payload_json: String,
    created_at: Time,
    /// Details of the status.
    sub_status: Option<SubStatus>,
    /// Whether the carrier wrote another event in its place, or took it back; or its answers are read otherwise now.
    superseded: bool,
    /// Since when the answers that gave it are read otherwise; left out if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_at: Option<Time>,
}

/// Which part of a history is listed.
#[derive(Debug, Deserialize, JsonSchema)]
struct EventsQuery {
    #[serde(flatten)]
    part: ListQuery<Offset, 100, 500>,
    /// Whether events that are superseded are listed too; default false.
    #[schemars(regex(pattern = FLAG), example = &"false")]
    superseded: Option<String>,
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
            superseded: row.superseded,
            superseded_at: row.superseded_at,
        }
    }
}

/// List a parcel's history
///
/// Everything the carrier ever reported, by time and then id, both descending. Events that it corrected or took back, and those
/// that came of reading its answers otherwise than today, are left out, unless `superseded=true`. A limit above 500 counts as 500; an empty,
/// negative or zero limit as 100; an empty or negative offset as 0.
#[apply(documented)]
async fn list_events(
    caller: Reads,
    State(serve): State<Serve>,
    path: IdPath<Tracking>,
    Query(query): Query<EventsQuery>,
) -> Result<axum::Json<Events>, Problem> {
    let (limit, offset) = (query.part.limit()?, query.part.offset()?);
    let superseded = flag("superseded", query.superseded.as_deref())?;
    let id = path.id()?;
    let rows = serve
        .store
        .events(caller.tenant, id, superseded, limit, offset)
        .await?;
    let mut rows = rows.ok_or_else(|| path.not_found())?;
    let of = rows.first().map(|row| row.tracking_id);
    let open = veil::open_to(&serve, &caller, of.into_iter()).await?;
    for row in &mut rows {
        if !open.contains(&row.tracking_id) {
            row.event.payload_json.clear();
        }
    }
    let events = rows.into_iter().map(|row| TrackingEvent {
        tracking_id: id.to_string(),
        ..TrackingEvent::from(row)
    });
    let events = events.collect();
    Ok(axum::Json(Events { events }))
}

pub fn router() -> ApiRouter<Serve> {
    let example = json!({"events": [{
        "id": "7", "trackingId": "1", "status": Status::InTransit, "statusRaw": "ACCEPTED",
        "eventTime": "2026-11-20T09:30:00Z", "location": "Moscow", "message": "Accepted at the office",
        "payloadJson": "{\"code\":\"ACCEPTED\"}", "createdAt": "2026-11-20T12:00:02Z",
        "subStatus": SubStatus::InTransitAccepted, "superseded": false,
    }]});
    let operation = list_events::operation(TAG).answer("A part of the history.", example);
    ApiRouter::new().api_route(
        "/trackings/{trackingId}/events",
        get(list_events, operation),
    )
}
