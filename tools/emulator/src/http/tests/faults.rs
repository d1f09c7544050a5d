//! Faults and delays, through the router.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use chrono::DateTime;
use serde_json::json;
use tower::ServiceExt as _;

use super::World;
use crate::emulator::Emulator;
use crate::http::router;
use crate::options::{Options, Progress};
use crate::time::Time;

#[tokio::test]
async fn a_fault_applies_to_the_parcels_it_names_until_it_is_switched_off() {
    let world = World::new(Progress::Ask);
    let fault = json!({"carrier": "A", "trackNumber": "bad", "fault": "status", "code": 503});
    assert_eq!(
        world.post("/v1/admin/faults", &fault).await.0,
        StatusCode::OK
    );
    assert_eq!(
        world.get("/v1/tracking/A/bad").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(world.get("/v1/tracking/A/good").await.0, StatusCode::OK);
    let twice = json!({"carrier": "B", "fault": "notFound", "calls": 2});
    world.post("/v1/admin/faults", &twice).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.get("/v1/tracking/B/n").await.0.as_u16());
    }
    assert_eq!(statuses, [404, 404, 200]);
    world
        .post(
            "/v1/admin/faults",
            &json!({"carrier": "A", "fault": "none"}),
        )
        .await;
    assert_eq!(world.get("/v1/tracking/A/bad").await.0, StatusCode::OK);
    for wrong in [
        json!({"carrier": "A", "fault": "dance"}),
        json!({"carrier": "A", "fault": "status", "code": 99}),
    ] {
        assert_eq!(
            world.post("/v1/admin/faults", &wrong).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn invented_events_stay_the_same_and_are_listed_apart_in_the_truth() {
    let world = World::new(Progress::Ask);
    let fault = json!({"carrier": "A", "fault": "manyEvents", "count": 100});
    world.post("/v1/admin/faults", &fault).await;
    let first = world.get("/v1/tracking/A/n").await.1;
    let second = world.get("/v1/tracking/A/n").await.1;
    assert_eq!(first["events"].as_array().map(Vec::len), Some(101));
    assert_eq!(first["events"], second["events"]);
    let truth = world.get("/v1/admin/truth/A/n").await.1;
    assert_eq!(truth["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(truth["faultEvents"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn a_delay_waits_in_the_emulators_time() {
    let asked = Arc::new(Mutex::new(Duration::ZERO));
    let told = Arc::clone(&asked);
    let time = Time::new(
        || DateTime::from_timestamp(1_795_176_000, 0).expect("a time within range"),
        move |wait| {
            *told.lock().expect("is whole") += wait;
            Box::pin(async {})
        },
    );
    let emulator = Emulator::new(Options::default(), time);
    let request = Request::get("/v1/tracking/A/n?delayMs=1500")
        .body(Body::empty())
        .expect("a request");
    let Ok(response) = router(emulator).oneshot(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        *asked.lock().expect("is whole"),
        Duration::from_millis(1_500)
    );
}
