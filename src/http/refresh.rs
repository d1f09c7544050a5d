//! `POST /trackings/{trackingId}/refresh`: makes a parcel the next one that its carrier is asked for.

use std::time::Duration;

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::Serve;
use crate::http::trackings::{TAG, Tracking};
use crate::model::CarrierCode;
use crate::serving::caller::Writes;
use crate::serving::id::IdPath;
use crate::serving::operation::{documented, post};
use crate::serving::problem::Problem;
use crate::store::trackings::Refresh;

/// An empty answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Refreshed {}

/// Check a parcel now
///
/// The carrier's next call checks this parcel, ahead of all that are due. A parcel that has arrived is checked once more.
/// Nothing changes within 30 s of the last refresh or check. A carrier with a `min_interval` is asked when that is over.
/// The body is ignored. Each tenant may refresh so often (`http.refreshes_per_minute`); more answers 429 with a `Retry-After`.
#[apply(documented)]
async fn refresh_tracking(
    caller: Writes,
    State(serve): State<Serve>,
    path: IdPath<Tracking>,
) -> Result<axum::Json<Refreshed>, Problem> {
    let rests = |code: &CarrierCode| {
        let route = serve.routes.resolve(code);
        route.map_or(Duration::ZERO, |route| route.account.min_interval)
    };
    let now = serve.clock.now();
    let id = path.id()?;
    serve.refreshes.take(caller.tenant)?;
    match serve.current.refresh(caller.tenant, id, now, rests).await? {
        Refresh::Done(_) | Refresh::TooSoon => Ok(axum::Json(Refreshed {})),
        Refresh::Unknown => Err(path.not_found()),
    }
}

pub fn router() -> ApiRouter<Serve> {
    let operation = refresh_tracking::operation(TAG).answer(
        "The parcel is checked next, or was checked or refreshed a moment ago.",
        json!({}),
    );
    ApiRouter::new().api_route(
        "/trackings/{trackingId}/refresh",
        post(refresh_tracking, operation),
    )
}
