//! What the tests share: a store of their own, small trackings and messages.

use std::future::Future;

use chrono::TimeDelta;
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use trackbox::clock::Time;
use trackbox::kafka::message::decode;
use trackbox::model::{CarrierCode, TrackNumber, Tracking, Update};
use trackbox::store::partitions::Ownership;
use trackbox::store::updates::{Applied, Batch};
use trackbox::store::{Connections, Store, StoreError};
use uuid::Uuid;

/// The topic of the tests' batches.
pub const TOPIC: &str = "test";

/// A fixed moment: 2026-11-20T12:00:00Z, and `secs` after it.
pub fn at(secs: i64) -> Time {
    Time::from_timestamp(1_795_176_000, 0).expect("a time within range") + TimeDelta::seconds(secs)
}

/// A migrated store of the test's own.
pub struct TestStore {
    pub store: Store,
    pub url: String,
    _folder: Option<TempDir>,
}

/// A SQLite store of the test's own.
pub async fn sqlite() -> TestStore {
    let test = empty_sqlite().await;
    test.store.migrate().await.expect("migrates");
    test
}

/// The same without tables.
pub async fn empty_sqlite() -> TestStore {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/trackbox.db", folder.path().display());
    let store = Store::open(&url, Connections::default())
        .await
        .expect("opens");
    TestStore {
        store,
        url,
        _folder: Some(folder),
    }
}

/// A PostgreSQL database of the test's own, on the server that TRACKBOX_TEST_POSTGRES names.
pub async fn postgres(server: &str) -> TestStore {
    let test = empty_postgres(server).await;
    test.store.migrate().await.expect("migrates");
    test
}

/// Sorts texts as people do, unlike Rust: most databases out there do.
const LINGUISTIC: &str = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'";

/// The same without tables.
pub async fn empty_postgres(server: &str) -> TestStore {
    let name = format!("trackbox_{}", Uuid::now_v7().simple());
    let admin = sea_orm::Database::connect(format!("{server}/postgres"))
        .await
        .expect("connects");
    admin
        .execute_unprepared(&format!("CREATE DATABASE {name} {LINGUISTIC}"))
        .await
        .expect("creates a database");
    admin.close().await.expect("closes");
    let url = format!("{server}/{name}");
    let store = Store::open(
        &url,
        Connections {
            postgres: 4,
            ..Connections::default()
        },
    )
    .await
    .expect("opens");
    TestStore {
        store,
        url,
        _folder: None,
    }
}

/// Runs one contract on every kind of store.
pub async fn on_every_store<F: Future<Output = ()>>(contract: impl Fn(TestStore) -> F) {
    contract(sqlite().await).await;
    contract(postgres(&postgres_server()).await).await;
}

/// Where the tests' PostgreSQL is.
pub fn postgres_server() -> String {
    server("TRACKBOX_TEST_POSTGRES")
}

/// Where a server is that the tests need; without it they fail.
pub fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} names no server: run the tests through tools/test, which starts one")
    })
}

pub fn code(text: &str) -> CarrierCode {
    CarrierCode::parse(text).expect("a valid code")
}

pub fn number(text: &str) -> TrackNumber {
    TrackNumber::parse(text).expect("a valid number")
}

/// Makes `count` trackings of `carrier`, due at `at(0)`.
pub async fn create(store: &Store, carrier: &str, count: usize) -> Vec<Tracking> {
    let pairs: Vec<_> = (0..count)
        .map(|n| (code(carrier), number(&format!("N{n}"))))
        .collect();
    store.create_or_get(&pairs, at(0)).await.expect("creates")
}

/// The tracking as it is now.
pub async fn read(store: &Store, id: i64) -> Tracking {
    let mut rows = store.trackings_by_ids(&[id]).await.expect("reads");
    rows.pop().expect("is there")
}

/// A check that saw `events` (status and seconds), the last of which gives the status.
pub fn seen(id: i64, secs: i64, check: u128, events: &[(&str, i64)]) -> Update {
    let list: Vec<_> = events
        .iter()
        .map(|(status, secs)| {
            serde_json::json!({"status": status, "status_raw": status, "event_time": at(*secs), "location": "Moscow"})
        })
        .collect();
    let (status, status_secs) = events.last().copied().unwrap_or(("UNKNOWN", secs));
    message(&serde_json::json!({
        "tracking_id": id, "checked_at": at(secs), "check_id": Uuid::from_u128(check), "status": status,
        "status_raw": status, "status_at": at(status_secs), "next_check_at": at(secs + 60), "events": list,
        "check_fail_count": 0, "mapping_version": 1,
    }))
}

/// Sets TLS up once for the whole test process, as the program does at its start.
pub fn install_tls() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("is set up once");
    });
}

/// Reads a record's value as the consumer does.
pub fn message(value: &serde_json::Value) -> Update {
    let bytes = serde_json::to_vec(value).expect("is JSON");
    decode(Some(&bytes), at(0), at(10_000_000)).expect("is an update")
}

/// Applies batches to partition 0 as its owner.
pub struct Applier {
    pub ownership: Ownership,
    pub offset: i64,
}

impl Applier {
    pub async fn new(store: &Store) -> Self {
        let (ownership, offset) = store
            .take_partition(TOPIC, 0, Uuid::now_v7(), at(0))
            .await
            .expect("takes the partition");
        Self { ownership, offset }
    }

    pub async fn apply(
        &mut self,
        store: &Store,
        updates: Vec<Update>,
    ) -> Result<Applied, StoreError> {
        let batch = Batch {
            ownership: self.ownership.clone(),
            first_offset: self.offset,
            next_offset: self.offset + i64::try_from(updates.len()).expect("few"),
            updates,
            dead_letters: Vec::new(),
        };
        let applied = store.apply(&batch, at(500), async |_| {}).await?;
        self.offset = batch.next_offset;
        Ok(applied)
    }
}
