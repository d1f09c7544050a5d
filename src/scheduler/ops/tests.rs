//! Tests of the worker's endpoint, without a port.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::{Ops, Seconds, Stats, router};
use crate::clock::{Clock, Time};
use crate::config::{Config, Span};
use crate::metrics::Metrics;
use crate::serving::access::Access;
use crate::serving::health::ReadyChecks;
use crate::serving::snapshot::compare;
use crate::store::{Connections, WholeStore};

fn at(secs: i64) -> Time {
    Time::from_timestamp(1_795_176_000, 0).expect("a time within range") + TimeDelta::seconds(secs)
}

async fn ops() -> (Ops, TempDir) {
    ops_at("127.0.0.1:8082").await
}

/// What the endpoint works with if it listens there, on a store in the folder.
async fn ops_at(listen: &str) -> (Ops, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/trackbox.db", folder.path().display());
    let database = WholeStore::open(&url, Connections::default()).await;
    let store = database.expect("opens").store();
    store.migrate().await.expect("migrates");
    let (clock, config, metrics) = (
        Clock::manual(at(100)),
        Config::default(),
        Arc::new(Metrics::new()),
    );
    let access = Access::new(store, clock.clone(), Arc::clone(&metrics), &config.http);
    let ops = Ops {
        stats: Arc::new(Stats::new(at(0))),
        trigger: Arc::new(Notify::new()),
        clock,
        gate: access.at(listen.parse().expect("an address")),
        config: Arc::new(config),
        metrics,
        ready: ReadyChecks::default(),
    };
    (ops, folder)
}

async fn send(router: &Router, request: axum::http::request::Builder) -> (StatusCode, Value) {
    let request = request.body(Body::empty()).expect("a request");
    let response = router
        .clone()
        .oneshot(request)
        .await
        .expect("is infallible");
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a whole body");
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn get(router: &Router, path: &str) -> Value {
    let (status, body) = send(router, Request::get(path)).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

#[tokio::test]
async fn stats_show_what_the_scheduler_counted() {
    let (ops, _folder) = ops().await;
    let router = router(ops.clone());
    let fresh = get(&router, "/stats").await;
    assert_eq!(
        fresh,
        json!({
            "startedAt": "2026-11-20T12:00:00Z", "lastCycleAt": null, "lastTriggerAt": null, "totalClaimed": 0,
            "totalProcessed": 0, "totalErrors": 0, "inFlight": 0, "lastError": "",
        })
    );
    ops.stats.cycle(at(2), 30);
    ops.stats.cycle(at(4), 3);
    ops.stats.processed(7);
    ops.stats.in_flight_add(5);
    ops.stats.in_flight_sub(2);
    ops.stats.error("CDEK: the carrier answered 502");
    let (status, triggered) = send(&router, Request::post("/trigger")).await;
    assert_eq!(
        (status, triggered),
        (StatusCode::OK, json!({"triggered": true}))
    );
    assert_eq!(
        get(&router, "/stats").await,
        json!({
            "startedAt": "2026-11-20T12:00:00Z", "lastCycleAt": "2026-11-20T12:00:04Z",
            "lastTriggerAt": "2026-11-20T12:01:40Z", "totalClaimed": 33, "totalProcessed": 7, "totalErrors": 1,
            "inFlight": 3, "lastError": "CDEK: the carrier answered 502",
        })
    );
}

#[tokio::test]
async fn a_trigger_wakes_the_scheduler_unless_another_site_sent_it() {
    let (ops, _folder) = ops().await;
    let router = router(ops.clone());
    let (status, _) = send(
        &router,
        Request::post("/trigger").header("sec-fetch-site", "cross-site"),
    )
    .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let woken = ops.trigger.notified();
    assert!(
        tokio::time::timeout(Duration::from_millis(20), woken)
            .await
            .is_err()
    );
    send(&router, Request::post("/trigger")).await;
    tokio::time::timeout(Duration::from_secs(5), ops.trigger.notified())
        .await
        .expect("is woken");
}

#[tokio::test]
async fn config_has_the_originals_keys_and_no_secret() {
    let (mut ops, _folder) = ops().await;
    let mut config = Config::default();
    config.work.poll_interval = Span::from_millis(500);
    config.carriers.remove("POST_RU");
    ops.config = Arc::new(config);
    let body = get(&router(ops), "/config").await;
    assert_eq!(
        body,
        json!({
            "pollIntervalSeconds": 0.5, "batchSize": 100, "concurrency": 10, "leaseSeconds": 120,
            "rateLimitPerMinute": 120, "rateLimitCDEKPerMinute": 60, "rateLimitPostRuPerMinute": 120,
            "nextCheckInTransitMinSeconds": 60, "nextCheckInTransitMaxSeconds": 60, "nextCheckUnknownSeconds": 60,
        })
    );
    assert_eq!(Seconds::from(Duration::from_secs(2)), Seconds::Whole(2));
}

#[tokio::test]
async fn the_worker_is_healthy_documented_and_answers_problems() {
    let (ops, _folder) = ops().await;
    let router = router(ops);
    assert_eq!(get(&router, "/healthz").await, json!({"status": "ok"}));
    assert_eq!(get(&router, "/readyz").await, json!({"status": "ready"}));
    get(&router, "/metrics").await;
    get(&router, "/docs/").await;
    for (request, status) in [
        (Request::get("/nothing"), 404),
        (Request::get("/trigger"), 405),
    ] {
        let (answered, body) = send(&router, request).await;
        assert_eq!(answered.as_u16(), status);
        assert_eq!(body["status"], status);
    }
}

#[tokio::test]
async fn the_workers_openapi_document_is_the_checked_in_one() {
    let (ops, _folder) = ops().await;
    let document = get(&router(ops), "/swagger.json").await;
    compare("openapi-work.json", &document);
}

#[tokio::test]
async fn settings_and_the_trigger_are_closed_to_strangers_and_the_figures_are_not() {
    let (ops, _folder) = ops_at("0.0.0.0:8082").await;
    let router = router(ops);
    for request in [Request::get("/config"), Request::post("/trigger")] {
        let (status, _) = send(&router, request).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    for path in ["/stats", "/metrics", "/healthz", "/readyz", "/docs/"] {
        get(&router, path).await;
    }
}
