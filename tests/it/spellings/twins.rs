//! Spellings that an older program kept apart are folded into one tracking.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, Database};
use serde_json::json;
use trackbox::cache::Cache;
use trackbox::cache::memory::MemoryCache;
use trackbox::cache::redis::Redis;
use trackbox::cache::redis::values::RedisCache;
use trackbox::clock::Clock;
use trackbox::consumer::{Consumed, Consumer};
use trackbox::current::Current;
use trackbox::kafka::Bus;
use trackbox::kafka::memory::MemoryBus;
use trackbox::model::Tracking;
use trackbox::model::shown::Shown;
use trackbox::model::status::Status;
use trackbox::model::tenant::Tenant;
use trackbox::plan::Sections;
use trackbox::store::trackings::Refresh;
use trackbox::store::{Connections, WholeStore};
use uuid::Uuid;

use super::{ids, pairs};
use crate::support::consumers::{parts, publish};
use crate::support::engines::server;
use crate::support::fixture::{Applier, TestStore, create, events, number, on_every_store, read};
use crate::support::messages::{delivered, failed, seen};
use crate::support::time::at;

/// Makes trackings what a version before has made of these spellings: rows without keys.
async fn written_before(test: &TestStore, spellings: &[(i64, &str, &str)]) {
    let database = Database::connect(&test.url).await.expect("connects");
    for (id, carrier, number) in spellings {
        let sql = format!(
            "UPDATE trackings SET carrier_code = '{carrier}', track_number = '{number}', carrier_key = NULL, \
             number_key = NULL WHERE id = {id}"
        );
        database.execute_unprepared(&sql).await.expect("writes");
    }
    database.close().await.expect("closes");
}

async fn fold(store: &WholeStore) -> u64 {
    let folded = store.fold_twins(at(600), async |_| {}).await;
    folded.expect("folds")
}

async fn refresh(store: &WholeStore, id: i64) -> Refresh {
    let refreshed = store.refresh(
        Tenant::DEFAULT,
        id,
        at(9_000),
        |_| Duration::ZERO,
        async |_| {},
    );
    refreshed.await.expect("refreshes").expect("first")
}

#[tokio::test]
async fn twins_are_folded_into_the_oldest_with_all_that_was_heard() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let rows = create(store, "CDEK", 5).await;
        let [old, second, third, alone, keyed] = [0, 1, 2, 3, 4].map(|n| rows[n].id);
        let mut applier = Applier::new(store).await;
        let heard = vec![
            seen(old, 10, 1, &[("ACCEPTED", 1), ("IN_TRANSIT", 2)]),
            seen(
                second,
                30,
                2,
                &[("ACCEPTED", 1), ("IN_TRANSIT", 2), ("DELIVERED", 3)],
            ),
            seen(third, 20, 3, &[("ACCEPTED", 1), ("OUT_FOR_DELIVERY", 2)]),
            failed(third, 40, 4),
        ];
        applier.apply(store, heard).await.expect("applies");
        let before = events(store, old).await;
        written_before(
            &test,
            &[
                (old, "cdek", "x 1"),
                (second, "CDEK", "X1 "),
                (third, "CDEK", "\u{200b}x1"),
                (alone, "CDEK", "Z"),
            ],
        )
        .await;
        assert_eq!(fold(store).await, 2);

        let row = read(store, old).await;
        assert_eq!(
            (row.carrier_code.as_str(), row.track_number.as_str()),
            ("cdek", "x 1")
        );
        assert_eq!(
            (row.status, row.status_at),
            (Status::Delivered, Some(at(3)))
        );
        assert_eq!(
            (row.last_checked_at, row.check_fail_count),
            (Some(at(40)), 1)
        );
        assert!(!row.active);
        let kept = events(store, old).await;
        let told: Vec<_> = kept
            .iter()
            .map(|it| (it.event.status_raw.as_str(), it.event.event_time))
            .collect();
        let all = [
            ("DELIVERED", at(3)),
            ("OUT_FOR_DELIVERY", at(2)),
            ("IN_TRANSIT", at(2)),
            ("ACCEPTED", at(1)),
        ];
        assert_eq!(told, all);
        assert!(
            before.iter().all(|event| kept.contains(event)),
            "events keep their ids"
        );
        let left: Vec<i64> = store
            .trackings_after(0, 10)
            .await
            .expect("reads")
            .iter()
            .map(|row| row.id)
            .collect();
        assert_eq!(left, [old, alone, keyed]);
        assert_eq!(fold(store).await, 0, "nothing is left to fold");
        assert_eq!(read(store, old).await, row);

        for id in [second, third] {
            let found = store.trackings_by_ids(&[id]).await.expect("reads");
            assert_eq!(found, std::slice::from_ref(&row));
            assert_eq!(events(store, id).await, kept);
        }
        let spelt = pairs("CDEK", &["X1", "z", "n4"]);
        assert_eq!(ids(store, &spelt).await, [old, alone, keyed]);
        let Refresh::Done(change) = refresh(store, third).await else {
            panic!("is refreshed")
        };
        assert_eq!((change.new.id, change.new.urgent), (old, true));

        // A version before goes on writing, and what it writes is folded at the next start, with its aliases.
        let newer = create(store, "POST_RU", 1).await[0].id;
        written_before(&test, &[(newer, "CDEK", "X 1"), (old, "cdek", "other")]).await;
        written_before(&test, &[(keyed, "CDEK", "OTHER ")]).await;
        assert_eq!(fold(store).await, 1, "the newest is alone now");
        assert_eq!(read(store, old).await.track_number, number("other"));
        assert_eq!(
            store.trackings_by_ids(&[keyed]).await.expect("reads")[0].id,
            old
        );
        written_before(&test, &[(old, "CDEK", "z")]).await;
        assert_eq!(fold(store).await, 1, "one with a key joins one without");
        for id in [second, third, keyed, alone] {
            assert_eq!(
                store.trackings_by_ids(&[id]).await.expect("reads")[0].id,
                old
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_code_of_a_version_before_becomes_the_name_of_its_section() {
    on_every_store(async |test: TestStore| {
        let store = test.store.learning_by(Sections::new(["CDEK".to_owned()]));
        let rows = create(&store, "CDEK", 3).await;
        let before = [
            (rows[0].id, "cdek", "a"),
            (rows[1].id, "CDEK", "a"),
            (rows[2].id, "other", "a"),
        ];
        written_before(&test, &before).await;
        assert_eq!(fold(&store).await, 1);
        let left = store.trackings_after(0, 10).await.expect("reads");
        let codes: Vec<&str> = left.iter().map(|row| row.carrier_code.as_str()).collect();
        assert_eq!(codes, ["CDEK", "other"]);
    })
    .await;
}

#[tokio::test]
async fn what_a_version_before_writes_meanwhile_is_found_by_its_own_spelling() {
    on_every_store(async |test: TestStore| {
        let id = create(&test.store, "CDEK", 1).await[0].id;
        written_before(&test, &[(id, "CDEK", "x 1")]).await;
        assert_eq!(ids(&test.store, &pairs("CDEK", &["x 1"])).await, [id]);
    })
    .await;
}

#[tokio::test]
async fn several_programs_may_fold_at_once() {
    on_every_store(async |test: TestStore| {
        create(&test.store, "CDEK", 6_000).await;
        let database = Database::connect(&test.url).await.expect("connects");
        // Three spellings of 2,000 numbers, 2,000 trackings apart.
        let sql = "UPDATE trackings SET carrier_key = NULL, number_key = NULL, \
                   track_number = 'n' || (id % 2000) || SUBSTR('   ', 1, CAST(id / 2000 AS INTEGER))";
        database.execute_unprepared(sql).await.expect("writes");
        database.close().await.expect("closes");
        let programs = (0..6).map(async |_| {
            let store = WholeStore::open(&test.url, Connections::default()).await;
            fold(&store.expect("opens")).await
        });
        let folded: u64 = join_all(programs).await.iter().sum();
        assert_eq!(folded, 4_000);
        let left = test.store.trackings_after(0, 10_000).await.expect("reads");
        let left: Vec<i64> = left.iter().map(|row| row.id).collect();
        assert_eq!(left, (1..=2_000).collect::<Vec<i64>>());
        assert_eq!(
            test.store.trackings_by_ids(&[4_321]).await.expect("reads")[0].id,
            321
        );
    })
    .await;
}

#[tokio::test]
async fn records_with_the_id_of_a_twin_reach_the_one_that_lives_on() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 2).await;
        let bus = MemoryBus::new(Clock::manual(at(100)), &[0], 1 << 20);
        let parts = parts(&test, Bus::Memory(Arc::new(bus)), Cache::None, 100);
        // They wait on the topic while the trackings are folded.
        let named = json!({
            "tracking_id": rows[1].id, "carrier_code": "cdek", "track_number": " x1", "checked_at": at(6),
            "check_id": Uuid::from_u128(1), "status": "DELIVERED", "status_raw": "5",
        });
        let values = vec![delivered(rows[1].id, 5, "4"), named.to_string().into_bytes()];
        publish(&parts.bus, values).await;
        written_before(&test, &[(rows[0].id, "CDEK", "X1"), (rows[1].id, "CDEK", " x1")]).await;
        assert_eq!(fold(&test.store).await, 1);
        let consumer = Consumer::new(parts, 500, Duration::ZERO);
        assert_eq!(consumer.step(0).await.expect("applies"), Consumed::Applied(2));
        let row = read(&test.store, rows[0].id).await;
        assert_eq!((row.status, row.last_checked_at), (Status::Delivered, Some(at(6))));
        assert_eq!(events(&test.store, rows[0].id).await.len(), 1);
        assert!(test.store.dead_letters(None, 9).await.expect("lists").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_record_of_another_parcel_is_set_aside_and_the_rest_applies() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 2).await;
        let bus = MemoryBus::new(Clock::manual(at(100)), &[0], 1 << 20);
        let parts = parts(&test, Bus::Memory(Arc::new(bus)), Cache::None, 100);
        let told = |row: &Tracking, carrier: &str, number: &str| {
            let value = json!({
                "tracking_id": row.id, "carrier_code": carrier, "track_number": number, "checked_at": at(5),
                "status": "DELIVERED", "status_raw": "4",
            });
            value.to_string().into_bytes()
        };
        let values = vec![
            told(&rows[0], "CDEK", "N1"),
            told(&rows[1], "Cdek", "n 1"),
            told(&rows[0], "POST_RU", "N0"),
        ];
        publish(&parts.bus, values).await;
        let consumer = Consumer::new(parts, 500, Duration::ZERO);
        assert_eq!(consumer.step(0).await.expect("applies"), Consumed::Applied(3));
        assert_eq!(read(&test.store, rows[0].id).await, rows[0]);
        assert_eq!(read(&test.store, rows[1].id).await.status, Status::Delivered);
        let letters = test.store.dead_letters(None, 9).await.expect("lists");
        let places: Vec<i64> = letters.iter().map(|letter| letter.offset).collect();
        assert_eq!(places, [2, 0]);
        assert!(letters[1].error.contains("it names the parcel N1 of carrier CDEK"), "{}", letters[1].error);
    })
    .await;
}

#[tokio::test]
async fn no_cache_serves_a_twin_that_was_folded_away() {
    let url = server("TRACKBOX_TEST_REDIS");
    on_every_store(async |test: TestStore| {
        let prefix = format!("test:{}:", Uuid::now_v7().simple());
        let redis = Redis::connect(&url, None, &prefix).await.expect("connects");
        let ttl = Duration::from_secs(600);
        let caches = [
            Cache::Memory(Arc::new(MemoryCache::new(100, ttl))),
            Cache::Redis(Arc::new(RedisCache::new(Arc::new(redis), ttl))),
        ];
        for (place, cache) in caches.into_iter().enumerate() {
            let current = Current::new(test.store.clone(), cache.clone(), Arc::default());
            let carrier = format!("C{place}");
            let rows = create(&test.store, &carrier, 2).await;
            let (old, twin) = (rows[0].id, rows[1].id);
            current
                .get(Tenant::DEFAULT, &[old, twin])
                .await
                .expect("reads");
            let late = cache.ticket().await;
            written_before(&test, &[(old, &carrier, "X1"), (twin, &carrier, "x 1")]).await;
            assert_eq!(current.fold_twins(at(600)).await.expect("folds"), 1);
            // A reader that read before the folding puts what it read afterwards.
            let stale: Vec<Shown> = rows.iter().map(Shown::of).collect();
            cache.put(&stale, &late).await;
            let lives_on = Shown::of(&read(&test.store, old).await);
            for _ in 0..2 {
                let found = current.get(Tenant::DEFAULT, &[twin, old]).await;
                let found = found.expect("reads").into_iter();
                let found: Vec<_> = found.map(|known| known.map(|it| it.shown)).collect();
                assert_eq!(found, [Some(lives_on.clone()), Some(lives_on.clone())]);
            }
        }
    })
    .await;
}
