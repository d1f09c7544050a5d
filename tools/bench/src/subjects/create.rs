//! Creating trackings in large requests.

use std::fmt::Write as _;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection,
};
use trackbox::clock::machine_now;
use uuid::Uuid;

use crate::Options;
use crate::engines::Place;
use crate::http::{self, Connection};
use crate::machine::{cpu_secs, used};
use crate::parcels::{self, CARRIER};
use crate::report::{Goal, Line};
use crate::subjects::limit::store_with;
use crate::trackbox::TrackBox;

const TRACKINGS: &str = "id, carrier_code, track_number, carrier_key, number_key, next_check_at, created_at, updated_at, owners";
const PARCELS: &str =
    "tenant_id, tracking_id, carrier_code, number_key, status, changed_at, created_at";
const CHANGES: &str =
    "tenant_id, seq, kind, tracking_id, change_seq, cause, at, status, direction, status_raw";

/// Rows of one prepared insert on SQLite.
const INSERT_ROWS: usize = 500;

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let place = Place::engines().await?;
    let connection = place.postgres().await?;
    let mut lines = vec![one(options, place, "serve", Limit::Copy(connection)).await?];
    let place = Place::embedded()?;
    store_with(&place, &[]).await?.close().await;
    let file = SqliteConnectOptions::from_str(&place.url)?
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let connection = file.connect().await?;
    lines.push(one(options, place, "all", Limit::Insert(connection)).await?);
    Ok(lines)
}

/// Ids of the limit's rows on PostgreSQL, which gives TrackBox smaller ones. SQLite gives the one after the greatest.
static NEXT_ID: AtomicI64 = AtomicI64::new(1_000_000_000);

/// The fastest that the database takes rows: the trackings, the parcels, what their owner is told, and the counts, in one
/// transaction. The keys of these spellings are the spellings themselves.
enum Limit {
    Copy(PgConnection),
    Insert(SqliteConnection),
}

const HEAD: &str = "INSERT INTO feed_heads (tenant_id, last_seq, last_at) VALUES (1, $1, $2) \
    ON CONFLICT (tenant_id) DO UPDATE SET last_seq = feed_heads.last_seq + excluded.last_seq, \
    last_at = excluded.last_at RETURNING last_seq";

const COUNT: &str = "INSERT INTO parcel_counts (tenant_id, carrier_code, status, archived, n) VALUES (1, $1, 1, FALSE, $2) \
    ON CONFLICT (tenant_id, carrier_code, status, archived) DO UPDATE SET n = parcel_counts.n + excluded.n";

impl Limit {
    async fn write(&mut self, numbers: &[String]) -> anyhow::Result<()> {
        let (now, count) = (machine_now(), numbers.len() as i64);
        let cause = Uuid::now_v7();
        match self {
            Self::Copy(connection) => {
                let first = NEXT_ID.fetch_add(count, Ordering::Relaxed);
                let rows = || (first..).zip(numbers);
                let at = now.to_rfc3339();
                let mut transaction = connection.begin().await?;
                let mut text = String::new();
                for (id, number) in rows() {
                    writeln!(
                        text,
                        "{id}\t{CARRIER}\t{number}\t{CARRIER}\t{number}\t{at}\t{at}\t{at}\t1"
                    )?;
                }
                copy(&mut transaction, "trackings", TRACKINGS, &text).await?;
                text.clear();
                for (id, number) in rows() {
                    writeln!(text, "1\t{id}\t{CARRIER}\t{number}\t1\t{at}\t{at}")?;
                }
                copy(&mut transaction, "parcels", PARCELS, &text).await?;
                let head = sqlx::query(HEAD).bind(count).bind(now);
                let head = head.fetch_one(&mut *transaction).await?;
                let last = head.get::<i64, _>(0);
                text.clear();
                for (seq, (id, _)) in (last - count + 1..).zip(rows()) {
                    writeln!(text, "1\t{seq}\t0\t{id}\t0\t{cause}\t{at}\t1\tFORWARD\t")?;
                }
                copy(&mut transaction, "changes", CHANGES, &text).await?;
                let counts = sqlx::query(COUNT).bind(CARRIER).bind(count);
                counts.execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            Self::Insert(connection) => {
                // As the store writes times and ids of requests there.
                let (at, cause) = (now.timestamp_micros(), cause.to_string());
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                let last = sqlx::query("SELECT MAX(id) FROM trackings");
                let last = last.fetch_one(&mut *transaction).await?;
                let first = last.get::<Option<i64>, _>(0).unwrap_or(0) + 1;
                let pairs: Vec<(i64, &String)> = (first..).zip(numbers).collect();
                for rows in pairs.chunks(INSERT_ROWS) {
                    let mut insert = sqlx::query(inserts("trackings", TRACKINGS, rows.len()));
                    for (id, number) in rows {
                        insert = insert.bind(id).bind(CARRIER).bind(number).bind(CARRIER);
                        insert = insert.bind(number).bind(at).bind(at).bind(at).bind(1);
                    }
                    insert.execute(&mut *transaction).await?;
                    let mut insert = sqlx::query(inserts("parcels", PARCELS, rows.len()));
                    for (id, number) in rows {
                        insert = insert.bind(1).bind(id).bind(CARRIER).bind(number);
                        insert = insert.bind(1).bind(at).bind(at);
                    }
                    insert.execute(&mut *transaction).await?;
                }
                let head = sqlx::query(HEAD).bind(count).bind(at);
                let head = head.fetch_one(&mut *transaction).await?;
                let mut seq = head.get::<i64, _>(0) - count;
                for rows in pairs.chunks(INSERT_ROWS) {
                    let mut insert = sqlx::query(inserts("changes", CHANGES, rows.len()));
                    for (id, _) in rows {
                        seq += 1;
                        insert = insert.bind(1).bind(seq).bind(0).bind(id).bind(0);
                        insert = insert.bind(&cause).bind(at).bind(1);
                        insert = insert.bind("FORWARD").bind("");
                    }
                    insert.execute(&mut *transaction).await?;
                }
                let counts = sqlx::query(COUNT).bind(CARRIER).bind(count);
                counts.execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Copy(connection) => connection.close().await?,
            Self::Insert(connection) => connection.close().await?,
        }
        Ok(())
    }
}

async fn copy(
    connection: &mut PgConnection,
    table: &str,
    columns: &str,
    rows: &str,
) -> anyhow::Result<()> {
    let copy = format!("COPY {table} ({columns}) FROM STDIN");
    let mut copy = connection.copy_in_raw(&copy).await?;
    copy.send(rows.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// The INSERT of so many rows, with a question mark for each value.
fn inserts(table: &str, columns: &str, rows: usize) -> AssertSqlSafe<String> {
    let marks = vec!["?"; columns.split(',').count()].join(", ");
    let rows = vec![format!("({marks})"); rows].join(", ");
    // Names of ours and question marks.
    AssertSqlSafe(format!("INSERT INTO {table} ({columns}) VALUES {rows}"))
}

async fn one(
    options: &Options,
    place: Place,
    role: &'static str,
    mut limit: Limit,
) -> anyhow::Result<Line> {
    let count = options.size(10_000, 500);
    let (database, by) = match limit {
        Limit::Copy(_) => ("PostgreSQL", "COPY".to_owned()),
        Limit::Insert(_) => (
            "SQLite",
            format!("prepared inserts of {INSERT_ROWS} rows in one transaction"),
        ),
    };
    let mut line = Line {
        figure: format!("trackings/s on {database}"),
        goal: Some(Goal::AtLeast(0.6)),
        how: format!(
            "{count} new trackings a POST; limit: {by} of the same rows into the same tables"
        ),
        ..Line::default()
    };
    let mut settings = place.settings()?;
    settings.extend(parcels::resting());
    let trackbox = TrackBox::start(options, role, place.folder.path(), &settings).await?;
    let mut connection = Connection::open(trackbox.api).await?;
    for repetition in 0..options.repetitions() {
        let numbers = parcels::numbers(&format!("POST{repetition}N"), count);
        let items = numbers
            .iter()
            .map(|number| json!({"carrierCode": CARRIER, "trackNumber": number}));
        let request = http::post("/trackings", &json!({"items": items.collect::<Vec<_>>()}));
        let before = cpu_secs([("trackbox", trackbox.id())]);
        let began = Instant::now();
        let answer = connection.ask(&request).await?;
        line.ours.push(count as f64 / began.elapsed().as_secs_f64());
        line.cpu_secs = used(&before, cpu_secs([("trackbox", trackbox.id())]));
        let created = answer.json()?["trackings"].as_array().map(Vec::len);
        ensure!(created == Some(count), "not all were created");
        let began = Instant::now();
        limit
            .write(&parcels::numbers(&format!("LIMIT{repetition}N"), count))
            .await?;
        line.limit
            .push(count as f64 / began.elapsed().as_secs_f64());
    }
    limit.close().await?;
    trackbox.stop().await?;
    place.drop().await?;
    Ok(line)
}
