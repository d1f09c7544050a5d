//! A store of a test's own, and what most tests do with it.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use trackbox::model::tenant::{Payer, Tenant};
use trackbox::model::{CarrierCode, TrackNumber, Tracking, TrackingEvent, Update};
use trackbox::store::claims::{Claim, Claimed, Early, Share, Take};
use trackbox::store::error::StoreError;
use trackbox::store::partitions::Ownership;
use trackbox::store::updates::{Applied, Batch};
use trackbox::store::{Connections, Store, WholeStore};
use uuid::Uuid;

use crate::support::engines::server;
use crate::support::time::at;

/// The topic of the tests' batches.
pub const TOPIC: &str = "test";

/// How long the tests' claims hold.
pub const LEASE: Duration = Duration::from_secs(120);

/// A migrated store of the test's own.
pub struct TestStore {
    pub store: WholeStore,
    pub url: String,
    _folder: Option<TempDir>,
}

impl TestStore {
    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite")
    }
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
    let store = WholeStore::open(&url, Connections::default());
    TestStore {
        store: store.await.expect("opens"),
        url,
        _folder: Some(folder),
    }
}

/// A PostgreSQL database of the test's own on `server`.
pub async fn postgres(server: &str) -> TestStore {
    let test = empty_postgres(server).await;
    test.store.migrate().await.expect("migrates");
    test
}

/// Sorts texts as people do, unlike Rust. Most databases in use do.
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
    let connections = Connections {
        postgres: 4,
        ..Connections::default()
    };
    let store = WholeStore::open(&url, connections);
    TestStore {
        store: store.await.expect("opens"),
        url,
        _folder: None,
    }
}

/// Runs one contract on every kind of store.
pub async fn on_every_store<F: Future<Output = ()>>(contract: impl Fn(TestStore) -> F) {
    contract(sqlite().await).await;
    contract(postgres(&postgres_server()).await).await;
}

/// The address of the shared PostgreSQL.
pub fn postgres_server() -> String {
    server("TRACKBOX_TEST_POSTGRES")
}

pub fn code(text: &str) -> CarrierCode {
    CarrierCode::parse(text).expect("a valid code")
}

pub fn number(text: &str) -> TrackNumber {
    TrackNumber::parse(text).expect("a valid number")
}

/// Makes `count` trackings of `carrier`, due at `at(0)`.
pub async fn create(store: &WholeStore, carrier: &str, count: usize) -> Vec<Tracking> {
    let numbers: Vec<String> = (0..count).map(|n| format!("N{n}")).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    create_numbers(store, carrier, &numbers).await
}

/// The same of these numbers.
pub async fn create_numbers(store: &WholeStore, carrier: &str, numbers: &[&str]) -> Vec<Tracking> {
    let pair = |text: &&str| (code(carrier), number(text));
    let pairs: Vec<_> = numbers.iter().map(pair).collect();
    let created = store.create_or_get(Tenant::DEFAULT, &pairs, at(0));
    created.await.expect("creates")
}

/// The tracking as it is now.
pub async fn read(store: &Store, id: i64) -> Tracking {
    let rows = store.trackings_after(id - 1, 1).await.expect("reads");
    let found = rows.into_iter().find(|row| row.id == id);
    found.expect("is there")
}

/// These trackings as they are now.
pub async fn read_all(store: &Store, rows: &[Tracking]) -> Vec<Tracking> {
    join_all(rows.iter().map(|row| read(store, row.id))).await
}

/// The tracking's events, the newest first.
pub async fn events(store: &Store, id: i64) -> Vec<TrackingEvent> {
    let events = store
        .events(Tenant::DEFAULT, id, true, 1_000_000, 0)
        .await
        .expect("reads");
    events.expect("is there")
}

/// All of the default tenant's queues of these carriers, for one claim.
pub fn shares(carriers: &[CarrierCode], most: u32, unanswered_max: u32) -> Vec<Share> {
    let share = |carrier: &CarrierCode| Share {
        carrier_code: carrier.clone(),
        payer: Payer::DEFAULT,
        most,
        unanswered_max,
    };
    carriers.iter().map(share).collect()
}

/// Claims up to `limit` trackings of `carrier` that are due at `at(secs)`, for [`LEASE`].
pub async fn claim(store: &Store, carrier: &str, secs: i64, limit: u32) -> Vec<Tracking> {
    claim_due(store, &[code(carrier)], secs, limit)
        .await
        .trackings
}

/// The same of several carriers, with the number of corrupt rows.
pub async fn claim_due(store: &Store, carriers: &[CarrierCode], secs: i64, limit: u32) -> Claimed {
    let claim = Claim {
        shares: &shares(carriers, limit, limit),
        limit,
        take: Take::Due { early: Early::None },
    };
    let claimed = store.claim(claim, at(secs), LEASE);
    claimed.await.expect("claims")
}

/// Applies batches to partition 0 as its owner.
pub struct Applier {
    pub ownership: Ownership,
    pub offset: i64,
}

impl Applier {
    pub async fn new(store: &Store) -> Self {
        let taken = store.take_partition(TOPIC, 0, Uuid::now_v7(), at(0));
        let (ownership, offset) = taken.await.expect("takes the partition");
        Self { ownership, offset }
    }

    /// The next batch, with one offset for each of `updates`.
    pub fn batch(&self, updates: Vec<Update>) -> Batch {
        Batch {
            ownership: self.ownership.clone(),
            first_offset: self.offset,
            next_offset: self.offset + i64::try_from(updates.len()).expect("few"),
            updates,
            dead_letters: Vec::new(),
        }
    }

    pub async fn apply(
        &mut self,
        store: &WholeStore,
        updates: Vec<Update>,
    ) -> Result<Applied, StoreError> {
        let batch = self.batch(updates);
        let applied = store
            .apply(std::slice::from_ref(&batch), at(500), async |_| {})
            .await?;
        self.offset = batch.next_offset;
        Ok(applied)
    }
}
