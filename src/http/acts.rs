//! `GET /acts`: what was done with a tenant's keys, and by which.

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::http::Serve;
use crate::http::keys::TAG;
use crate::model::act::NotedAct;
use crate::serving::caller::Administers;
use crate::serving::docs;
use crate::serving::extract::Query;
use crate::serving::id::Id;
use crate::serving::operation::{documented, get};
use crate::serving::page::{Cursor, ListQuery};
use crate::serving::problem::{FieldError, Problem};

/// Which acts to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Which {
    #[serde(flatten)]
    page: ListQuery<Cursor, 100, 500>,
    /// Only those on this parcel: the id of its tracking.
    #[schemars(regex(pattern = "^(-?[0-9]+)?$"), example = &"1")]
    tracking_id: Option<String>,
}

/// A part of the list, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Acts {
    acts: Vec<ActAnswer>,
    /// The cursor of the next part; null in the last part.
    next_cursor: Option<String>,
}

/// What somebody did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Act", transform = docs::all_required)]
struct ActAnswer {
    id: String,
    at: Time,
    /// The key that it was done with; null on the command line, or before there was a key.
    key_id: Option<String>,
    /// Such as `KEY_REVOKED`.
    act: String,
    /// What it was done to, such as `key 2`.
    object: String,
    /// The parcel that it was done to, if it was one.
    tracking_id: Option<String>,
}

impl From<NotedAct> for ActAnswer {
    fn from(noted: NotedAct) -> Self {
        Self {
            id: noted.id.to_string(),
            at: noted.at,
            key_id: noted.key.map(|id| id.to_string()),
            act: noted.deed,
            object: noted.object,
            tracking_id: noted.tracking.map(|id| id.to_string()),
        }
    }
}

/// List what was done
///
/// Which key made, changed and revoked keys, lifted pauses and published records again, newest first, for 90 days. It holds no values. What operators do to tenants stands in the log of the tenant `default`.
#[apply(documented)]
async fn list_acts(
    caller: Administers,
    State(serve): State<Serve>,
    Query(which): Query<Which>,
) -> Result<axum::Json<Acts>, Problem> {
    let (limit, after) = (which.page.limit()?, which.page.after()?);
    let tracking = match which.tracking_id.as_deref().filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => match Id::parse(text) {
            Id::Number(id) => Some(id),
            // No parcel has it, so nothing was done to one.
            Id::Beyond => Some(i64::MAX),
            Id::Other => {
                let detail = "trackingId must be a whole number";
                return Err(Problem::invalid_at(FieldError::parameter(
                    "trackingId",
                    detail,
                )));
            }
        },
    };
    // One row more than asked for tells whether there is a next part.
    let acts = serve.store.acts(caller.tenant, tracking, after, limit + 1);
    let mut acts = acts.await?;
    let more = acts.len() > limit as usize;
    acts.truncate(limit as usize);
    let last = acts.last().filter(|_| more);
    Ok(axum::Json(Acts {
        next_cursor: last.map(|act| act.id.to_string()),
        acts: acts.into_iter().map(ActAnswer::from).collect(),
    }))
}

pub fn router() -> ApiRouter<Serve> {
    let example = json!({"acts": [{
        "id": "7", "at": "2026-11-20T12:00:00Z", "keyId": "1", "act": "KEY_REVOKED", "object": "key 2",
        "trackingId": null,
    }], "nextCursor": null});
    let list = list_acts::operation(TAG).answer("A part of the list.", example);
    ApiRouter::new().api_route("/acts", get(list_acts, list))
}
