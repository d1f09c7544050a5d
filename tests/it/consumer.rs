//! What the consumer promises: every record takes effect once, and a bad one does not stop it.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use serde_json::json;
use trackbox::cache::Cache;
use trackbox::cache::memory::MemoryCache;
use trackbox::clock::Clock;
use trackbox::consumer::parts::ConsumerParts;
use trackbox::consumer::{Consumed, Consumer};
use trackbox::kafka::Bus;
use trackbox::kafka::memory::{MemoryBus, TOPIC};
use trackbox::model::shown::Shown;
use trackbox::model::status::Status;
use trackbox::store::{Connections, WholeStore};

use crate::support::consumers::{parts, publish};
use crate::support::fixture::{
    Applier, TestStore, create, on_every_store, postgres, postgres_server, read,
};
use crate::support::messages::{delivered, seen};
use crate::support::time::at;

/// A consumer of one partition in memory that begins at `offset`, with batches of up to 500 records.
fn consumer(test: &TestStore, offset: i64) -> (Consumer, ConsumerParts) {
    cached(test, offset, Cache::None)
}

/// The same with a cache.
fn cached(test: &TestStore, offset: i64, cache: Cache) -> (Consumer, ConsumerParts) {
    let bus = MemoryBus::new(Clock::manual(at(100)), &[offset], 1 << 20);
    let parts = parts(test, Bus::Memory(Arc::new(bus)), cache, 100);
    (Consumer::new(parts.clone(), 500, Duration::ZERO), parts)
}

#[tokio::test]
async fn garbage_becomes_dead_letters_with_its_offset_and_the_rest_applies() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 2).await;
        let (consumer, parts) = consumer(&test, 0);
        let ahead = json!({"tracking_id": rows[0].id, "status": "IN_TRANSIT", "checked_at": at(100 + 3_600)});
        let values = vec![
            delivered(rows[0].id, 5, "4"),
            b"\xff\x00 not JSON".to_vec(),
            ahead.to_string().into_bytes(),
            delivered(424_242, 5, "4"),
            delivered(rows[1].id, 5, "4"),
        ];
        publish(&parts.bus, values).await;
        assert_eq!(consumer.step(0).await.expect("applies"), Consumed::Applied(5));
        assert_eq!(consumer.step(0).await.expect("applies"), Consumed::Idle);
        for row in &rows {
            assert_eq!(read(&test.store, row.id).await.status, Status::Delivered);
        }
        let letters = test.store.dead_letters(None, 10).await.expect("lists");
        let places: Vec<_> = letters.iter().map(|l| (l.topic.as_str(), l.partition, l.offset)).collect();
        assert_eq!(places, [(TOPIC, 0, 2), (TOPIC, 0, 1)]);
        assert_eq!(letters[1].value, b"\xff\x00 not JSON");
        assert_eq!(letters[1].key.as_deref(), Some(b"1".as_slice()));
        let states = test.store.partition_states(TOPIC).await.expect("reads");
        assert_eq!(states[0].next_offset, 5);
    })
    .await;
}

/// A trigger records which transaction wrote each row.
#[tokio::test]
async fn one_fetch_is_applied_in_one_transaction_a_batch() {
    let test = postgres(&postgres_server()).await;
    let rows = create(&test.store, "CDEK", 5).await;
    let admin = Database::connect(&test.url).await.expect("connects");
    let notes = "CREATE TABLE written (txid BIGINT);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO written VALUES (txid_current()); RETURN NEW; END $$;
        CREATE TRIGGER note BEFORE UPDATE ON trackings FOR EACH ROW EXECUTE FUNCTION note()";
    admin.execute_unprepared(notes).await.expect("is made");
    let (_, parts) = consumer(&test, 0);
    let consumer = Consumer::new(parts.clone(), 2, Duration::ZERO);
    publish(
        &parts.bus,
        rows.iter().map(|row| delivered(row.id, 5, "4")).collect(),
    )
    .await;
    assert_eq!(
        consumer.step(0).await.expect("applies"),
        Consumed::Applied(5)
    );
    let count = "SELECT COUNT(*) AS n FROM written GROUP BY txid ORDER BY txid";
    let count = Statement::from_string(DbBackend::Postgres, count);
    let found = admin.query_all_raw(count).await.expect("reads");
    let counts: Vec<i64> = found
        .iter()
        .map(|row| row.try_get("", "n").expect("a number"))
        .collect();
    assert_eq!(counts, [2, 2, 1]);
    let states = test.store.partition_states(TOPIC).await.expect("reads");
    assert_eq!(states[0].next_offset, 5);
}

#[tokio::test]
async fn a_record_that_the_database_rejects_is_found_and_set_aside_alone() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 9).await;
        let database = Database::connect(&test.url).await.expect("connects");
        database
            .execute_unprepared("CREATE UNIQUE INDEX one_poison ON tracking_events (status_raw) WHERE status_raw = 'POISON'")
            .await
            .expect("makes the index");
        let (consumer, parts) = consumer(&test, 0);
        let poison = |place: usize| place == 2 || place == 6;
        let values = rows
            .iter()
            .enumerate()
            .map(|(place, row)| delivered(row.id, 5, if poison(place) { "POISON" } else { "4" }))
            .collect();
        publish(&parts.bus, values).await;
        assert_eq!(consumer.step(0).await.expect("applies"), Consumed::Applied(9));
        for (place, row) in rows.iter().enumerate() {
            let expected = if place == 6 { Status::Unknown } else { Status::Delivered };
            assert_eq!(read(&test.store, row.id).await.status, expected, "record {place}");
        }
        let letters = test.store.dead_letters(None, 10).await.expect("lists");
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].offset, 6);
        assert!(letters[0].error.starts_with("the database refused it"), "{}", letters[0].error);
    })
    .await;
}

#[tokio::test]
async fn a_missing_table_makes_no_record_a_dead_letter() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 1).await;
        let mut applier = Applier::new(&test.store).await;
        let database = Database::connect(&test.url).await.expect("connects");
        let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
        let away = rename("tracking_events", "away");
        database.execute_unprepared(&away).await.expect("renames");
        let update = || vec![seen(rows[0].id, 9, 1, &[("A", 5)])];
        let error = applier
            .apply(&test.store, update())
            .await
            .expect_err("fails");
        assert!(
            error.is_unavailable(),
            "{error}: it would go to the dead letters"
        );
        let back = rename("away", "tracking_events");
        database.execute_unprepared(&back).await.expect("renames");
        applier.apply(&test.store, update()).await.expect("goes on");
    })
    .await;
}

#[tokio::test]
async fn after_a_restart_the_consumer_goes_on_at_the_stores_offset() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 1).await;
        let (first, parts) = consumer(&test, 0);
        publish(
            &parts.bus,
            vec![delivered(rows[0].id, 5, "4"), delivered(rows[0].id, 6, "4")],
        )
        .await;
        assert_eq!(first.step(0).await.expect("applies"), Consumed::Applied(2));
        let version = read(&test.store, rows[0].id).await.version;
        let (second, parts) = consumer(&test, 2);
        assert_eq!(second.step(0).await.expect("applies"), Consumed::Idle);
        publish(&parts.bus, vec![delivered(rows[0].id, 7, "4")]).await;
        assert_eq!(second.step(0).await.expect("applies"), Consumed::Applied(1));
        assert_eq!(read(&test.store, rows[0].id).await.version, version + 1);
        assert_eq!(
            first.step(0).await.expect("is lost or idle"),
            Consumed::Idle
        );
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_lost_its_partition_asks_the_store_where_to_go_on() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 1).await;
        let (first, parts) = consumer(&test, 0);
        let second = Consumer::new(parts.clone(), 500, Duration::ZERO);
        publish(&parts.bus, vec![delivered(rows[0].id, 5, "4")]).await;
        assert_eq!(first.step(0).await.expect("applies"), Consumed::Applied(1));
        publish(&parts.bus, vec![delivered(rows[0].id, 6, "4")]).await;
        assert_eq!(second.step(0).await.expect("applies"), Consumed::Applied(1));
        publish(&parts.bus, vec![delivered(rows[0].id, 7, "4")]).await;
        assert_eq!(first.step(0).await.expect("notices"), Consumed::Lost);
        assert_eq!(first.step(0).await.expect("applies"), Consumed::Applied(1));
        assert_eq!(
            read(&test.store, rows[0].id).await.last_checked_at,
            Some(at(7))
        );
    })
    .await;
}

#[tokio::test]
async fn the_cache_never_answers_what_is_older_than_the_store() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 1).await;
        let id = rows[0].id;
        let cache = Arc::new(MemoryCache::new(1_000, Duration::from_secs(600)));
        let (consumer, parts) = cached(&test, 0, Cache::Memory(Arc::clone(&cache)));
        let slow_reader = cache.ticket();
        let stale = test.store.trackings_by_ids(&[id]).await.expect("reads");
        publish(&parts.bus, vec![delivered(id, 5, "4")]).await;
        consumer.step(0).await.expect("applies");
        cache.put(&test.store.owned(&[id]).await.expect("reads"), &slow_reader);
        cache.put(&[Shown::of(&stale[0])], &slow_reader);
        let cached = cache.get(&[id]);
        let row = read(&test.store, id).await;
        assert_eq!(row.status, Status::Delivered);
        let known = cached[0].as_ref().map(|known| &known.shown);
        let own = Shown::of(&row);
        assert_eq!(known, Some(&own), "the consumer's own write is there");
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_times_out_is_halved_and_a_single_slow_record_retried() {
    let mut test = postgres(&postgres_server()).await;
    let impatient = Connections {
        statement_timeout: Duration::from_millis(500),
        ..Connections::default()
    };
    test.store = WholeStore::open(&test.url, impatient).await.expect("opens");
    let rows = create(&test.store, "CDEK", 40).await;
    let admin = Database::connect(&test.url).await.expect("connects");
    let each_row_takes = |time: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep({time}); RETURN NEW; END $$"
        )
    };
    let slow = each_row_takes("CASE WHEN NEW.status_raw = 'SLOW' THEN 5 ELSE 0.04 END");
    let trigger =
        "CREATE TRIGGER slow BEFORE INSERT ON tracking_events FOR EACH ROW EXECUTE FUNCTION slow()";
    for sql in [slow.as_str(), trigger] {
        admin.execute_unprepared(sql).await.expect("is made");
    }
    let (consumer, parts) = consumer(&test, 0);
    let mut values: Vec<_> = rows.iter().map(|row| delivered(row.id, 5, "4")).collect();
    publish(&parts.bus, values.split_off(1)).await;
    assert_eq!(
        consumer.step(0).await.expect("applies"),
        Consumed::Applied(39)
    );
    publish(&parts.bus, vec![delivered(rows[0].id, 5, "SLOW")]).await;
    let error = consumer.step(0).await.expect_err("takes too long alone");
    assert!(format!("{error:#}").contains("took too long"), "{error:#}");
    let fast = each_row_takes("0");
    admin.execute_unprepared(&fast).await.expect("is made");
    assert_eq!(
        consumer.step(0).await.expect("applies"),
        Consumed::Applied(1)
    );
    for row in rows {
        assert_eq!(read(&test.store, row.id).await.status, Status::Delivered);
    }
    let letters = test.store.dead_letters(None, 10).await.expect("lists");
    assert_eq!(letters, [], "slow is not wrong");
}
