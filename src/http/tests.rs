//! Tests of the API: through its router, without a port, each on its own SQLite store.

mod access;
mod bad_input;
mod contract;
mod edges;
mod feed;
mod limits;
mod openapi;
mod parcels;
mod plans;
mod push;
mod shops;
mod spellings;
mod veil;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::app::parts::cadence;
use crate::cache::Cache;
use crate::cache::memory::MemoryCache;
use crate::carriers::routes::Routes;
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::current::Current;
use crate::feed::Feed;
use crate::http::allowance::Refreshes;
use crate::http::push::meaning::Rules;
use crate::http::tally::Tally;
use crate::http::{Parts, Serve, router};
use crate::kafka::Bus;
use crate::kafka::memory::{MemoryBus, TOPIC};
use crate::kafka::message::decode;
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::serving::access::Access;
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;
use crate::store::dead_letters::DeadLetter;
use crate::store::updates::Batch;
use crate::store::{Connections, WholeStore};

/// A fixed moment: 2026-11-20T12:00:00Z, and `secs` after it.
fn at(secs: i64) -> Time {
    Time::from_timestamp(1_795_176_000, 0).expect("a time within range") + TimeDelta::seconds(secs)
}

/// An API and its parts.
struct Api {
    serve: Serve,
    router: Router,
    _folder: TempDir,
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("the answer is JSON")
    }

    /// The pointers of a problem's errors.
    fn pointers(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .filter_map(|error| error["pointer"].as_str().or(error["parameter"].as_str()))
            .map(str::to_owned)
            .collect()
    }

    /// Checks that it is a problem (RFC 9457); returns the detail.
    fn problem(&self, status: u16) -> String {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(body["status"], status);
        assert!(
            body["type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("urn:trackbox:problem:"))
        );
        assert!(
            body["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        assert_eq!(
            body["requestId"].as_str(),
            self.headers["x-request-id"].to_str().ok()
        );
        body["detail"].as_str().expect("a detail").to_owned()
    }

    /// Checks that it is a success; returns the body.
    fn ok(&self) -> Value {
        assert_eq!(
            self.status,
            StatusCode::OK,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        self.json()
    }
}

impl Api {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// An API with a configuration changed by `adapt`.
    async fn with(adapt: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        adapt(&mut config);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/trackbox.db", folder.path().display());
        let database = WholeStore::open(&url, Connections::default())
            .await
            .expect("opens");
        database.migrate().await.expect("migrates");
        let clock = Clock::manual(at(0));
        let pinged = database.store();
        let ready = ReadyChecks::default().with("database", move || {
            let store = pinged.clone();
            async move { store.ping().await }
        });
        let bus = MemoryBus::new(clock.clone(), &[0], 1024 * 1024);
        let routes = Routes::new(&config).expect("routes");
        let database = database.learning_by(routes.sections());
        let store = database.store();
        let metrics = Arc::new(Metrics::new());
        let cache = Cache::Memory(Arc::new(MemoryCache::new(10_000, Duration::from_secs(600))));
        let access = Access::new(
            store.clone(),
            clock.clone(),
            Arc::clone(&metrics),
            &config.http,
        );
        let serve = Serve::new(Parts {
            gate: access.at(config.http.listen),
            learned: Learned::new(store.clone()),
            tally: Tally::default(),
            current: Current::new(database, cache, Arc::clone(&metrics)),
            store,
            clock,
            routes: Arc::new(routes),
            metrics,
            bus: Some(Bus::Memory(Arc::new(bus))),
            ready,
            flood: FloodGuard::new(&config.http),
            refreshes: Arc::new(Refreshes::new(&config.http)),
            feed: Feed::default(),
            http: config.http,
            pushes: Rules {
                cadence: cadence(&config.work),
                names: config.facts.in_messages,
            },
        });
        let router = router::router(serve.clone());
        Self {
            serve,
            router,
            _folder: folder,
        }
    }

    /// One that other machines may reach.
    async fn shut_with(adapt: impl FnOnce(&mut Config)) -> Self {
        Self::with(|config| {
            config.http.listen = "0.0.0.0:8080".parse().expect("an address");
            adapt(config);
        })
        .await
    }

    /// The same API with parts changed by `adapt`.
    fn rebuilt(self, adapt: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = Parts::clone(&self.serve);
        adapt(&mut parts);
        let serve = Serve::new(parts);
        Self {
            router: router::router(serve.clone()),
            serve,
            _folder: self._folder,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("is infallible");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a whole body");
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: bytes.to_vec(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Vec::new(), &[]).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string().into_bytes()).await
    }

    async fn post_bytes(&self, path: &str, body: Vec<u8>) -> Answer {
        self.call(Method::POST, path, body, &[]).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).expect("a request"))
            .await
    }

    /// Creates one tracking; returns its id.
    async fn create(&self, carrier: &str, number: &str) -> String {
        let item = json!({"carrierCode": carrier, "trackNumber": number});
        let body = self
            .post("/trackings", &json!({"items": [item]}))
            .await
            .ok();
        body["trackings"][0]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    async fn count(&self) -> usize {
        self.serve
            .store
            .trackings_after(0, 1_000)
            .await
            .expect("reads")
            .len()
    }

    /// Applies updates and dead letters as the consumer does, at the next offset of `partition`.
    async fn apply(&self, partition: i32, updates: &[Value], dead_letters: Vec<DeadLetter>) {
        let updates = updates
            .iter()
            .map(|value| {
                let bytes = serde_json::to_vec(value).expect("is JSON");
                decode(Some(&bytes), at(0), at(1_000_000)).expect("is an update")
            })
            .collect();
        let store = &self.serve.store;
        let (ownership, offset) = store
            .take_partition(TOPIC, partition, Uuid::now_v7(), at(0))
            .await
            .expect("takes");
        let batch = Batch {
            ownership,
            first_offset: offset,
            next_offset: offset + 1_000,
            updates,
            dead_letters,
        };
        let applied = self.serve.current.apply(&[batch], at(0)).await;
        applied.expect("applies");
    }
}

/// The update of a parcel with `events` events, a second apart.
fn seen(tracking_id: &str, events: usize) -> Value {
    let list: Vec<Value> = (0..events)
        .map(|n| {
            json!({
                "status": "IN_TRANSIT", "status_raw": format!("STEP {n}"),
                "event_time": at(i64::try_from(n).expect("few") - 5_000),
                "location": "Москва", "message": "принято", "payload": {"n": n},
            })
        })
        .collect();
    json!({
        "tracking_id": tracking_id.parse::<i64>().expect("a number"), "checked_at": at(0),
        "check_id": Uuid::from_u128(1), "status": "IN_TRANSIT", "status_raw": "STEP", "status_at": at(-10),
        "next_check_at": at(60), "events": list, "check_fail_count": 0, "mapping_version": 1,
    })
}

fn letter(offset: i64, value: &[u8], size_bytes: i64) -> DeadLetter {
    DeadLetter {
        id: 0,
        topic: TOPIC.to_owned(),
        partition: 7,
        offset,
        key: Some(b"1".to_vec()),
        value: value.to_vec(),
        size_bytes,
        error: "is unreadable".to_owned(),
        at: at(0),
    }
}
