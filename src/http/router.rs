//! The routes of the API, its document, and the layers around them.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::Router;

use crate::http::{
    Serve, accounts, budget, by_ids, carriers, dead_letters, events, refresh, schedule, trackings,
};
use crate::serving::layers::Kit;
use crate::serving::{docs, health, layers};

/// What the document says of the whole API.
const DESCRIPTION: &str = "TrackBox keeps parcels' tracking numbers fresh within what the carriers allow.\n\n\
    Times are RFC 3339 in UTC. Ids are 64-bit numbers, written as strings and read as strings or numbers. Fields of a \
    request may be spelled in camelCase or snake_case; unknown ones are ignored, and so is the Content-Type. Every answer \
    carries `x-request-id`; every answer that is no success is a problem (RFC 9457). A success is always 200.";

const TAGS: &[(&str, &str)] = &[
    (
        trackings::TAG,
        "Parcels that are followed: one number at one carrier each.",
    ),
    (
        carriers::TAG,
        "The carriers' accounts: limits, pauses, and what waits for them.",
    ),
    (
        dead_letters::TAG,
        "Records of the topic that could not be read or applied.",
    ),
    (
        health::TAG,
        "Whether it lives, whether it is ready, and what it counts.",
    ),
];

/// The whole API, ready to be served or called without a port.
pub fn router(serve: Serve) -> Router {
    let mut document = docs::document("TrackBox API", DESCRIPTION, TAGS);
    let resources = ApiRouter::new()
        .api_route(
            "/trackings",
            post_with(trackings::create, trackings::create_docs),
        )
        .api_route(
            "/trackings/get-by-ids",
            post_with(by_ids::by_ids, by_ids::by_ids_docs),
        )
        .api_route(
            "/trackings/{trackingId}/events",
            get_with(events::events, events::events_docs),
        )
        .api_route(
            "/trackings/{trackingId}/refresh",
            post_with(refresh::refresh, refresh::refresh_docs),
        )
        .api_route(
            "/trackings/{trackingId}/schedule",
            get_with(schedule::schedule, schedule::schedule_docs),
        )
        .api_route(
            "/carriers",
            get_with(carriers::carriers, carriers::carriers_docs),
        )
        .api_route(
            "/carriers/{code}/budget",
            get_with(budget::budget, budget::budget_docs),
        )
        .api_route(
            "/carriers/unmapped",
            get_with(carriers::unmapped, carriers::unmapped_docs),
        )
        .api_route(
            "/dead-letters",
            get_with(dead_letters::list, dead_letters::list_docs),
        )
        .api_route(
            "/dead-letters/{deadLetterId}/retry",
            post_with(dead_letters::retry, dead_letters::retry_docs),
        )
        .with_state(serve.clone());
    let measure = accounts::Measure::new(serve.clone());
    let metrics = health::metrics(serve.metrics.clone(), move || measure.clone().run());
    let health = health::probes(serve.ready.clone()).merge(metrics);

    let resources = resources.finish_api(&mut document);
    let health = health.finish_api(&mut document);
    let guarded = layers::with_fallbacks(resources.merge(docs::routes(&document)));
    // Health and metrics stay outside the guard: who watches must not be turned away by who floods.
    let whole = serve
        .flood
        .before(guarded)
        .merge(layers::with_method_fallback(health));
    layers::wrap(whole, Kit::new(&serve.http, serve.metrics))
}
