//! How the store's statements on PostgreSQL slow down as the tables grow: 10,000 parcels against 1,000,000, five events each.
//!
//! `tools/services cargo bench --bench store` makes a release build; `--profile dev` shows the same ratios. Compare the
//! ratios, not the times. All is measured with `plan_cache_mode = force_generic_plan` too. Fails if a statement slows down
//! with the table, or a large table is scanned. Also compares the store's way to send a set of rows, UNNEST over one array a
//! column, with one JSON parameter.

use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use trackbox::clock::Time;
use trackbox::kafka::message::decode;
use trackbox::model::{CarrierCode, TrackNumber, Update};
use trackbox::store::claims::{Claim, Early, Take};
use trackbox::store::dialect::Dialect;
use trackbox::store::set::Set;
use trackbox::store::sql::Sql;
use trackbox::store::updates::Batch;
use trackbox::store::{Connections, WholeStore};
use uuid::Uuid;

use crate::time::at;

#[path = "../tests/it/support/large.rs"]
mod large;
#[path = "../tests/it/support/time.rs"]
mod time;

const SMALL: i64 = 10_000;
const LARGE: i64 = 1_000_000;
const ROUNDS: usize = 31;

/// How much slower a statement may be on the large tables: a logarithm and a colder cache, not a hundred times.
const RATIO_MAX: f64 = 3.0;

const MODES: [&str; 2] = ["auto", "force_generic_plan"];

fn code(text: &str) -> CarrierCode {
    CarrierCode::parse(text).expect("a valid code")
}

/// A check of a parcel that saw three events, one of them new in each round.
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

/// Medians by statement. Each `pass` over the same tables has its own rounds and leases.
async fn measure(store: &WholeStore, rows: i64, pass: i64) -> Vec<(&'static str, Duration)> {
    let (ownership, mut offset) = store
        .take_partition("bench", 0, Uuid::now_v7(), at(0))
        .await
        .expect("takes the partition");
    let mut times: Vec<(&'static str, Vec<Duration>)> = Vec::new();
    let mut note = |name, began: Instant| match times.iter_mut().find(|(known, _)| *known == name) {
        Some((_, all)) => all.push(began.elapsed()),
        None => times.push((name, vec![began.elapsed()])),
    };
    // What the previous pass claimed or applied is due again.
    let now = at(3_600 + pass * 6_400);
    for round in (0..ROUNDS as i64).map(|n| pass * 1_000 + n) {
        let began = Instant::now();
        store.due_carriers("", 100, now).await.expect("lists");
        note("list the 102 carriers that have something due", began);
        let lease = Duration::from_secs(120);
        let began = Instant::now();
        let claim = |carriers, early| Claim {
            carriers,
            limit: 50,
            take: Take::Due {
                unanswered_max: 25,
                early,
            },
        };
        let (one, all) = ([code("CDEK")], [code("CDEK"), code("POST_RU"), code("C5")]);
        let fill = Early::Fill { per_call: 30 };
        let claimed = store.claim(claim(&one, fill), now, lease).await;
        note("claim 50 of a carrier", began);
        assert_eq!(claimed.expect("claims").trackings.len(), 50);
        let began = Instant::now();
        let claimed = store.claim(claim(&all, fill), now, lease).await;
        note("claim 50 of three carriers", began);
        assert_eq!(claimed.expect("claims").trackings.len(), 50);
        let (post, answered_before) = ([code("POST_RU")], at(3_000));
        let began = Instant::now();
        let shelf = store.early(&post, answered_before, at(-10), 1_000).await;
        note("list the next 1,000 of a carrier that are not due", began);
        let trackings = &shelf.expect("lists")[..];
        let early = Early::Of {
            trackings,
            answered_before,
        };
        let began = Instant::now();
        let claimed = store.claim(claim(&post, early), at(-10), lease).await;
        claimed.expect("claims");
        note("claim 50 of these", began);
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
        store.events(ids[0], false, 100, 0).await.expect("reads");
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

/// The measurements of one database, by the modes of [`MODES`].
struct Subject {
    times: Vec<Vec<(&'static str, Duration)>>,
    scans: Vec<i64>,
}

/// Fills a new database with `rows` parcels and measures.
async fn subject(server: &str, rows: i64) -> Subject {
    let admin = Database::connect(format!("{server}/postgres"))
        .await
        .expect("connects");
    let name = format!("bench_{}", Uuid::now_v7().simple());
    let create = format!("CREATE DATABASE {name}");
    admin.execute_unprepared(&create).await.expect("creates");
    let url = format!("{server}/{name}");
    let store = WholeStore::open(&url, Connections::default())
        .await
        .expect("opens");
    store.migrate().await.expect("migrates");
    let database = Database::connect(&url).await.expect("connects");
    eprintln!("filling {rows} parcels and {} events ...", rows * 5);
    large::fill(&database, rows).await;
    store.close().await;
    let mut seen = Subject {
        times: Vec::new(),
        scans: Vec::new(),
    };
    for (pass, mode) in MODES.into_iter().enumerate() {
        let set = format!("ALTER DATABASE {name} SET plan_cache_mode = {mode}");
        database.execute_unprepared(&set).await.expect("sets");
        large::sessions_gone(&database).await;
        let before = large::sequential_scans(&database).await;
        let store = WholeStore::open(&url, Connections::default())
            .await
            .expect("opens");
        seen.times.push(measure(&store, rows, pass as i64).await);
        store.close().await;
        large::sessions_gone(&database).await;
        let scans = large::sequential_scans(&database).await - before;
        seen.scans.push(scans);
    }
    database.close().await.expect("closes");
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    admin.execute_unprepared(&drop).await.expect("drops");
    seen
}

/// An event as both ways send it: parcel, code, time, place, text, digest.
type Event = (i64, String, Time, String, String, Vec<u8>);

/// So many new events.
fn events(rows: usize) -> Vec<Event> {
    (0..rows as i64)
        .map(|n| {
            let digest = Uuid::now_v7().into_bytes().repeat(2);
            let (place, text) = ("Омск".to_owned(), "left the sorting centre".to_owned());
            (n, "hub".to_owned(), at(n), place, text, digest)
        })
        .collect()
}

const INSERT: &str =
    "INSERT INTO sets (tracking_id, status_raw, event_time, location, message, digest)";

async fn write_by_json(connection: &DatabaseConnection, events: &[Event]) {
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
         FROM jsonb_to_recordset(:events) AS u(tracking_id bigint, status_raw text, event_time timestamptz, location text, \
         message text, digest text) ON CONFLICT DO NOTHING"
    );
    let sql = Sql::new(Dialect::Postgres, sql).bind("events", serde_json::Value::Array(rows));
    let written = connection.execute_raw(sql.statement()).await;
    written.expect("writes");
}

async fn write_by_unnest(connection: &DatabaseConnection, events: &[Event]) {
    let set = Set::of(Dialect::Postgres, events)
        .column("tracking_id", |event| event.0)
        .column("status_raw", |event| event.1.clone())
        .column("event_time", |event| event.2)
        .column("location", |event| event.3.clone())
        .nullable("message", |event| Some(event.4.clone()))
        .column("digest", |event| event.5.clone());
    let sql = format!(
        "{INSERT} SELECT tracking_id, status_raw, event_time, location, message, digest FROM {} ON CONFLICT DO NOTHING",
        set.from()
    );
    let sql = Sql::new(Dialect::Postgres, sql).bind_set(set);
    let written = connection.execute_raw(sql.statement()).await;
    written.expect("writes");
}

/// Writes sets of rows both ways in turn and prints the medians.
async fn compare_sets(server: &str) {
    let mut options = ConnectOptions::new(format!("{server}/postgres"));
    // Only the session that created a temporary table sees it.
    options.max_connections(1);
    let connection = Database::connect(options).await.expect("connects");
    let table = "CREATE TEMP TABLE sets (tracking_id bigint, status_raw text, event_time timestamptz, location text, \
                 message text, digest bytea, UNIQUE (tracking_id, digest))";
    let created = connection.execute_unprepared(table).await;
    created.expect("creates");
    for rows in [500, 10_000] {
        let (mut json, mut unnest) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (one, other) = (events(rows), events(rows));
            let began = Instant::now();
            write_by_json(&connection, &one).await;
            json.push(began.elapsed());
            let began = Instant::now();
            write_by_unnest(&connection, &other).await;
            unnest.push(began.elapsed());
            let emptied = connection.execute_unprepared("TRUNCATE sets").await;
            emptied.expect("empties");
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
    let small = runtime.block_on(subject(&server, SMALL));
    let large = runtime.block_on(subject(&server, LARGE));
    let mut failed = false;
    for (pass, mode) in MODES.into_iter().enumerate() {
        println!("plan_cache_mode = {mode}, median of {ROUNDS}");
        println!("{:48} {SMALL:>10} {LARGE:>10}  ratio", "parcels:");
        for ((name, few), (_, many)) in small.times[pass].iter().zip(&large.times[pass]) {
            let ratio = many.as_secs_f64() / few.as_secs_f64();
            failed |= ratio > RATIO_MAX;
            let ms = |time: &Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
            println!("{name:48} {:>10} {:>10}  {ratio:.2}", ms(few), ms(many));
        }
        let scans = (small.scans[pass], large.scans[pass]);
        println!(
            "{:48} {:>10} {:>10}",
            "sequential scans of the large tables", scans.0, scans.1
        );
        failed |= scans.1 > 0;
    }
    if failed {
        eprintln!(
            "error: a statement took more than {RATIO_MAX} times as long on the large tables, or scanned one"
        );
        std::process::exit(1);
    }
}
