//! The whole pipe, from the claim to the effect: parcels that are all due, each checked once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::Options;
use crate::engines::Place;
use crate::machine::{cpu_secs, used};
use crate::parcels::{self, Carriers};
use crate::report::{Goal, Line, median};
use crate::subjects::limit::{
    APPLY, CALLS, CLAIM, Topic, calls, statements_in_turn, statements_side_by_side, store_with,
};
use crate::trackbox::TrackBox;

/// How long a run may take.
const RUN_MAX: Duration = Duration::from_secs(300);

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Records of a plain produce request.
const PRODUCE: usize = 1_000;

/// Checks a second on SQLite in one process.
pub async fn embedded(options: &Options) -> anyhow::Result<Vec<Line>> {
    let count = options.size(20_000, 500);
    let numbers = parcels::numbers("P", count);
    let mut line = Line {
        figure: "checks/s on SQLite".to_owned(),
        goal: Some(Goal::AtLeast(0.7)),
        how: format!(
            "{count} parcels, 3 events each; limit: claim {CLAIM}, apply {APPLY} on one connection, nothing else"
        ),
        ..Line::default()
    };
    for _ in 0..options.repetitions() {
        let place = Place::embedded()?;
        line.ours
            .push(through(options, &place, &["all"], &numbers, &mut line.cpu_secs).await?);
        let place = Place::embedded()?;
        let store = store_with(&place, &numbers).await?;
        line.limit.push(statements_in_turn(&store).await?);
        store.close().await;
    }
    Ok(vec![line])
}

/// Checks a second of one serve, work and consume on the engines.
pub async fn engines(options: &Options) -> anyhow::Result<Vec<Line>> {
    let count = options.size(20_000, 500);
    let numbers = parcels::numbers("P", count);
    let mut line = Line {
        figure: "checks/s on the engines".to_owned(),
        goal: Some(Goal::AtLeast(0.7)),
        ..Line::default()
    };
    let mut beside_sqlite = Line {
        figure: "checks/s, the engines beside SQLite".to_owned(),
        goal: Some(Goal::AtLeast(0.6)),
        how: "limit: TrackBox on SQLite in one process".to_owned(),
        ..Line::default()
    };
    let mut parts = [const { Vec::new() }; 3];
    for _ in 0..options.repetitions() {
        let place = Place::engines().await?;
        let roles = ["consume", "serve", "work"];
        let ours = through(options, &place, &roles, &numbers, &mut line.cpu_secs).await?;
        place.drop().await?;
        line.ours.push(ours);

        let (place, cpu) = (Place::embedded()?, &mut beside_sqlite.cpu_secs);
        beside_sqlite.ours.push(ours);
        beside_sqlite
            .limit
            .push(through(options, &place, &["all"], &numbers, cpu).await?);

        let place = Place::engines().await?;
        let store = store_with(&place, &numbers).await?;
        let statements = statements_side_by_side(&store).await?;
        store.close().await;
        let carriers = Carriers::start().await?;
        carriers.seed(&numbers)?;
        let called = calls(&carriers, &numbers).await?;
        let mut topic = Topic::create(&place.topic, 12).await?;
        let began = Instant::now();
        topic.pass(count, PRODUCE).await?;
        let passed = count as f64 / began.elapsed().as_secs_f64();
        place.drop().await?;
        line.limit
            .push(1.0 / (1.0 / statements + 1.0 / called + 1.0 / passed));
        for (all, one) in parts.iter_mut().zip([statements, called, passed]) {
            all.push(one);
        }
    }
    let [statements, called, passed] = parts.map(|all| median(&all));
    line.how = format!(
        "{count} parcels, 3 events each; limit: the parts one after the other, each alone on all cores: claim {CLAIM} and \
         apply {APPLY} on 4 connections {statements:.0}/s, {CALLS} calls at once {called:.0}/s, produce {PRODUCE} and fetch \
         on 12 partitions {passed:.0}/s"
    );
    Ok(vec![line, beside_sqlite])
}

/// Checks a second of `roles`, from when the last of them is ready until all took effect. The first one applies.
async fn through(
    options: &Options,
    place: &Place,
    roles: &[&'static str],
    numbers: &[String],
    cpu_secs_of: &mut BTreeMap<String, f64>,
) -> anyhow::Result<f64> {
    let carriers = Carriers::start().await?;
    carriers.seed(numbers)?;
    store_with(place, numbers).await?.close().await;
    let mut settings = place.settings()?;
    settings.extend(carriers.settings());
    let before = cpu_secs([]);
    let mut running = Vec::new();
    for role in roles {
        running.push(TrackBox::start(options, role, place.folder.path(), &settings).await?);
    }
    let consumer = running.first().context("a role that applies")?;
    let began = Instant::now();
    while consumer.applied().await? < numbers.len() {
        ensure!(
            began.elapsed() < RUN_MAX,
            "not all parcels were checked in time"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let per_sec = numbers.len() as f64 / began.elapsed().as_secs_f64();
    let now = cpu_secs(running.iter().map(|process| (process.role, process.id())));
    *cpu_secs_of = used(&before, now);
    for process in running {
        process.stop().await?;
    }
    Ok(per_sec)
}
