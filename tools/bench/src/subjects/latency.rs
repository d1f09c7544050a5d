//! How long until the status of a new parcel can be read, if there is no other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::Options;
use crate::engines::Place;
use crate::http::{self, Connection};
use crate::parcels::{self, CARRIER, Carriers};
use crate::report::{Goal, Line, quantile};
use crate::subjects::limit::{Statements, Topic, store_with};
use crate::trackbox::TrackBox;

/// How long one parcel may take.
const VISIBLE_MAX: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Between two parcels, at most: they come at any time of the worker's round.
const PAUSE_MAX_MS: u64 = 200;

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let roles = ["consume", "work", "serve"];
    let mut lines = one(options, "the engines", &roles).await?;
    lines.extend(one(options, "SQLite", &["all"]).await?);
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
    statements: Statements,
}

impl Limit {
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
    let (ours, limit) = (place(roles).await?, place(roles).await?);
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
    let store = store_with(&limit, &numbers).await?;
    let topic = match roles.len() {
        1 => None,
        _ => Some(Topic::create(&limit.topic, 1).await?),
    };
    let mut bare = Limit {
        connection: Connection::open(carriers.address).await?,
        topic,
        statements: Statements::new(&store, 0).await?,
    };
    let mut lines = ["p50", "p99", "worst"].map(|name| Line {
        figure: format!("ms until visible, {name}, on {on}"),
        ..Line::default()
    });
    let mut worst: f64 = 0.0;
    let (first, numbers) = numbers.split_first().context("has a first parcel")?;
    visible_after(&mut connection, first).await?;
    bare.take_one(first).await?;
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
    lines[0].how = format!(
        "lone parcels, {count} a repetition; limit: one call, {}one claim and one apply",
        if roles.len() > 1 {
            "one record produced and fetched, "
        } else {
            ""
        }
    );
    lines[1].goal = Some(Goal::AtMost(10.0));
    lines[2].goal = Some(Goal::AtMost(300.0));
    lines[2].ours.push(worst);
    store.close().await;
    for (_, process) in running {
        process.stop().await?;
    }
    limit.drop().await?;
    ours.drop().await?;
    Ok(lines.into())
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
