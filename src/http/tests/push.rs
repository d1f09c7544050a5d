//! What carriers push: who is let in, what is believed, and what a tracking shows of it.

mod hints;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};

use crate::config::{Config, Secret};
use crate::http::tests::{Answer, Api};
use crate::kafka::Bus;
use crate::kafka::memory::MemoryBus;
use crate::kafka::message::decode;
use crate::metrics::PushOutcome;
use crate::model::fixture::at;
use crate::model::tenant::Tenant;
use crate::model::{Held, Tracking};

const SECRET: &str = "kN3dP0r8mZ1bT6cYw9aQxV2s";
const BEFORE: &str = "Bef0reKN3dP0r8mZ1bT6cYw9";
const KEY: &str = "the key";

/// Parcels of POST_RU are pushed with a signature, those of CDEK, asked at its own API, without one.
fn configured(config: &mut Config) {
    let signed = config.carriers.get_mut("POST_RU").expect("is shipped");
    signed.push_secret = Secret::new(SECRET);
    signed.push_secret_before = Secret::new(BEFORE);
    signed.push_key = Secret::new(KEY);
    let unsigned = config.carriers.get_mut("CDEK").expect("is shipped");
    unsigned.adapter = "cdek".to_owned();
    unsigned.base_url = crate::config::SecretUrl::new("http://localhost:9000");
    unsigned.user = "account".to_owned();
    unsigned.secret = Secret::new("password");
    unsigned.push_secret = Secret::new(SECRET);
}

/// A parcel as the emulator tells of it: one event, so many seconds after the fixed moment.
fn body(number: &str, status: &str, secs: i64) -> Value {
    json!({"track_number": number, "status": status, "status_raw": status, "status_at": at(secs), "events": [{
        "status": status, "status_raw": status, "event_time": at(secs), "location": "Москва", "message": "",
    }]})
}

fn signature(body: &[u8], key: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body);
    tag.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// One of CDEK's statuses, which nothing signs.
fn status(number: &str, code: &str, secs: i64) -> Value {
    let at = at(secs).format("%Y-%m-%dT%H:%M:%S+0000").to_string();
    json!({"type": "ORDER_STATUS", "attributes": {
        "cdek_number": number, "code": code, "status_date_time": at, "city_name": "Москва",
    }})
}

impl Api {
    async fn push(&self, section: &str, secret: &str, body: &[u8], signed_by: &str) -> Answer {
        let path = format!("/push/{section}/{secret}");
        let signature = signature(body, signed_by);
        let headers = [("x-emulator-signature", signature.as_str())];
        self.call(Method::POST, &path, body.to_vec(), &headers)
            .await
    }

    async fn push_signed(&self, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.push("POST_RU", SECRET, &body, KEY).await
    }

    async fn push_unsigned(&self, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.push("CDEK", SECRET, &body, "").await
    }

    fn counted(&self, section: &str, outcome: PushOutcome) -> u64 {
        self.serve.metrics.pushes(section, outcome).get()
    }

    /// The updates on the bus, whose records are taken from it.
    async fn published(&self) -> Vec<Value> {
        let bus = self.serve.bus.as_ref().expect("has a bus");
        let fetched = bus.fetch(0, 0, Duration::ZERO).await;
        let records = fetched.expect("fetches").records;
        let values = records.iter().filter_map(|record| record.value.as_deref());
        let values = values.map(|value| serde_json::from_slice(value).expect("is JSON"));
        values.collect()
    }

    async fn row(&self, id: &str) -> Tracking {
        let id: i64 = id.parse().expect("a number");
        let current = &self.serve.current;
        let row = current
            .from_store(Tenant::DEFAULT, id)
            .await
            .expect("reads");
        row.expect("exists")
    }

    fn later(&self, secs: u64) {
        self.serve.clock.advance(Duration::from_secs(secs));
    }
}

#[tokio::test]
async fn a_stranger_sees_nothing_whatever_section_it_names() {
    let api = Api::with(configured).await;
    let nothing = api.get("/nothing").await.json()["detail"].clone();
    let body = body("A", "DELIVERED", 1).to_string().into_bytes();
    let addresses = [
        ("POST_RU", "x"),
        ("POST_RU", &SECRET[1..]),
        ("POST_RU", "%ff"),
        ("*", SECRET),
        ("NO_SUCH", SECRET),
    ];
    for (section, secret) in addresses {
        let answer = api.push(section, secret, &body, KEY).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{section}");
        assert_eq!(answer.json()["detail"], nothing, "{section}");
    }
    assert_eq!(api.counted("(none)", PushOutcome::Stranger), 5);
    assert!(api.published().await.is_empty());
    let got = api.get(&format!("/push/POST_RU/{SECRET}")).await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_the_carrier_signed_is_on_the_bus_before_it_is_answered_and_moves_the_status() {
    let api = Api::with(configured).await;
    let id = api.create("POST_RU", "a 1").await;
    for secret in [SECRET, BEFORE] {
        let body = body("A1", "OUT_FOR_DELIVERY", 30).to_string();
        let answer = api.push("POST_RU", secret, body.as_bytes(), KEY).await;
        assert_eq!(answer.ok(), json!({"parcels": 1}));
    }
    let published = api.published().await;
    assert_eq!(published.len(), 2, "a repetition is published too");
    assert_eq!(
        (&published[0]["source"], &published[0]["tracking_id"]),
        (&json!("push"), &json!(1))
    );
    let bytes = published[0].to_string().into_bytes();
    let update = decode(Some(&bytes), at(0), at(0)).expect("is read");
    assert_eq!((update.held, update.checked_at), (Held::Pushed, at(0)));
    api.apply(0, &published, Vec::new()).await;
    let row = api.row(&id).await;
    assert_eq!(
        (row.status.as_str(), row.status_at),
        ("OUT_FOR_DELIVERY", Some(at(30)))
    );
    assert_eq!((row.last_checked_at, row.last_ok_at), (None, None));
    assert_eq!(row.next_check_at, at(0), "it is still due");
    assert_eq!(api.counted("POST_RU", PushOutcome::Published), 2);
}

#[tokio::test]
async fn what_is_forged_has_no_effect() {
    let api = Api::with(configured).await;
    api.create("POST_RU", "A1").await;
    let bytes = body("A1", "DELIVERED", 1).to_string().into_bytes();
    let forged = api.push("POST_RU", SECRET, &bytes, "another key").await;
    let unsigned = api
        .call(
            Method::POST,
            &format!("/push/POST_RU/{SECRET}"),
            bytes.clone(),
            &[],
        )
        .await;
    let signature = signature(&bytes, KEY);
    let mut other = bytes;
    other.push(b' ');
    let headers = [("x-emulator-signature", signature.as_str())];
    let changed = api
        .call(
            Method::POST,
            &format!("/push/POST_RU/{SECRET}"),
            other,
            &headers,
        )
        .await;
    for answer in [forged, unsigned, changed] {
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.json()["type"], "urn:trackbox:problem:not-proven");
    }
    assert!(api.published().await.is_empty());
    assert_eq!(api.counted("POST_RU", PushOutcome::Forged), 3);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_with_what_is_wrong_and_counted() {
    let api = Api::with(configured).await;
    let whole = body("A1", "DELIVERED", 1).to_string().into_bytes();
    let cut = &whole[..whole.len() - 5];
    let large = vec![b' '; 256 * 1024 + 1];
    let cases = [
        (cut, 422, "ends too early"),
        (b"", 422, "ends too early"),
        (b"[]", 422, "names no track_number"),
        (b"{\"track_number\": null}", 422, "names no track_number"),
        (&large, 413, "at most 262144 bytes"),
    ];
    for (body, status, detail) in cases {
        let answer = api.push("POST_RU", SECRET, body, KEY).await;
        assert_eq!(answer.status.as_u16(), status, "{detail}");
        let told = answer.json()["detail"].to_string();
        assert!(told.contains(detail), "{told}");
    }
    assert_eq!(api.counted("POST_RU", PushOutcome::Unreadable), 5);
    let other = api.push_unsigned(&json!({"type": "PRINT_FORM"})).await;
    assert_eq!(other.ok(), json!({"parcels": 0}));
    assert_eq!(api.counted("CDEK", PushOutcome::Ignored), 1);
}

#[tokio::test]
async fn a_number_that_nobody_follows_is_taken_and_counted() {
    let api = Api::with(configured).await;
    api.create("CDEK", "A1").await;
    let answer = api.push_signed(&body("A1", "DELIVERED", 1)).await;
    assert_eq!(
        answer.ok(),
        json!({"parcels": 1}),
        "it is another carrier's"
    );
    assert_eq!(api.counted("POST_RU", PushOutcome::UnknownNumber), 1);
    assert_eq!(api.count().await, 1, "none is created");
}

#[tokio::test]
async fn what_nothing_signs_is_published_if_the_section_trusts_it() {
    let api = Api::with(|config| {
        configured(config);
        config
            .carriers
            .get_mut("CDEK")
            .expect("is there")
            .push_trust = true;
    })
    .await;
    let id = api.create("CDEK", "10001").await;
    api.push_unsigned(&status("10001", "TAKEN_BY_COURIER", 4))
        .await
        .ok();
    api.apply(0, &api.published().await, Vec::new()).await;
    let row = api.row(&id).await;
    assert_eq!(
        (row.status.as_str(), row.hinted_at),
        ("OUT_FOR_DELIVERY", None)
    );
}

#[tokio::test]
async fn sections_of_one_account_take_each_others_parcels_and_a_number_of_two_is_checked() {
    let api = Api::with(|config| {
        let any = config.carriers.get_mut("*").expect("is shipped");
        any.push_secret = Secret::new(SECRET);
        any.push_key = Secret::new(KEY);
        any.budget = Some("shared".to_owned());
        let named = any.clone();
        config.carriers.insert("NAMED".to_owned(), named);
    })
    .await;
    let mut ids = Vec::new();
    for (carrier, number) in [("NAMED", "A1"), ("X", "A2"), ("Y", "A2"), ("CDEK", "A1")] {
        ids.push(api.create(carrier, number).await);
    }
    for (section, number) in [("*", "A1"), ("NAMED", "A2"), ("*", "A3")] {
        let body = body(number, "DELIVERED", 1).to_string().into_bytes();
        api.push(section, SECRET, &body, KEY).await.ok();
    }
    let published = api.published().await;
    assert_eq!(published.len(), 1);
    assert_eq!(published[0]["tracking_id"].to_string(), ids[0]);
    for (id, hinted) in ids.iter().zip([None, Some(at(0)), Some(at(0)), None]) {
        assert_eq!(api.row(id).await.hinted_at, hinted, "{id}");
    }
    assert_eq!(api.counted("*", PushOutcome::UnknownNumber), 1);
}

#[tokio::test]
async fn a_body_is_sent_again_if_the_bus_does_not_take_it() {
    let api = Api::with(configured).await;
    api.create("POST_RU", "A1").await;
    let tiny = MemoryBus::new(api.serve.clock.clone(), &[0], 1);
    let full = api.rebuilt(|parts| parts.bus = Some(Bus::Memory(Arc::new(tiny))));
    for bus in [full.serve.bus.clone(), None] {
        let api = Api::with(configured).await.rebuilt(|parts| parts.bus = bus);
        api.create("POST_RU", "A1").await;
        let answer = api.push_signed(&body("A1", "DELIVERED", 1)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(api.counted("POST_RU", PushOutcome::Failed), 1);
    }
}

#[tokio::test]
async fn no_metric_and_no_answer_shows_a_secret() {
    let api = Api::with(configured).await;
    let answer = api.push_signed(&json!({})).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let metrics = api.get("/metrics").await;
    let shown = [answer.bytes, metrics.bytes].concat();
    let shown = String::from_utf8(shown).expect("is a text");
    assert!(shown.contains("/push/{section}/{secret}"));
    assert!(!shown.contains(SECRET) && !shown.contains(KEY));
}
