//! In virtual time, against doubles of CDEK and UPS that take subscriptions: each is made once, renewed in time, and a refusal is
//! not repeated for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;
use trackbox::app;
use trackbox::config::Preset;
use trackbox::model::Tracking;
use trackbox::model::tenant::Tenant;
use trackbox::store::subscriptions::SubscriptionState;

use crate::support::fixture::{code, number};
use crate::support::pipe::{Pipe, Setup};
use crate::support::scripted::serve;

const SECRET: &str = "kN3dP0r8mZ1bT6cYw9aQxV2s";
const KEY: &str = "the-credential";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// What the double was asked to push.
#[derive(Default)]
struct Book {
    /// The bodies of the calls that subscribed, those that were refused among them.
    calls: Vec<Value>,
    /// How often each number was subscribed.
    numbers: HashMap<String, u32>,
    /// The status of the next answers, and what is said.
    refuses: Option<(u16, Value)>,
}

#[derive(Clone, Default)]
struct Double(Arc<Mutex<Book>>);

async fn token() -> Json<Value> {
    Json(json!({"access_token": "t0ken", "expires_in": 3_600}))
}

async fn subscribe(
    State(double): State<Double>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut book = double.0.lock();
    book.calls.push(body.clone());
    if let Some((status, said)) = book.refuses.clone() {
        return (StatusCode::from_u16(status).expect("a status"), Json(said));
    }
    let numbers = body["trackingNumberList"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let is_1z = |number: &&Value| number.as_str().is_some_and(|it| it.starts_with("1Z"));
    let (valid, invalid): (Vec<&Value>, Vec<&Value>) = numbers.iter().partition(is_1z);
    for number in valid.iter().filter_map(|it| it.as_str()) {
        *book.numbers.entry(number.to_owned()).or_default() += 1;
    }
    let told = json!({
        "validTrackingNumbers": valid, "invalidTrackingNumbers": invalid,
        "entity": {"uuid": "7a4e7021-b2a9-42ad-932d-03007eec3bd7"},
        "requests": [{"type": "CREATE", "state": "SUCCESSFUL"}],
    });
    (StatusCode::OK, Json(told))
}

async fn parcel(Path(number): Path<String>) -> Json<Value> {
    let activity = json!({
        "date": "20261119", "time": "100000", "gmtOffset": "+00:00",
        "status": {"type": "I", "statusCode": "005", "description": "On the Way"},
        "location": {"address": {"city": "Hickory", "countryCode": "US"}},
    });
    let package = json!({"trackingNumber": number, "activity": [activity]});
    Json(json!({"trackResponse": {"shipment": [{"package": [package]}]}}))
}

impl Double {
    async fn start() -> (Self, String, DropGuard) {
        let double = Self::default();
        let router = Router::new()
            .route("/v2/oauth/token", post(token))
            .route("/security/v1/oauth/token", post(token))
            .route("/v2/webhooks", post(subscribe))
            .route(
                "/api/track/v1/subscription/standard/package",
                post(subscribe),
            )
            .route("/api/track/v1/details/{number}", get(parcel))
            .with_state(double.clone());
        let (url, stop) = serve(router).await;
        (double, url, stop)
    }

    fn calls(&self) -> usize {
        self.0.lock().calls.len()
    }
}

/// Two workers of one account of `adapter`, which the carriers reach under `public_url`.
async fn pipe(adapter: &str, url: &str, public_url: &str) -> Pipe {
    Pipe::new(Setup {
        limits: vec![("CDEK", 0)],
        workers: 2,
        settings: vec![
            ("CARRIERS__CDEK__ADAPTER", adapter.to_owned()),
            ("CARRIERS__CDEK__BASE_URL", url.to_owned()),
            ("CARRIERS__CDEK__USER", "me".to_owned()),
            ("CARRIERS__CDEK__SECRET", "hunter2".to_owned()),
            ("CARRIERS__CDEK__PUSH_SECRET", SECRET.to_owned()),
            ("CARRIERS__CDEK__PUSH_KEY", KEY.to_owned()),
            (
                "CARRIERS__CDEK__LIMITS",
                "{ calls = 1200, per = \"1m\" }".to_owned(),
            ),
            ("HTTP__PUBLIC_URL", public_url.to_owned()),
        ],
        cadence: Preset::Normal,
        ..Setup::default()
    })
    .await
}

async fn state(pipe: &Pipe) -> Vec<SubscriptionState> {
    let states = pipe.parts.store.subscription_states().await;
    states.expect("reads")
}

/// Workers that know nothing of what the ones before did.
fn restart(pipe: &mut Pipe) {
    let worker = |_| app::work::scheduler(&pipe.parts).expect("makes a worker");
    pipe.workers = (0..2).map(worker).collect();
}

#[tokio::test]
async fn two_workers_subscribe_an_account_once_and_a_restart_does_not_again() {
    let (double, url, _stop) = Double::start().await;
    let mut pipe = pipe("cdek", &url, "https://track.example.org").await;
    pipe.run_for(MINUTE * 3).await;
    restart(&mut pipe);
    pipe.run_for(MINUTE * 3).await;
    let told = json!({"type": "ORDER_STATUS", "url": format!("https://track.example.org/push/CDEK/{SECRET}")});
    assert_eq!(double.0.lock().calls, [told]);
    let state = state(&pipe).await;
    assert_eq!(state.len(), 1);
    assert_eq!((state[0].fails, state[0].ask_at), (0, None));
    let metrics = pipe.parts.metrics.encode();
    let made = "trackbox_subscriptions_total{section=\"CDEK\",outcome=\"made\"} 1";
    assert!(metrics.contains(made), "{metrics}");
}

#[tokio::test]
async fn without_a_public_address_nothing_is_subscribed() {
    let (double, url, _stop) = Double::start().await;
    let mut pipe = pipe("cdek", &url, "").await;
    pipe.run_for(MINUTE * 3).await;
    assert_eq!(double.calls(), 0);
    assert_eq!(state(&pipe).await, []);
}

#[tokio::test]
async fn a_refused_subscription_is_tried_few_times_a_day_and_hides_the_secret() {
    let (double, url, _stop) = Double::start().await;
    let said = format!("url https://track.example.org/push/CDEK/{SECRET} does not answer");
    let errors = json!([{"code": "v2_invalid_webhook", "message": said}]);
    let refusal = json!({"requests": [{"type": "CREATE", "state": "INVALID", "errors": errors}]});
    double.0.lock().refuses = Some((400, refusal));
    let mut pipe = pipe("cdek", &url, "https://track.example.org").await;
    for _ in 0..72 {
        pipe.run_for(Duration::from_secs(2)).await;
        pipe.advance(MINUTE * 20);
    }
    assert!((3..=7).contains(&double.calls()), "{}", double.calls());
    let state = state(&pipe).await;
    assert_eq!(state[0].fails as usize, double.calls());
    let error = &state[0].error;
    assert!(
        error.contains("does not answer") && !error.contains(SECRET),
        "{error}"
    );
    let paused = pipe.parts.store.account_states(pipe.clock.now()).await;
    assert!(
        paused
            .expect("reads")
            .iter()
            .all(|it| it.paused_until.is_none())
    );
    double.0.lock().refuses = None;
    let before = double.calls();
    for _ in 0..75 {
        pipe.run_for(Duration::from_secs(2)).await;
        pipe.advance(MINUTE * 20);
    }
    assert_eq!(double.calls(), before + 1);
}

/// 110 parcels, one of them with a number that UPS does not push.
async fn parcels(pipe: &Pipe) -> Vec<Tracking> {
    let text = |n| match n {
        0 => "9241990100130206401644".to_owned(),
        n => format!("1ZABCXYZ01{n:08}"),
    };
    let pairs: Vec<_> = (0..110).map(|n| (code("CDEK"), number(&text(n)))).collect();
    let now = pipe.clock.now();
    let creating = pipe
        .parts
        .current
        .create_or_get(Tenant::DEFAULT, &pairs, now);
    creating.await.expect("creates")
}

#[tokio::test]
async fn each_number_is_subscribed_once_and_renewed_before_it_ends() {
    let (double, url, _stop) = Double::start().await;
    let mut pipe = pipe("ups", &url, "https://track.example.org").await;
    parcels(&pipe).await;
    pipe.run_for(MINUTE * 4).await;
    restart(&mut pipe);
    pipe.run_for(MINUTE * 2).await;
    {
        let book = double.0.lock();
        assert_eq!(book.numbers.len(), 109);
        assert!(book.numbers.values().all(|times| *times == 1));
        assert!((2..=4).contains(&book.calls.len()), "{}", book.calls.len());
        for call in &book.calls {
            let numbers = call["trackingNumberList"].as_array().map_or(0, Vec::len);
            assert!((1..=100).contains(&numbers));
            assert_eq!(call["destination"]["credential"], KEY);
        }
    }
    pipe.advance(DAY * 11);
    pipe.run_for(MINUTE * 2).await;
    assert!(double.0.lock().numbers.values().all(|times| *times == 1));
    pipe.advance(DAY);
    pipe.run_for(MINUTE * 3).await;
    let book = double.0.lock();
    assert!(
        book.numbers.values().all(|times| *times == 2),
        "{:?}",
        book.numbers
    );
}
