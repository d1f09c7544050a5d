//! In virtual time, against an aggregator that has to be told its numbers: each is registered once, since that costs money.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;
use trackbox::model::Tracking;
use trackbox::model::status::Status;
use trackbox::model::tenant::Tenant;

use crate::support::fixture::{code, number, read_all};
use crate::support::pipe::{Pipe, Setup};
use crate::support::scripted::serve;

const HOUR: Duration = Duration::from_secs(3_600);

/// How often each number was registered, and what the aggregator does with the next registrations.
#[derive(Default)]
struct Book {
    registered: HashMap<String, u32>,
    reads: u32,
    /// It takes the next registration, but its answer is lost.
    loses_next: bool,
    /// Whether it has news of what is registered.
    has_news: bool,
}

#[derive(Clone, Default)]
struct Aggregator(Arc<Mutex<Book>>);

async fn answer(
    State(aggregator): State<Aggregator>,
    Path(what): Path<String>,
    Json(numbers): Json<Vec<Value>>,
) -> (StatusCode, Json<Value>) {
    let mut book = aggregator.0.lock();
    let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
    let reads = what == "gettrackinfo";
    book.reads += u32::from(reads);
    for number in numbers.iter().filter_map(|it| it["number"].as_str()) {
        let is_known = book.registered.contains_key(number);
        let error = match (reads, is_known) {
            (true, false) => Some(-18_019_902),
            (true, true) if !book.has_news => Some(-18_019_909),
            (false, true) => Some(-18_019_901),
            _ => None,
        };
        if !reads {
            *book.registered.entry(number.to_owned()).or_default() += 1;
        }
        match error {
            Some(code) => rejected
                .push(json!({"number": number, "error": {"code": code, "message": "so it is"}})),
            None => accepted.push(json!({"number": number, "track_info": reads.then(news)})),
        }
    }
    let is_lost = !reads && std::mem::take(&mut book.loses_next);
    let status = match is_lost {
        true => StatusCode::BAD_GATEWAY,
        false => StatusCode::OK,
    };
    let data = json!({"accepted": accepted, "rejected": rejected});
    (status, Json(json!({"code": 0, "data": data})))
}

fn news() -> Value {
    let event = json!({
        "time_iso": "2026-11-20T10:00:00+08:00", "description": "picked up", "location": "Shenzhen",
        "sub_status": "InTransit_PickedUp",
    });
    json!({
        "latest_status": {"status": "InTransit", "sub_status": "InTransit_PickedUp"},
        "tracking": {"providers": [{"events": [event]}]},
    })
}

async fn start() -> (Aggregator, String, DropGuard) {
    let aggregator = Aggregator::default();
    let router = Router::new()
        .route("/track/v2.4/{what}", post(answer))
        .with_state(aggregator.clone());
    let (url, stop) = serve(router).await;
    (aggregator, url, stop)
}

/// Two workers that ask the aggregator for 100 parcels.
async fn pipe(url: &str, register: bool) -> (Pipe, Vec<Tracking>) {
    let pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 60)],
        workers: 2,
        settings: vec![
            ("CARRIERS__CDEK__ADAPTER", "17track".to_owned()),
            ("CARRIERS__CDEK__BASE_URL", url.to_owned()),
            ("CARRIERS__CDEK__API_KEY", "k3y".to_owned()),
            ("CARRIERS__CDEK__REGISTER", register.to_string()),
        ],
        ..Setup::default()
    })
    .await;
    let pairs: Vec<_> = (0..100)
        .map(|n| (code("CDEK"), number(&format!("NUMBER{n}"))))
        .collect();
    let created = pipe
        .parts
        .current
        .create_or_get(Tenant::DEFAULT, &pairs, pipe.clock.now());
    let rows = created.await.expect("creates");
    (pipe, rows)
}

async fn statuses(pipe: &Pipe, rows: &[Tracking]) -> HashMap<Status, usize> {
    let mut statuses = HashMap::new();
    for row in read_all(&pipe.parts.store, rows).await {
        *statuses.entry(row.status).or_default() += 1;
    }
    statuses
}

#[tokio::test]
async fn each_number_is_registered_once_and_then_read() {
    let (aggregator, url, _stop) = start().await;
    let (mut pipe, rows) = pipe(&url, true).await;
    pipe.run_for(Duration::from_secs(60)).await;
    assert_eq!(
        statuses(&pipe, &rows).await,
        [(Status::Pending, 100)].into()
    );
    assert_eq!(aggregator.0.lock().registered.len(), 100);
    let reads = aggregator.0.lock().reads;
    assert!((3..=6).contains(&reads), "in 40s: {reads}");
    aggregator.0.lock().has_news = true;
    pipe.advance(HOUR * 2);
    pipe.run_for(Duration::from_secs(60)).await;
    assert_eq!(
        aggregator.0.lock().reads,
        reads,
        "it has nothing new sooner"
    );
    pipe.advance(HOUR);
    pipe.run_for(Duration::from_secs(60)).await;
    assert_eq!(
        statuses(&pipe, &rows).await,
        [(Status::InTransit, 100)].into()
    );
    let book = aggregator.0.lock();
    assert!(book.registered.values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_registration_whose_answer_was_lost_is_not_paid_twice() {
    let (aggregator, url, _stop) = start().await;
    let (mut pipe, rows) = pipe(&url, true).await;
    aggregator.0.lock().loses_next = true;
    for _ in 0..30 {
        pipe.run_for(Duration::from_secs(20)).await;
        pipe.advance(HOUR / 4);
    }
    assert_eq!(
        statuses(&pipe, &rows).await,
        [(Status::Pending, 100)].into()
    );
    let book = aggregator.0.lock();
    assert_eq!(book.registered.len(), 100);
    assert!(
        book.registered.values().all(|times| *times == 1),
        "{:?}",
        book.registered
    );
}

#[tokio::test]
async fn a_section_that_must_not_register_registers_nothing() {
    let (aggregator, url, _stop) = start().await;
    let (mut pipe, rows) = pipe(&url, false).await;
    // So many failures may pause the account, so it may take more than a minute until each was asked for.
    for _ in 0..60 {
        pipe.run_for(Duration::from_secs(60)).await;
        let rows = read_all(&pipe.parts.store, &rows).await;
        if rows.iter().all(|row| row.check_fail_count > 0) {
            break;
        }
    }
    assert!(aggregator.0.lock().registered.is_empty());
    for row in read_all(&pipe.parts.store, &rows).await {
        let why = "it is not registered, and the section says register = false";
        assert_eq!(row.last_error, why);
        assert!(row.check_fail_count > 0);
    }
}
