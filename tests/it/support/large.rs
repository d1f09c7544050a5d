//! A large PostgreSQL database, and its server's count of sequential scans. The benchmark uses it too.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use trackbox::model::status::Status;

use super::time::at;

/// Writes rows as the program does, with so many events each, all of the default tenant: a tenth of the parcels has arrived,
/// the others fall due within the hour after `at(0)`. A tenth has a label, and the feed tells of each once.
pub async fn fill(database: &DatabaseConnection, trackings: i64, events_each: i64) {
    let start = at(0).timestamp();
    let rows = format!(
        "INSERT INTO trackings (carrier_code, carrier_key, track_number, number_key, status, status_raw, next_check_at, \
         active, owners, created_at, updated_at) \
         SELECT code, code, 'N' || n, 'N' || n, \
         CASE WHEN n % 10 = 0 THEN 'DELIVERED' ELSE 'IN_TRANSIT' END, 'x', to_timestamp({start}) + n % 3600 * interval '1 s', \
         n % 10 <> 0, 1, now(), now() FROM generate_series(1, {trackings}) AS n, \
         LATERAL (SELECT CASE n % 3 WHEN 0 THEN 'CDEK' WHEN 1 THEN 'POST_RU' ELSE 'C' || n % 100 END AS code) AS c"
    );
    let events = format!(
        "INSERT INTO tracking_events (tracking_id, status, status_raw, event_time, location, message, payload_json, \
         journey, digest, mapping_version, created_at) \
         SELECT t.id, 'IN_TRANSIT', 'x', to_timestamp({start}) + e * interval '1 h', 'Omsk', 'moved', '', 1, \
         sha256((t.id || '/' || e)::bytea), 1, now() FROM trackings AS t, generate_series(1, {events_each}) AS e"
    );
    let (delivered, in_transit) = (Status::Delivered.code(), Status::InTransit.code());
    let parcels = format!(
        "INSERT INTO parcels (tenant_id, tracking_id, carrier_code, number_key, order_id, order_key, labels, status, \
         changed_at, created_at) \
         SELECT 1, id, carrier_code, number_key, 'O' || id, 'o' || id, CASE WHEN id % 10 = 1 THEN '[\"shop\"]' ELSE '[]' END, \
         CASE status WHEN 'DELIVERED' THEN {delivered} ELSE {in_transit} END, \
         to_timestamp({start}) + id * interval '1 ms', now() FROM trackings"
    );
    let changes = format!(
        "INSERT INTO changes (tenant_id, seq, kind, tracking_id, change_seq, cause, at, status, direction, status_raw) \
         SELECT 1, id, 0, id, 0, gen_random_uuid(), to_timestamp({start}), {in_transit}, 'FORWARD', 'x' FROM trackings"
    );
    let told = [
        parcels.as_str(),
        "INSERT INTO parcel_labels SELECT 1, 'shop', tracking_id FROM parcels WHERE labels <> '[]'",
        "INSERT INTO parcel_counts SELECT tenant_id, carrier_code, status, FALSE, COUNT(*) FROM parcels GROUP BY 1, 2, 3",
        changes.as_str(),
        "INSERT INTO feed_heads SELECT 1, MAX(seq), MAX(at) FROM changes",
    ];
    for sql in [rows.as_str(), events.as_str()].into_iter().chain(told) {
        database.execute_unprepared(sql).await.expect("fills");
    }
    database.execute_unprepared("ANALYZE").await.expect("fills");
}

/// Sequential scans of the large tables since they were made. A session's scans count once it has ended.
pub async fn sequential_scans(database: &DatabaseConnection) -> i64 {
    let sql = "SELECT SUM(seq_scan)::bigint AS scans FROM pg_stat_user_tables \
               WHERE relname IN ('trackings', 'tracking_events', 'parcels', 'parcel_labels', 'changes')";
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let row = database.query_one_raw(statement).await.expect("reads");
    let row = row.expect("a sum has a row");
    row.try_get("", "scans").expect("is a number")
}

/// Waits until the store's sessions have ended.
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
