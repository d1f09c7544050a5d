//! A large PostgreSQL database, and its server's own count of sequential scans. For tests and for the benchmark.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

/// How many events each parcel has.
const EVENTS_EACH: i64 = 5;

/// 2026-11-20T12:00:00Z, from which on the parcels are due.
const START: i64 = 1_795_176_000;

/// Rows as the program writes them: a tenth of the parcels has arrived, the others are due over an hour.
pub async fn fill(database: &DatabaseConnection, trackings: i64) {
    let rows = format!(
        "INSERT INTO trackings (carrier_code, track_number, status, status_raw, next_check_at, active, created_at, \
         updated_at) \
         SELECT CASE n % 3 WHEN 0 THEN 'CDEK' WHEN 1 THEN 'POST_RU' ELSE 'C' || n % 100 END, 'N' || n, \
         CASE WHEN n % 10 = 0 THEN 'DELIVERED' ELSE 'IN_TRANSIT' END, 'x', to_timestamp({}) + n % 3600 * interval '1 s', \
         n % 10 <> 0, now(), now() FROM generate_series(1, {trackings}) AS n",
        START
    );
    let events = format!(
        "INSERT INTO tracking_events (tracking_id, status, status_raw, event_time, location, message, payload_json, \
         journey, digest, mapping_version, created_at) \
         SELECT t.id, 'IN_TRANSIT', 'x', to_timestamp({}) + e * interval '1 h', 'Omsk', 'moved', '', 1, \
         sha256((t.id || '/' || e)::bytea), 1, now() FROM trackings AS t, generate_series(1, {EVENTS_EACH}) AS e",
        START
    );
    for sql in [&rows, &events, "ANALYZE"] {
        database.execute_unprepared(sql).await.expect("fills");
    }
}

/// Sequential scans of the two large tables since they were made, once the sessions' counts have arrived.
pub async fn sequential_scans(database: &DatabaseConnection) -> i64 {
    let sql = "SELECT SUM(seq_scan)::bigint AS scans FROM pg_stat_user_tables \
               WHERE relname IN ('trackings', 'tracking_events')";
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let row = database.query_one_raw(statement).await.expect("reads");
    let row = row.expect("a sum has a row");
    row.try_get("", "scans").expect("is a number")
}

/// The counts of other sessions arrive when they end.
pub async fn sessions_gone(database: &DatabaseConnection) {
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
