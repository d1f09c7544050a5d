//! A database of the version before is read by this one, which goes on with it.
//!
//! The files in `tests/wire/store/` are dumps of databases in which a released version had written one of each thing,
//! and their trackings. They stay as they are: a migration that loses a value fails here, and so does one that was
//! edited after its release.

use chrono_tz::Tz;
use sea_orm::{ConnectionTrait as _, Database};
use trackbox::kafka::message::decode;
use trackbox::model::{Event, Outcome, Tracking, Update};
use trackbox::plan::Sections;
use trackbox::plan::quota::Shares;
use trackbox::store::dead_letters::DeadLetter;
use uuid::Uuid;

use crate::support::fixture::{
    Applier, TOPIC, TestStore, claim, create, empty_postgres, empty_sqlite, events, postgres_server,
};
use crate::support::limits::per_day;
use crate::support::messages::seen;
use crate::support::prices::pricing;
use crate::support::time::at;
use crate::support::wire::{assert_keeps, recorded, recorded_text};

/// The recorded databases, migrated by this version.
async fn databases() -> [TestStore; 2] {
    databases_with("").await
}

/// The same, in which the version before wrote something else as well.
async fn databases_with(more: &str) -> [TestStore; 2] {
    let sqlite = empty_sqlite().await;
    let postgres = empty_postgres(&postgres_server()).await;
    for (test, dump) in [
        (&sqlite, "store/sqlite.sql"),
        (&postgres, "store/postgres.sql"),
    ] {
        let database = Database::connect(&test.url).await.expect("connects");
        let restored = database.execute_unprepared(&recorded_text(dump)).await;
        restored.expect(dump);
        // The dump leaves PostgreSQL without a search path.
        let more = format!(
            "{}{more}",
            if test.is_sqlite() {
                ""
            } else {
                "SET search_path TO public;"
            }
        );
        database.execute_unprepared(&more).await.expect("writes");
        database.close().await.expect("closes");
        test.store.migrate().await.expect(dump);
    }
    [sqlite, postgres]
}

/// What the first tracking was last told.
fn last_update() -> Update {
    let mut value = recorded("tracking.updated/seen.json");
    value["tracking_id"] = 1.into();
    let value = value.to_string();
    decode(Some(value.as_bytes()), at(50), at(60)).expect("is an update")
}

#[tokio::test]
async fn the_trackings_and_events_of_the_version_before_are_read() {
    for TestStore { store, .. } in databases().await {
        let rows = store.trackings_after(0, 10).await.expect("reads");
        let rows = serde_json::to_value(rows).expect("is JSON");
        assert_keeps(&recorded("store/trackings.json"), &rows, "trackings");
        let Outcome::Seen { events: told, .. } = last_update().outcome else {
            panic!("was seen")
        };
        // The status beside the events was not kept apart then.
        let told: Vec<Event> = told.into_iter().filter(|event| !event.stated).collect();
        let kept = events(&store, 1).await.into_iter().map(|kept| kept.event);
        assert_eq!(kept.collect::<Vec<_>>(), told);
    }
}

#[tokio::test]
async fn the_accounts_and_dead_letters_of_the_version_before_are_read() {
    for TestStore { store, .. } in databases().await {
        let letters = store.dead_letters(None, 10).await.expect("reads");
        let letter = DeadLetter {
            id: 1,
            topic: TOPIC.to_owned(),
            partition: 0,
            offset: 3,
            key: Some(b"1".to_vec()),
            value: b"\xff no JSON".to_vec(),
            size_bytes: 9,
            error: "the value is no update".to_owned(),
            at: at(10),
        };
        assert_eq!(letters, [letter]);
        let states = store.account_states(at(0)).await.expect("reads");
        let state = &states[0];
        assert_eq!(
            (state.paused_until, state.failures.fails),
            (Some(at(3_600)), 2)
        );
        assert_eq!(
            state.pause_reason,
            "the carrier answered 429: too many calls"
        );
        let mut priced = pricing("CDEK", 2.5);
        priced.price.by_hour[7] = 3.25;
        let kept = store.account_plan("CDEK").await.expect("reads");
        assert_eq!(kept, Some(priced));
        let learned = store.learned(Sections::REST).await.expect("reads");
        let cells = learned["RETURNING_REFUSED"].cells.as_flattened();
        let hours: f64 = cells.iter().map(|cell| cell.hours).sum();
        // Two checks, the second of them 2 h after at(0).
        assert!((hours * 3_600.0 - 7_194.876_544).abs() < 1e-3, "{hours}");
    }
}

#[tokio::test]
async fn work_goes_on_in_a_database_of_the_version_before() {
    for TestStore { store, .. } in databases().await {
        let ids = |rows: Vec<Tracking>| rows.iter().map(|row| row.id).collect::<Vec<_>>();
        let due = claim(&store, "CDEK", 1_100, 9).await;
        assert_eq!(ids(due), [3, 1], "3 never had an answer");
        let free = claim(&store, "CDEK", 1_121, 9).await;
        assert_eq!(ids(free), [2], "its lease has ended");
        let limits = per_day(100, Tz::UTC);
        let even = Shares::even();
        let taken = store.take_calls("CDEK", 100, &limits, &even, at(60));
        assert_eq!(taken.await.expect("takes").calls, 70);
        let mut applier = Applier::new(&store).await;
        assert_eq!((applier.offset, applier.ownership.epoch), (5, 3));
        let again = Update {
            checked_at: at(9_000),
            check_id: Uuid::from_u128(10),
            ..last_update()
        };
        let applied = applier.apply(&store, vec![again]).await.expect("applies");
        assert_eq!(applied.events_new, 0, "it has the same events");
        let news = seen(1, 9_100, 11, &[("DELIVERED", 9_050)]);
        let applied = applier.apply(&store, vec![news]).await.expect("applies");
        assert_eq!((applied.events_new, applied.changes[0].new.version), (1, 5));
        let rows = ids(create(&store, "CDEK", 4).await);
        assert_eq!(rows[..3], [1, 2, 3]);
        assert!(rows[3] > 3, "{rows:?}");
    }
}

#[tokio::test]
async fn spellings_that_the_version_before_kept_apart_become_one() {
    let twin = "INSERT INTO trackings (carrier_code, track_number, next_check_at, created_at, updated_at) \
                SELECT 'CDEK', ' n0', next_check_at, created_at, updated_at FROM trackings WHERE id = 1;
                UPDATE tracking_events SET tracking_id = (SELECT MAX(id) FROM trackings) \
                WHERE id = (SELECT MIN(id) FROM tracking_events WHERE tracking_id = 1)";
    for TestStore { store, .. } in databases_with(twin).await {
        let before = store.trackings_after(0, 10).await.expect("reads");
        let twin = before.last().expect("has rows").id;
        assert_eq!(
            store
                .fold_twins(at(9_000), async |_| {})
                .await
                .expect("folds"),
            1
        );
        let row = store
            .trackings_by_ids(&[twin])
            .await
            .expect("reads")
            .remove(0);
        let kept = Tracking {
            version: before[0].version + 1,
            updated_at: at(9_000),
            owners: 1,
            ..before[0].clone()
        };
        assert_eq!(row, kept);
        let Outcome::Seen { events: told, .. } = last_update().outcome else {
            panic!("was seen")
        };
        let told = told.iter().filter(|event| !event.stated).count();
        assert_eq!(events(&store, twin).await.len(), told);
        let mut applier = Applier::new(&store).await;
        let queued = seen(twin, 9_100, 11, &[("DELIVERED", 9_050)]);
        let applied = applier.apply(&store, vec![queued]).await.expect("applies");
        assert_eq!((applied.changes[0].new.id, applied.events_new), (1, 1));
    }
}
