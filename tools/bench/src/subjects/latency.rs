//! How long until the status of a new parcel can be read, if there is no other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use trackbox::store::{Connections, WholeStore};

use crate::Options;
use crate::engines::Place;
use crate::http::{self, Connection};
use crate::parcels::{self, CARRIER, Carriers};
use crate::report::{Goal, Line, median, quantile};
use crate::subjects::limit::{Topic, store_with};
use crate::subjects::pinned::Pinned;
use crate::subjects::pipeline::through;
use crate::trackbox::{Settings, TrackBox};

/// How long one parcel may take.
const VISIBLE_MAX: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How many lone passes of the limit stand beside a steady run.
const STEADY_BARE: usize = 50;

/// Between two parcels, at most: they come at any time of the worker's round.
const PAUSE_MAX_MS: u64 = 200;

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let roles = ["consume", "work", "serve"];
    let mut lines = Vec::new();
    for (on, roles) in [("the engines", &roles[..]), ("SQLite", &["all"])] {
        lines.extend(one(options, on, roles).await?);
        lines.extend(steady(options, on, roles).await?);
    }
    Ok(lines)
}

/// How long from sending a request until the transaction that writes the answer, at half of the rate that is possible.
async fn steady(options: &Options, on: &str, roles: &[&'static str]) -> anyhow::Result<[Line; 2]> {
    let count = options.size(10_000, 300);
    let numbers = parcels::numbers("S", count);
    let mut lines = ["p50", "p99"].map(|name| Line {
        figure: format!("ms from sending to writing, {name}, on {on}"),
        ..Line::default()
    });
    let bare_numbers = parcels::numbers("L", 1 + options.repetitions() * STEADY_BARE);
    let mut limit = Limit::open(roles, &bare_numbers).await?;
    let mut bare = bare_numbers.iter().skip(1);
    let mut rates = Vec::new();
    for _ in 0..options.repetitions() {
        let (top_place, ours) = (place(roles).await?, place(roles).await?);
        let mut cpu = BTreeMap::new();
        let top = through(
            options,
            &top_place,
            roles,
            &numbers,
            Settings::new(),
            &mut cpu,
        )
        .await?;
        top_place.drop().await?;
        let rate = (top / 2.0).max(1.0) as u32;
        rates.push(f64::from(rate));
        let half = vec![("CARRIERS__DEFAULT__PER_SECOND", rate.to_string())];
        let per_sec = through(options, &ours, roles, &numbers, half, &mut cpu).await?;
        ensure!(
            per_sec <= f64::from(rate) * 1.2,
            "{per_sec} checks a second at a limit of {rate}"
        );
        let took = written_after(&ours, count).await?;
        ours.drop().await?;
        let mut took_bare = Vec::new();
        for number in bare.by_ref().take(STEADY_BARE) {
            took_bare.push(limit.take_one(number).await?);
        }
        for (line, at) in lines.iter_mut().zip([0.5, 0.99]) {
            line.ours.push(quantile(&took, at));
            line.limit.push(quantile(&took_bare, at));
        }
    }
    limit.close().await?;
    lines[0].goal = Some(Goal::AtMost(2.0));
    lines[0].how = format!(
        "{count} parcels at {:.0} calls a second, half of the top rate; limit: {}",
        median(&rates),
        how(roles)
    );
    lines[1].goal = Some(Goal::AtMost(10.0));
    Ok(lines)
}

async fn place(roles: &[&str]) -> anyhow::Result<Place> {
    if roles.len() > 1 {
        Place::engines().await
    } else {
        Place::embedded()
    }
}

/// One after the other: a call, a record there and back if `topic` is, a claim and an apply.
struct Limit {
    connection: Connection,
    topic: Option<Topic>,
    statements: Pinned,
    place: Place,
    _carriers: Carriers,
}

fn how(roles: &[&str]) -> String {
    let record = match roles {
        [_] => "",
        _ => "one record produced and fetched, ",
    };
    format!("one call, {record}one claim and one apply")
}

impl Limit {
    /// For these parcels, and a first one, with which all connections are made and all statements prepared.
    async fn open(roles: &[&str], numbers: &[String]) -> anyhow::Result<Self> {
        let carriers = Carriers::start().await?;
        carriers.seed(numbers)?;
        let place = place(roles).await?;
        store_with(&place, numbers).await?.close().await;
        let topic = match place.is_shared() {
            false => None,
            true => Some(Topic::create(&place.topic, 1).await?),
        };
        let mut limit = Self {
            connection: Connection::open(carriers.address).await?,
            topic,
            statements: Pinned::open(&place).await?,
            place,
            _carriers: carriers,
        };
        let first = numbers.first().context("has a first parcel")?;
        limit.take_one(first).await?;
        Ok(limit)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.statements.close().await?;
        self.place.drop().await
    }

    async fn take_one(&mut self, number: &str) -> anyhow::Result<f64> {
        let began = Instant::now();
        let call = http::get(&format!("/v1/tracking/{CARRIER}/{number}"));
        self.connection.ask(&call).await?.json()?;
        if let Some(topic) = &mut self.topic {
            topic.pass(1, 1).await?;
        }
        ensure!(self.statements.step(1, 1).await? == 1, "nothing is due");
        Ok(ms(began))
    }
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

async fn one(options: &Options, on: &str, roles: &[&'static str]) -> anyhow::Result<Vec<Line>> {
    let count = options.size(20, 3);
    let carriers = Carriers::start().await?;
    let ours = place(roles).await?;
    let mut settings = ours.settings()?;
    settings.extend(carriers.settings());
    let mut running = BTreeMap::new();
    for role in roles {
        let process = TrackBox::start(options, role, ours.folder.path(), &settings).await?;
        running.insert(*role, process);
    }
    let api = running[roles[roles.len() - 1]].api;
    let mut connection = Connection::open(api).await?;
    // One more, with which all connections are made and all statements prepared.
    let numbers = parcels::numbers("L", 1 + count * options.repetitions());
    carriers.seed(&numbers)?;
    let mut bare = Limit::open(roles, &numbers).await?;
    let mut lines = ["p50", "p99", "worst"].map(|name| Line {
        figure: format!("ms until visible, {name}, on {on}"),
        ..Line::default()
    });
    let mut worst: f64 = 0.0;
    let (first, numbers) = numbers.split_first().context("has a first parcel")?;
    visible_after(&mut connection, first).await?;
    for numbers in numbers.chunks(count) {
        let (mut took, mut took_bare) = (Vec::new(), Vec::new());
        for number in numbers {
            took.push(visible_after(&mut connection, number).await?);
            took_bare.push(bare.take_one(number).await?);
            let pause = rand::random_range(0..=PAUSE_MAX_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        for (line, at) in lines.iter_mut().zip([0.5, 0.99]) {
            line.ours.push(quantile(&took, at));
            line.limit.push(quantile(&took_bare, at));
        }
        worst = worst.max(quantile(&took, 1.0));
    }
    lines[0].goal = Some(Goal::AtMost(2.0));
    lines[0].how = format!("lone parcels, {count} a repetition; limit: {}", how(roles));
    lines[1].goal = Some(Goal::AtMost(10.0));
    lines[2].goal = Some(Goal::AtMost(300.0));
    lines[2].ours.push(worst);
    bare.close().await?;
    for (_, process) in running {
        process.stop().await?;
    }
    ours.drop().await?;
    Ok(lines.into())
}

/// Milliseconds from sending each parcel's request until the transaction that wrote the answer began its work, by the
/// store's clock.
async fn written_after(place: &Place, count: usize) -> anyhow::Result<Vec<f64>> {
    let store = WholeStore::open(&place.url, Connections::default()).await?;
    let (mut took, mut after) = (Vec::with_capacity(count), 0);
    loop {
        let rows = store.trackings_after(after, 1_000).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        for row in &rows {
            let sent = row.last_checked_at.context("was checked")?;
            took.push((row.updated_at - sent).as_seconds_f64() * 1e3);
        }
    }
    store.close().await;
    ensure!(took.len() == count, "{} of {count} parcels", took.len());
    Ok(took)
}

/// Milliseconds from the POST until the parcel has arrived for a reader.
async fn visible_after(api: &mut Connection, number: &str) -> anyhow::Result<f64> {
    let items = json!({"items": [{"carrierCode": CARRIER, "trackNumber": number}]});
    let create = http::post("/trackings", &items);
    let began = Instant::now();
    let created = api.ask(&create).await?.json()?;
    let id = &created["trackings"][0]["id"];
    let look = http::post("/trackings/get-by-ids", &json!({"ids": [id]}));
    loop {
        let seen = api.ask(&look).await?.json()?;
        if seen["trackings"][0]["status"] == "DELIVERED" {
            return Ok(ms(began));
        }
        ensure!(
            began.elapsed() < VISIBLE_MAX,
            "{number} is not visible: {seen}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
