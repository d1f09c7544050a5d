//! The emulator's HTTP API through its router, with a clock that the test moves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::emulator::Emulator;
use crate::http::router;
use crate::options::{Options, Progress};
use crate::time::Time;

mod faults;
mod oauth;
mod wire;

struct World {
    emulator: Emulator,
    now: Arc<Mutex<DateTime<Utc>>>,
}

impl World {
    fn new(progress: Progress) -> Self {
        Self::with(Options {
            progress,
            ..Options::default()
        })
    }

    fn with(options: Options) -> Self {
        let start = DateTime::from_timestamp(1_795_176_000, 0).expect("a time within range");
        let now = Arc::new(Mutex::new(start));
        let told = Arc::clone(&now);
        let time = Time::new(
            move || *told.lock().expect("is whole"),
            |_| Box::pin(async {}),
        );
        Self {
            emulator: Emulator::new(options, time),
            now,
        }
    }

    fn advance(&self, secs: i64) {
        *self.now.lock().expect("is whole") += TimeDelta::seconds(secs);
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Request::get(path).body(Body::empty()).expect("a request"))
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call(
            Request::post(path)
                .body(Body::from(body.to_string()))
                .expect("a request"),
        )
        .await
    }

    async fn call(&self, request: Request<Body>) -> (StatusCode, Value) {
        let Ok(response) = router(self.emulator.clone()).oneshot(request).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), 100_000_000)
            .await
            .unwrap_or_default();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn events(&self, carrier: &str, number: &str) -> usize {
        let (_, answer) = self.get(&format!("/v1/tracking/{carrier}/{number}")).await;
        answer["events"].as_array().map_or(0, Vec::len)
    }
}

fn parcel(number: &str, prob: f64, steps: usize) -> Value {
    let steps: Vec<Value> = (0..steps)
        .map(|n| json!({"status": "IN_TRANSIT", "statusRaw": format!("S{n}"), "location": "X"}))
        .collect();
    json!({"items": [{"carrier": "A", "trackNumber": number, "stepSeconds": 10, "progressProb": prob, "steps": steps}]})
}

#[tokio::test]
async fn progress_ask_moves_a_parcel_when_its_time_has_passed_or_by_chance() {
    let world = World::new(Progress::Ask);
    world
        .post("/v1/admin/seed-v1", &parcel("slow", 0.0, 3))
        .await;
    world
        .post("/v1/admin/seed-v1", &parcel("fast", 1.0, 3))
        .await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(world.events("A", "slow").await);
        world.advance(6);
    }
    assert_eq!(slow, [1, 1, 2, 2]);
    let mut fast = Vec::new();
    for _ in 0..4 {
        fast.push(world.events("A", "fast").await);
    }
    assert_eq!(fast, [1, 2, 3, 3]);
}

#[tokio::test]
async fn progress_clock_moves_a_parcel_at_its_own_times_without_calls() {
    let (one, two) = (World::new(Progress::Clock), World::new(Progress::Clock));
    for world in [&one, &two] {
        world.post("/v1/admin/seed-v1", &parcel("n", 0.0, 5)).await;
    }
    assert_eq!(one.events("A", "n").await, 1);
    one.advance(600);
    two.advance(600);
    let (first, second) = (
        one.get("/v1/tracking/A/n").await.1,
        two.get("/v1/tracking/A/n").await.1,
    );
    assert_eq!(first["events"].as_array().map(Vec::len), Some(5));
    assert_eq!(first, second, "the same seed gives the same times");
}

#[tokio::test]
async fn an_unseeded_number_has_its_carriers_default_journey() {
    let world = World::new(Progress::Ask);
    for (carrier, last) in [
        ("CDEK", "DELIVERED"),
        ("POST_RU", "Вручено адресату"),
        ("OTHER", "DELIVERED"),
    ] {
        let mut answer = Value::Null;
        for _ in 0..3 {
            answer = world.get(&format!("/v1/tracking/{carrier}/n")).await.1;
            world.advance(30);
        }
        assert_eq!(answer["status_raw"], last, "{carrier}");
        assert_eq!(answer["status"], "DELIVERED", "{carrier}");
    }
}

#[tokio::test]
async fn past_the_minutes_limit_a_call_is_refused_and_counted() {
    let world = World::new(Progress::Ask);
    let mut refused = 0;
    for n in 0..25 {
        let (status, answer) = world.get(&format!("/v1/tracking/POST_RU/{n}")).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused += 1;
            assert!(answer["detail"].is_string());
        }
    }
    let ledger = world.get("/v1/admin/ledger").await.1;
    let calls = &ledger["carriers"]["POST_RU"];
    assert_eq!(
        (refused, &calls["calls"], &calls["limited"]),
        (5, &json!(25), &json!(5))
    );
    assert_eq!(
        (&calls["ok"], &calls["overMinute"]),
        (&json!(20), &json!(5))
    );
}

#[tokio::test]
async fn a_batch_is_one_call_of_at_most_thirty_numbers_of_one_carrier() {
    let world = World::new(Progress::Ask);
    let items = |count: usize, last: &str| {
        let list: Vec<Value> = (0..count)
            .map(|n| json!({"carrier": if n + 1 == count { last } else { "CDEK" }, "trackNumber": n.to_string()}))
            .collect();
        json!({"items": list})
    };
    let (status, answer) = world.post("/v1/tracking/batch", &items(30, "CDEK")).await;
    assert_eq!(
        (status, answer["results"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(30))
    );
    assert_eq!(answer["results"][7]["track_number"], "7");
    for (wrong, says) in [
        (items(31, "CDEK"), "at most 30"),
        (items(3, "POST_RU"), "items[2]"),
        (items(0, ""), "empty"),
    ] {
        let (status, answer) = world.post("/v1/tracking/batch", &wrong).await;
        assert!(status.is_client_error());
        assert!(
            answer["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(says)),
            "{answer}"
        );
    }
    assert_eq!(
        world.get("/v1/admin/ledger").await.1["carriers"]["CDEK"]["calls"],
        1
    );
}

#[tokio::test]
async fn late_and_repeated_events_amount_to_the_truth() {
    let world = World::new(Progress::Clock);
    let body = json!({"items": [{"carrier": "A", "trackNumber": "n", "stepSeconds": 10, "steps": [
        {"status": "IN_TRANSIT", "statusRaw": "1"},
        {"status": "IN_TRANSIT", "statusRaw": "2", "lateSeconds": 40},
        {"status": "IN_TRANSIT", "statusRaw": "3", "repeat": 3},
        {"status": "DELIVERED", "statusRaw": "4"},
    ]}]});
    world.post("/v1/admin/seed-v1", &body).await;
    let mut was_late = false;
    for _ in 0..70 {
        let told = world.get("/v1/tracking/A/n").await.1;
        let truth = world.get("/v1/admin/truth/A/n").await.1;
        let set = |list: &Value| -> BTreeSet<String> {
            list.as_array()
                .into_iter()
                .flatten()
                .map(|e| e["status_raw"].to_string())
                .collect()
        };
        assert_eq!(set(&told["events"]), set(&truth["events"]));
        assert_eq!(
            (&told["status"], &told["status_raw"]),
            (&truth["status"], &truth["statusRaw"])
        );
        was_late |=
            set(&truth["events"]).contains("\"3\"") && !set(&truth["events"]).contains("\"2\"");
        world.advance(1);
    }
    assert!(was_late, "3 was told before 2");
    let truth = world.get("/v1/admin/truth/A/n").await.1;
    assert_eq!(
        (&truth["done"], truth["events"].as_array().map(Vec::len)),
        (&json!(true), Some(4))
    );
}

#[tokio::test]
async fn the_aggregators_speak_their_own_way() {
    let world = World::new(Progress::Ask);
    let step = json!({"operationAttribute": "Единичный", "operationType": "Приём", "operationPlaceName": "Москва",
        "operationPlacePostalCode": "101000"});
    let body =
        json!({"items": [{"carrier": "AUTO", "code": "RA1", "stepSeconds": 10, "steps": [step]}]});
    assert_eq!(
        world.post("/v1/admin/seed", &body).await.1,
        json!({"status": "ok", "count": 1})
    );
    let (_, answer) = world
        .get("/tracking.json.php?apiKey=k&domain=d&code=RA1")
        .await;
    let event = &answer["data"]["events"][0];
    assert_eq!(event["operationDateTime"], "20.11.2026 12:00:00");
    assert_eq!(
        (
            &event["operationAttribute"],
            &event["operationPlacePostalCode"]
        ),
        (&json!("Единичный"), &json!("101000"))
    );
    let (status, answer) = world.get("/tracking.json.php?apiKey=k&code=RA1").await;
    assert_eq!(
        (status, answer["detail"].as_str()),
        (
            StatusCode::BAD_REQUEST,
            Some("the parameter domain is missing")
        )
    );
    let (status, answer) = world
        .get("/gdeposylka/api/v4/track?token=t&track=RA1")
        .await;
    assert_eq!(
        (status, &answer["checkpoints"][0]["location"]),
        (StatusCode::OK, &json!("Москва"))
    );
    assert_eq!(
        world
            .get("/gdeposylka/api/v4/track?token=t&track=RA9")
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    for _ in 0..5 {
        world.advance(60);
        world
            .get("/tracking.json.php?apiKey=k&domain=d&code=new")
            .await;
    }
    let (_, answer) = world
        .get("/tracking.json.php?apiKey=k&domain=d&code=new")
        .await;
    assert_eq!(
        answer["data"]["events"].as_array().map(Vec::len),
        Some(2),
        "it never arrives"
    );
}

#[tokio::test]
async fn a_refused_request_says_what_is_wrong() {
    let world = World::new(Progress::Ask);
    let none = json!({"items": [{"carrier": "A", "trackNumber": "n", "steps": []}]});
    let (status, answer) = world.post("/v1/admin/seed-v1", &none).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer["detail"], "items[0]: steps must not be empty");
    for path in [
        "/v1/tracking/A/n?delayMs=10001",
        "/v1/tracking/A/n?failRate=2",
        "/v1/tracking/A/n?failRate=x",
    ] {
        assert_eq!(world.get(path).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(
        world.get("/v1/tracking/A/n?failRate=1").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        world.get("/nowhere").await,
        (
            StatusCode::NOT_FOUND,
            json!({"detail": "there is no /nowhere"})
        )
    );
    assert_eq!(
        world.get("/v1/admin/truth/A/unknown").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn blanks_and_small_letters_in_a_number_make_no_other_parcel() {
    let world = World::new(Progress::Clock);
    let seed = parcel("ab 1", 1.0, 3);
    world.post("/v1/admin/seed-v1", &seed).await;
    let (_, truth) = world.get("/v1/admin/truth/A/AB1").await;
    assert_eq!(truth["trackNumber"], "ab 1");
    let (_, answer) = world.get("/v1/tracking/A/aB1").await;
    assert_eq!(answer["track_number"], "aB1");
    let (_, all) = world.get("/v1/admin/truth").await;
    assert_eq!(all["total"], 1);
}

#[tokio::test]
async fn reset_forgets_everything() {
    let world = World::new(Progress::Ask);
    world.post("/v1/admin/seed-v1", &parcel("n", 0.0, 3)).await;
    world.events("A", "n").await;
    assert_eq!(
        world.post("/v1/admin/reset", &Value::Null).await.1,
        json!({"status": "ok"})
    );
    assert_eq!(world.get("/v1/admin/truth").await.1["total"], 0);
    assert_eq!(
        world.get("/v1/admin/ledger").await.1,
        json!({"carriers": {}})
    );
}
