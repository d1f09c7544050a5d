//! The routes of the API, its document, and the layers around them.

use std::sync::Arc;

use aide::axum::ApiRouter;
use axum::Router;

use crate::http::accounts::Measure;
use crate::http::{
    Serve, acts, budget, by_ids, carriers, changes, create, dead_letters, events, keys, list,
    parcel, pause, push, refresh, schedule, tenants, trackings,
};
use crate::serving::caller::Operates;
use crate::serving::layers::Kit;
use crate::serving::{docs, health, layers};

/// What the document says about the whole API.
const DESCRIPTION: &str = "TrackBox keeps the state of parcels fresh within the limits of their carriers.\n\n\
    Times are RFC 3339 in UTC. Ids are 64-bit numbers; answers have them as strings, requests as strings or numbers. Fields \
    of a request may be in camelCase or snake_case; unknown fields and the Content-Type are ignored. Every answer has the \
    header `x-request-id`. A success is always 200; every other answer is a problem (RFC 9457).";

/// The whole API, ready to be served, or to be called without a port.
pub fn router(serve: Serve) -> Router {
    let resources = ApiRouter::new()
        .merge(create::router())
        .merge(list::router())
        .merge(parcel::router())
        .merge(changes::router())
        .merge(by_ids::router())
        .merge(events::router())
        .merge(refresh::router())
        .merge(schedule::router())
        .merge(carriers::router())
        .merge(budget::router())
        .merge(pause::router())
        .merge(dead_letters::router())
        .merge(keys::router())
        .merge(acts::router())
        .merge(tenants::router())
        .with_state(serve.clone());
    let measure = Measure::new(serve.clone());
    let health = health::operations(serve.ready.clone());
    let figures = health::figures::<Operates, _, _>(Arc::clone(&serve.metrics), move || {
        measure.clone().run()
    });

    let tags = [
        trackings::TAG,
        carriers::TAG,
        dead_letters::TAG,
        keys::TAG,
        tenants::TAG,
        health::TAG,
    ];
    let mut document = docs::document("TrackBox API", DESCRIPTION, &tags);
    let resources = resources.finish_api(&mut document);
    let health = health.finish_api(&mut document);
    let figures = figures.finish_api(&mut document);
    let resources = serve.gate.before(resources);
    let guarded = layers::with_fallbacks(resources.merge(docs::routes(&document)));
    // Health and metrics stay outside the guard, so that monitoring works during a flood.
    let guarded = serve.gate.noting_keys(serve.flood.before(guarded));
    let whole = guarded
        .merge(layers::with_method_fallback(
            health.merge(serve.gate.before(figures)),
        ))
        .merge(layers::with_method_fallback(push::router(serve.clone())));
    layers::wrap(whole, Kit::new(&serve.http, Arc::clone(&serve.metrics)))
}
