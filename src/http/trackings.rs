//! `POST /trackings`: creates trackings, or gets those that exist.

use std::collections::{HashMap, HashSet};

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::clock::Time;
use crate::http::items::{Checked, ITEMS_MAX, check};
use crate::http::{ALWAYS, Serve};
use crate::model::number::fold;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{self, CarrierCode, TrackNumber};
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

/// Trackings, in the order of the request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Trackings {
    pub trackings: Vec<Tracking>,
}

/// A parcel that TrackBox follows: one number at one carrier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required_but(&["advice"]))]
pub struct Tracking {
    /// A 64-bit number in decimal.
    pub id: String,
    pub carrier_code: String,
    pub track_number: String,
    pub status: Status,
    /// The carrier's own code or text for the status.
    pub status_raw: String,
    /// The time of the event that set the status.
    pub status_at: Option<Time>,
    pub last_checked_at: Option<Time>,
    /// A year ahead if the parcel is no longer checked.
    pub next_check_at: Time,
    /// Failed checks in a row.
    pub check_fail_count: u32,
    /// The error of the last check; empty if it succeeded.
    pub last_error: String,
    pub created_at: Time,
    pub updated_at: Time,
    /// Details of the status.
    pub sub_status: Option<SubStatus>,
    /// To the recipient, or back to the sender.
    pub direction: Direction,
    /// Grows with every visible change.
    pub version: i64,
    /// The events of the carrier's newest answer that could not be read; null if there are none.
    pub unreadable_events: Option<UnreadableEvents>,
    /// Whether the newest event lies more than 90 days before the tracking was created: the number may have been another
    /// parcel's before.
    pub old_history: bool,
    /// What may be wrong with the carrier's code or the number as they were sent, in sentences. Only in the answer to
    /// `POST /trackings`, and only if there is something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

/// Events that could not be read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadableEvents {
    pub count: u32,
    /// Why one of them cannot be read, with its words.
    pub example: String,
}

impl HasId for Tracking {
    const NAME: &'static str = "tracking";
    const PARAMETER: &'static str = "trackingId";
    const EXAMPLE: &'static str = "1";
}

impl From<&model::Tracking> for Tracking {
    fn from(row: &model::Tracking) -> Self {
        Self {
            id: row.id.to_string(),
            carrier_code: row.carrier_code.as_str().to_owned(),
            track_number: row.track_number.as_str().to_owned(),
            status: row.status,
            status_raw: row.status_raw.clone(),
            status_at: row.status_at,
            last_checked_at: row.last_checked_at,
            next_check_at: row.next_check_shown(),
            check_fail_count: row.check_fail_count,
            last_error: row.last_error.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            sub_status: row.sub_status,
            direction: row.direction,
            version: row.version,
            unreadable_events: (row.unreadable.count > 0).then(|| UnreadableEvents {
                count: row.unreadable.count,
                example: row.unreadable.example.clone(),
            }),
            old_history: row.has_old_history(),
            advice: Vec::new(),
        }
    }
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
    State(serve): State<Serve>,
    Json(request): Json<CreateTrackings>,
) -> Result<axum::Json<Trackings>, Problem> {
    let wanted = check(request.items, &serve.routes)?;
    let pairs: Vec<_> = wanted.iter().map(|it| it.pair.clone()).collect();
    let rows = serve
        .current
        .create_or_get(&pairs, serve.clock.now())
        .await?;
    Ok(axum::Json(answer(&rows, wanted)))
}

/// Each tracking once, at its first place, with the advice on its items.
fn answer(rows: &[model::Tracking], wanted: Vec<Checked>) -> Trackings {
    let mut advice: HashMap<(String, String), Vec<String>> = HashMap::new();
    for Checked { pair, advice: more } in wanted {
        if !more.is_empty() {
            let known = advice.entry(key(&pair.0, &pair.1)).or_default();
            known.extend(more);
        }
    }
    let mut seen = HashSet::with_capacity(rows.len());
    let rows = rows.iter().filter(|row| seen.insert(row.id));
    let trackings = rows.map(|row| {
        let key = key(&row.carrier_code, &row.track_number);
        let mut advice = advice.get(&key).cloned().unwrap_or_default();
        advice.dedup();
        Tracking {
            advice,
            ..Tracking::from(row)
        }
    });
    Trackings {
        trackings: trackings.collect(),
    }
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
