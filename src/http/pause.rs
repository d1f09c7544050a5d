//! `DELETE /carriers/{code}/pause`: has the account of a carrier called again at once.

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::Serve;
use crate::http::budget::CarrierPath;
use crate::http::carriers::TAG;
use crate::model::act::Deed;
use crate::serving::caller::Operates;
use crate::serving::extract::Path;
use crate::serving::operation::{delete, documented};
use crate::serving::problem::Problem;

/// An empty answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Lifted {}

/// Call a paused carrier again
///
/// Ends the pause of the carrier's account and forgets its failures, so that it is called again at once: after a new key,
/// or if the carrier asked for too long a pause. It applies to every carrier that shares the account. Changes nothing if
/// the account is not paused.
#[apply(documented)]
async fn lift_pause(
    caller: Operates,
    State(serve): State<Serve>,
    Path(path): Path<CarrierPath>,
) -> Result<axum::Json<Lifted>, Problem> {
    let account = &path.account(&serve.routes)?.name;
    let now = serve.clock.now();
    serve.store.lift_pause(account, now).await?;
    let act = caller.act(Deed::PauseLifted, format!("account {account}"));
    serve.store.note_act(&act, now).await?;
    tracing::info!(account, "lifted the pause of account {account}");
    Ok(axum::Json(Lifted {}))
}

pub fn router() -> ApiRouter<Serve> {
    let operation = lift_pause::operation(TAG).answer("The account is called again.", json!({}));
    ApiRouter::new().api_route("/carriers/{code}/pause", delete(lift_pause, operation))
}
