//! `POST /trackings/{trackingId}/refresh`: makes a parcel the next of its carrier to be checked.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::Serve;
use crate::http::events::TrackingPath;
use crate::http::trackings::TAG;
use crate::serving::docs;
use crate::serving::extract::Path;
use crate::serving::problem::{Kind, Problem};
use crate::store::trackings::Refresh;

/// Nothing to say.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Refreshed {}

/// Makes the tracking urgent, unless it was checked or refreshed a moment ago. The body is not read at all.
pub async fn refresh(
    State(serve): State<Serve>,
    Path(path): Path<TrackingPath>,
) -> Result<axum::Json<Refreshed>, Problem> {
    match serve.current.refresh(path.id()?, serve.clock.now()).await? {
        Refresh::Done(_) | Refresh::TooSoon => Ok(axum::Json(Refreshed {})),
        Refresh::Unknown => Err(path.not_found()),
    }
}

pub fn refresh_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("refreshTracking")
        .tag(TAG)
        .summary("Check a parcel now")
        .description(
            "Makes the parcel the next of its carrier to be checked, ahead of all that are due; one that has arrived is \
             checked once more. Within 30 s of the last refresh or check nothing changes. The body is ignored.",
        );
    let op = docs::answer::<Refreshed>(op, "It is checked next, or has just been.", json!({}));
    docs::problems(
        op,
        &[
            Kind::CrossSite,
            Kind::NotFound,
            Kind::Invalid,
            Kind::TooManyRequests,
            Kind::Internal,
            Kind::Unavailable,
        ],
    )
}
