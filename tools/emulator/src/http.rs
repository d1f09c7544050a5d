//! The emulator's HTTP API: the carriers' v1 API, two aggregators, and administration.

pub mod admin;
pub mod aggregators;
pub mod deliver;
pub mod error;
pub mod oauth;
#[cfg(test)]
mod tests;
pub mod tickets;
pub mod v1;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

use crate::emulator::Emulator;

/// Upper limit of a request body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// All endpoints of an emulator.
pub fn router(emulator: Emulator) -> Router {
    let guard = from_fn_with_state(emulator.clone(), oauth::guard);
    Router::new()
        .route("/v1/tracking/{carrier}/{number}", get(v1::one))
        .route("/v1/tracking/batch", post(v1::batch))
        .route("/v1/tracking/tickets", post(tickets::take))
        .route("/v1/tracking/tickets/{ticket}", get(tickets::answer))
        .route_layer(guard)
        .route("/v1/oauth/token", post(oauth::token))
        .route("/v1/admin/logins", get(oauth::counts))
        .route("/v1/admin/tokens", delete(oauth::revoke))
        .route("/v1/admin/tickets", get(tickets::counts))
        .route("/healthz", get(admin::health))
        .route("/tracking.json.php", get(aggregators::track24))
        .route("/gdeposylka/api/v4/track", get(aggregators::gdeposylka))
        .route("/v1/admin/seed-v1", post(admin::seed_v1))
        .route("/v1/admin/seed", post(admin::seed))
        .route("/v1/admin/reset", post(admin::reset))
        .route("/v1/admin/push", post(admin::push))
        .route("/v1/admin/ledger", get(admin::ledger))
        .route("/v1/admin/truth", get(admin::truths))
        .route("/v1/admin/truth/{carrier}/{number}", get(admin::truth))
        .route(
            "/v1/admin/faults",
            get(admin::faults).post(admin::set_fault),
        )
        .fallback(error::no_path)
        .method_not_allowed_fallback(error::no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(emulator)
}
