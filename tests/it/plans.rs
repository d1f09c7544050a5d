//! PostgreSQL reads the large tables by their indexes alone, whatever plan it keeps.
//!
//! The statements run as the program sends them; the server's own count of sequential scans is the judge.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use trackbox::model::Update;
use trackbox::store::claims::Take;
use trackbox::store::{Connections, Store};
use uuid::Uuid;

use crate::fixture::{Applier, at, code, postgres, postgres_server, seen};

const TRACKINGS: i64 = 100_000;
const EVENTS_EACH: i64 = 5;

/// Rows as the program writes them: a tenth of the parcels has arrived, the others are due over an hour.
async fn fill(database: &DatabaseConnection) {
    let trackings = format!(
        "INSERT INTO trackings (carrier_code, track_number, status, status_raw, next_check_at, active, created_at, \
         updated_at) \
         SELECT CASE n % 3 WHEN 0 THEN 'CDEK' WHEN 1 THEN 'POST_RU' ELSE 'C' || n % 100 END, 'N' || n, \
         CASE WHEN n % 10 = 0 THEN 'DELIVERED' ELSE 'IN_TRANSIT' END, 'x', to_timestamp({}) + n % 3600 * interval '1 s', \
         n % 10 <> 0, now(), now() FROM generate_series(1, {TRACKINGS}) AS n",
        at(0).timestamp()
    );
    let events = format!(
        "INSERT INTO tracking_events (tracking_id, status, status_raw, event_time, location, message, payload_json, \
         journey, digest, mapping_version, created_at) \
         SELECT t.id, 'IN_TRANSIT', 'x', to_timestamp({}) + e * interval '1 h', 'Omsk', 'moved', '', 1, \
         sha256((t.id || '/' || e)::bytea), 1, now() FROM trackings AS t, generate_series(1, {EVENTS_EACH}) AS e",
        at(0).timestamp()
    );
    for sql in [&trackings, &events, "ANALYZE"] {
        database.execute_unprepared(sql).await.expect("fills");
    }
}

/// Sequential scans of the two large tables since they were made, once the sessions' counts have arrived.
async fn sequential_scans(database: &DatabaseConnection) -> i64 {
    let sql = "SELECT SUM(seq_scan)::bigint AS scans FROM pg_stat_user_tables \
               WHERE relname IN ('trackings', 'tracking_events')";
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let row = database.query_one_raw(statement).await.expect("reads");
    let row = row.expect("a sum has a row");
    row.try_get("", "scans").expect("is a number")
}

/// The counts of other sessions arrive when they end.
async fn sessions_gone(database: &DatabaseConnection) {
    let sql = "SELECT COUNT(*) AS others FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'trackbox'";
    for _ in 0..100 {
        let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        let row = database.query_one_raw(statement).await.expect("reads");
        let others: i64 = row.expect("a row").try_get("", "others").expect("a number");
        if others == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store's sessions are still there");
}

async fn work_with(store: &Store) {
    for n in 0..8 {
        let carriers = store.due_carriers("", 100, at(1_800)).await.expect("lists");
        assert!(carriers.len() > 60);
        for carrier in ["CDEK", "C5", "NONE"] {
            let limit = if n % 2 == 0 { 100 } else { 3 };
            let lease = Duration::from_secs(120);
            let claimed = store
                .claim_due(&code(carrier), Take::Due, at(1_800), lease, limit)
                .await
                .expect("claims");
            assert!(claimed.trackings.is_empty() || carrier != "NONE");
            assert!(carrier != "CDEK" || !claimed.trackings.is_empty());
        }
    }
    let mut applier = Applier::new(store).await;
    for n in 0..8_i64 {
        let updates: Vec<Update> = (1..=500)
            .map(|id| {
                seen(
                    id * 7 + n,
                    2_000 + n,
                    1,
                    &[("IN_TRANSIT", 1_000), ("OUT_FOR_DELIVERY", 1_500 + n)],
                )
            })
            .collect();
        let applied = applier.apply(store, updates).await.expect("applies");
        assert_eq!(applied.unknown_trackings, 0);
        let ids: Vec<i64> = (1..=500).map(|id| id * 11 + n).collect();
        assert_eq!(
            store.trackings_by_ids(&ids).await.expect("reads").len(),
            500
        );
        let events = store.events(42 + n, 100, 0).await.expect("reads");
        assert!(!events.expect("is there").is_empty());
        let pairs = [(code("CDEK"), crate::fixture::number(&format!("NEW{n}")))];
        store
            .create_or_get(&pairs, at(2_000))
            .await
            .expect("creates");
        store
            .refresh(77 + n, at(3_000), async |_| {})
            .await
            .expect("refreshes");
    }
    let leases = [(1, Uuid::from_u128(1)), (2, Uuid::from_u128(2))];
    store.give_back(&leases).await.expect("gives back");
}

#[tokio::test]
async fn no_statement_of_the_pipe_scans_a_large_table() {
    let test = postgres(&postgres_server()).await;
    let admin = Database::connect(&test.url).await.expect("connects");
    fill(&admin).await;
    test.store.close().await;
    sessions_gone(&admin).await;
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        let name = test.url.rsplit('/').next().expect("a name");
        let set = format!("ALTER DATABASE {name} SET plan_cache_mode = {mode}");
        admin.execute_unprepared(&set).await.expect("sets");
        let before = sequential_scans(&admin).await;
        let store = Store::open(&test.url, Connections::default())
            .await
            .expect("opens");
        work_with(&store).await;
        store.close().await;
        sessions_gone(&admin).await;
        let scans = sequential_scans(&admin).await - before;
        assert_eq!(scans, 0, "sequential scans with plan_cache_mode = {mode}");
    }
    // The judge can say no: a count of everything does scan.
    let before = sequential_scans(&admin).await;
    let store = Store::open(&test.url, Connections::default())
        .await
        .expect("opens");
    store.status_counts().await.expect("counts");
    store.close().await;
    sessions_gone(&admin).await;
    assert!(sequential_scans(&admin).await > before);
}
