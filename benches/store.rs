//! How the store's statements on PostgreSQL grow with the tables: 10,000 parcels against 1,000,000, five events each.
//!
//! `tools/services cargo bench --bench store` needs a release build; `--profile dev` shows the same ratios. Compare the
//! ratios, not the times. Ends with an error where a claim grows with the table, or a large table was scanned. Shows
//! besides what the store's way to hand over a set of rows, one JSON parameter, takes beside UNNEST over an array a column.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, Database};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use trackbox::clock::Time;
use trackbox::kafka::message::decode;
use trackbox::model::{CarrierCode, TrackNumber, Update};
use trackbox::store::claims::Take;
use trackbox::store::updates::Batch;
use trackbox::store::{Connections, Store};
use uuid::Uuid;

#[path = "../tests/it/large.rs"]
mod large;

const SMALL: i64 = 10_000;
const LARGE: i64 = 1_000_000;
const ROUNDS: usize = 31;

/// How much slower the large table's claim may be.
const CLAIM_RATIO_MAX: f64 = 3.0;

fn at(secs: i64) -> Time {
    Time::from_timestamp(1_795_176_000 + secs, 0).expect("a time within range")
}

fn code(text: &str) -> CarrierCode {
    CarrierCode::parse(text).expect("a valid code")
}

/// A check of a parcel that heard three events, one of them new in each round.
fn update(id: i64, round: i64) -> Update {
    let events: Vec<_> = [100, 200, 300 + round]
        .iter()
        .map(|secs| {
            serde_json::json!({"status": "IN_TRANSIT", "status_raw": "hub", "event_time": at(*secs)})
        })
        .collect();
    let message = serde_json::json!({
        "tracking_id": id, "checked_at": at(4_000 + round), "check_id": Uuid::now_v7(), "status": "IN_TRANSIT",
        "status_raw": "hub", "status_at": at(300 + round), "next_check_at": at(8_000), "events": events,
    });
    decode(Some(message.to_string().as_bytes()), at(0), at(100_000)).expect("is an update")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Medians by statement.
async fn measure(store: &Store, rows: i64) -> Vec<(&'static str, Duration)> {
    let (ownership, mut offset) = store
        .take_partition("bench", 0, Uuid::now_v7(), at(0))
        .await
        .expect("takes the partition");
    let mut times: Vec<(&'static str, Vec<Duration>)> = Vec::new();
    let mut note = |name, began: Instant| match times.iter_mut().find(|(known, _)| *known == name) {
        Some((_, all)) => all.push(began.elapsed()),
        None => times.push((name, vec![began.elapsed()])),
    };
    for round in 0..ROUNDS as i64 {
        let began = Instant::now();
        store.due_carriers("", 100, at(3_600)).await.expect("lists");
        note("list the 102 carriers that have something due", began);
        let lease = Duration::from_secs(120);
        let began = Instant::now();
        let claimed = store
            .claim_due(&code("CDEK"), Take::Due, at(3_600), lease, 50)
            .await;
        note("claim 50 of a carrier", began);
        assert_eq!(claimed.expect("claims").trackings.len(), 50);
        let began = Instant::now();
        let early = Take::Early {
            answered_before: at(3_000),
        };
        store
            .claim_due(&code("POST_RU"), early, at(-10), lease, 50)
            .await
            .expect("claims");
        note("claim 50, none due, all answered lately", began);
        let ids: Vec<i64> = (0..500)
            .map(|n| 1 + (n * 7_919 + round * 104_729) % rows)
            .collect();
        let batch = Batch {
            ownership: ownership.clone(),
            first_offset: offset,
            next_offset: offset + 500,
            updates: ids.iter().map(|id| update(*id, round)).collect(),
            dead_letters: Vec::new(),
        };
        let began = Instant::now();
        store
            .apply(&batch, at(5_000), async |_| {})
            .await
            .expect("applies");
        note("apply 500 updates with 1,500 events", began);
        offset += 500;
        let began = Instant::now();
        store.trackings_by_ids(&ids).await.expect("reads");
        note("get 500 by id", began);
        let began = Instant::now();
        store.events(ids[0], 100, 0).await.expect("reads");
        note("list the events of one", began);
        let pairs: Vec<_> = (0..500)
            .map(|n| {
                let number = TrackNumber::parse(format!("B{round}-{n}")).expect("a valid number");
                (code("CDEK"), number)
            })
            .collect();
        let began = Instant::now();
        store
            .create_or_get(&pairs, at(9_000))
            .await
            .expect("creates");
        note("create 500", began);
    }
    times
        .into_iter()
        .map(|(name, all)| (name, median(all)))
        .collect()
}

/// Fills a database of its own with `rows` parcels and measures; answers the sequential scans too.
async fn subject(server: &str, rows: i64) -> (Vec<(&'static str, Duration)>, i64) {
    let admin = Database::connect(format!("{server}/postgres"))
        .await
        .expect("connects");
    let name = format!("bench_{}", Uuid::now_v7().simple());
    let create = format!("CREATE DATABASE {name}");
    admin.execute_unprepared(&create).await.expect("creates");
    let url = format!("{server}/{name}");
    let store = Store::open(&url, Connections::default())
        .await
        .expect("opens");
    store.migrate().await.expect("migrates");
    let database = Database::connect(&url).await.expect("connects");
    eprintln!("filling {rows} parcels and {} events ...", rows * 5);
    large::fill(&database, rows).await;
    let before = large::sequential_scans(&database).await;
    let times = measure(&store, rows).await;
    store.close().await;
    large::sessions_gone(&database).await;
    let scans = large::sequential_scans(&database).await - before;
    database.close().await.expect("closes");
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    admin.execute_unprepared(&drop).await.expect("drops");
    (times, scans)
}

/// An event as both ways hand it over: parcel, code, time, place, text, digest.
type Event = (i64, String, Time, String, String, Vec<u8>);

/// So many events that nobody has written yet.
fn events(rows: usize) -> Vec<Event> {
    (0..rows as i64)
        .map(|n| {
            let digest = Uuid::now_v7().into_bytes().repeat(2);
            let (place, text) = ("Омск".to_owned(), "left the sorting centre".to_owned());
            (n, "hub".to_owned(), at(n), place, text, digest)
        })
        .collect()
}

/// One column of them.
fn column<T>(events: &[Event], of: impl Fn(&Event) -> T) -> Vec<T> {
    events.iter().map(of).collect()
}

const INSERT: &str =
    "INSERT INTO sets (tracking_id, status_raw, event_time, location, message, digest)";

async fn write_by_json(connection: &mut PgConnection, events: &[Event]) {
    let rows: Vec<_> = events
        .iter()
        .map(|(id, raw, time, location, message, digest)| {
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({"tracking_id": id, "status_raw": raw, "event_time": time, "location": location,
                               "message": message, "digest": digest})
        })
        .collect();
    let sql = format!(
        "{INSERT} SELECT tracking_id, status_raw, event_time, location, message, decode(digest, 'hex') \
         FROM jsonb_to_recordset($1) AS u(tracking_id bigint, status_raw text, event_time timestamptz, location text, \
         message text, digest text) ON CONFLICT DO NOTHING"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(serde_json::Value::Array(rows));
    query.execute(connection).await.expect("writes");
}

async fn write_by_unnest(connection: &mut PgConnection, events: &[Event]) {
    let sql = format!(
        "{INSERT} SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[]) \
         ON CONFLICT DO NOTHING"
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(column(events, |event| event.0))
        .bind(column(events, |event| event.1.clone()))
        .bind(column(events, |event| event.2))
        .bind(column(events, |event| event.3.clone()))
        .bind(column(events, |event| event.4.clone()))
        .bind(column(events, |event| event.5.clone()));
    query.execute(connection).await.expect("writes");
}

/// Writes sets of rows both ways in turn and prints the medians.
async fn compare_sets(server: &str) {
    let url = format!("{server}/postgres");
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let table = "CREATE TEMP TABLE sets (tracking_id bigint, status_raw text, event_time timestamptz, location text, \
                 message text, digest bytea, UNIQUE (tracking_id, digest))";
    connection.execute(table).await.expect("creates");
    for rows in [500, 10_000] {
        let (mut json, mut unnest) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (one, other) = (events(rows), events(rows));
            let began = Instant::now();
            write_by_json(&mut connection, &one).await;
            json.push(began.elapsed());
            let began = Instant::now();
            write_by_unnest(&mut connection, &other).await;
            unnest.push(began.elapsed());
            connection.execute("TRUNCATE sets").await.expect("empties");
        }
        let (json, unnest) = (median(json), median(unnest));
        println!(
            "insert {rows} events: by one JSON parameter {json:.2?}, by UNNEST {unnest:.2?}, ratio {:.2}",
            json.as_secs_f64() / unnest.as_secs_f64()
        );
    }
}

fn main() {
    let server = std::env::var("TRACKBOX_TEST_POSTGRES")
        .expect("TRACKBOX_TEST_POSTGRES names no server: tools/services cargo bench --bench store");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(compare_sets(&server));
    let (small, small_scans) = runtime.block_on(subject(&server, SMALL));
    let (large, large_scans) = runtime.block_on(subject(&server, LARGE));
    println!(
        "{:48} {SMALL:>10} {LARGE:>10}  ratio",
        "median of 31, parcels:"
    );
    let mut grown = false;
    for ((name, few), (_, many)) in small.iter().zip(&large) {
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        grown |= name.starts_with("claim 50 of") && ratio > CLAIM_RATIO_MAX;
        let ms = |time: &Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        println!("{name:48} {:>10} {:>10}  {ratio:.2}", ms(few), ms(many));
    }
    println!("sequential scans of trackings or tracking_events: {small_scans} and {large_scans}");
    if grown || large_scans > 0 {
        eprintln!("error: a claim grew with the table, or a large table was scanned");
        std::process::exit(1);
    }
}
