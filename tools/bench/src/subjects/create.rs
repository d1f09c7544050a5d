//! Creating trackings in large requests.

use std::fmt::Write as _;
use std::str::FromStr as _;
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use trackbox::clock::machine_now;

use crate::Options;
use crate::engines::Place;
use crate::http::{self, Connection};
use crate::machine::{cpu_secs, used};
use crate::parcels::{self, CARRIER};
use crate::report::{Goal, Line};
use crate::subjects::limit::store_with;
use crate::trackbox::TrackBox;

const COLUMNS: &str =
    "carrier_code, track_number, carrier_key, number_key, next_check_at, created_at, updated_at";

/// Rows of one prepared insert on SQLite.
const INSERT_ROWS: usize = 500;

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let place = Place::engines().await?;
    let connection = place.postgres().await?;
    let mut lines = vec![one(options, place, "serve", Limit::Copy(connection)).await?];
    let place = Place::embedded()?;
    store_with(&place, &[]).await?.close().await;
    let file = SqliteConnectOptions::from_str(&place.url)?;
    let connection = file.connect().await?;
    lines.push(one(options, place, "all", Limit::Insert(connection)).await?);
    Ok(lines)
}

/// The fastest that the database takes rows. The keys of these spellings are the spellings themselves.
enum Limit {
    Copy(PgConnection),
    Insert(SqliteConnection),
}

impl Limit {
    async fn write(&mut self, numbers: &[String]) -> anyhow::Result<()> {
        let now = machine_now();
        match self {
            Self::Copy(connection) => {
                let (now, mut rows) = (now.to_rfc3339(), String::new());
                for number in numbers {
                    writeln!(
                        rows,
                        "{CARRIER}\t{number}\t{CARRIER}\t{number}\t{now}\t{now}\t{now}"
                    )?;
                }
                let copy = format!("COPY trackings ({COLUMNS}) FROM STDIN");
                let mut copy = connection.copy_in_raw(&copy).await?;
                copy.send(rows.as_bytes()).await?;
                copy.finish().await?;
            }
            Self::Insert(connection) => {
                // As the store writes times there.
                let now = now.timestamp_micros();
                let mut transaction = connection.begin().await?;
                for numbers in numbers.chunks(INSERT_ROWS) {
                    let rows = vec!["(?, ?, ?, ?, ?, ?, ?)"; numbers.len()].join(", ");
                    // Only question marks.
                    let insert =
                        AssertSqlSafe(format!("INSERT INTO trackings ({COLUMNS}) VALUES {rows}"));
                    let mut insert = sqlx::query(insert);
                    for number in numbers {
                        insert = insert.bind(CARRIER).bind(number).bind(CARRIER).bind(number);
                        insert = insert.bind(now).bind(now).bind(now);
                    }
                    insert.execute(&mut *transaction).await?;
                }
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
            "{count} new trackings a POST; limit: {by} of the same rows into the same table"
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
