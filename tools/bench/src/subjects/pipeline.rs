//! The whole pipe, from the claim to the effect: parcels that are all due, each checked once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;

use crate::Options;
use crate::engines::Place;
use crate::machine::{cpu_secs, used};
use crate::parcels::{self, Carriers};
use crate::report::{Goal, Line, median};
use crate::subjects::limit::{APPLY, CALLS, CLAIM, Topic, calls, statements, store_with};
use crate::trackbox::{Settings, TrackBox};

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
        line.ours.push(
            through(
                options,
                &place,
                &["all"],
                &numbers,
                Settings::new(),
                &mut line.cpu_secs,
            )
            .await?,
        );
        let place = Place::embedded()?;
        store_with(&place, &numbers).await?.close().await;
        line.limit.push(statements(&place, 1).await?);
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
        let ours = on_engines(options, 1, &numbers, &mut line.cpu_secs).await?;
        line.ours.push(ours);

        let (place, cpu) = (Place::embedded()?, &mut beside_sqlite.cpu_secs);
        beside_sqlite.ours.push(ours);
        beside_sqlite
            .limit
            .push(through(options, &place, &["all"], &numbers, Settings::new(), cpu).await?);

        let place = Place::engines().await?;
        store_with(&place, &numbers).await?.close().await;
        let stated = statements(&place, 4).await?;
        let carriers = Carriers::start().await?;
        carriers.seed(&numbers)?;
        let called = calls(&carriers, &numbers).await?;
        let mut topic = Topic::create(&place.topic, 12).await?;
        let began = Instant::now();
        topic.pass(count, PRODUCE).await?;
        let passed = count as f64 / began.elapsed().as_secs_f64();
        place.drop().await?;
        line.limit
            .push(1.0 / (1.0 / stated + 1.0 / called + 1.0 / passed));
        for (all, one) in parts.iter_mut().zip([stated, called, passed]) {
            all.push(one);
        }
    }
    let [stated, called, passed] = parts.map(|all| median(&all));
    line.how = format!(
        "{count} parcels, 3 events each; limit: the parts one after the other, each alone on all cores: claim {CLAIM} and \
         apply {APPLY} on 4 connections {stated:.0}/s, {CALLS} calls at once {called:.0}/s, produce {PRODUCE} and fetch \
         on 12 partitions {passed:.0}/s"
    );
    Ok(vec![line, beside_sqlite])
}

/// Checks a second with several `work` and `consume` on the same cores, beside one of each.
pub async fn replicas(options: &Options) -> anyhow::Result<Vec<Line>> {
    let count = options.size(20_000, 500);
    let numbers = parcels::numbers("P", count);
    let mut lines = [2, 4].map(|many| Line {
        figure: format!("checks/s with {many} work and consume"),
        goal: Some(Goal::AtLeast(0.95)),
        how: format!("{count} parcels; limit: 1 of each on the same cores"),
        ..Line::default()
    });
    for _ in 0..options.repetitions() {
        let mut cpu = BTreeMap::new();
        let one = on_engines(options, 1, &numbers, &mut cpu).await?;
        for (line, many) in lines.iter_mut().zip([2, 4]) {
            let ours = on_engines(options, many, &numbers, &mut line.cpu_secs).await?;
            line.ours.push(ours);
            line.limit.push(one);
        }
    }
    Ok(lines.into())
}

/// Checks a second of one serve and so many work and consume on the engines.
async fn on_engines(
    options: &Options,
    many: usize,
    numbers: &[String],
    cpu_secs_of: &mut BTreeMap<String, f64>,
) -> anyhow::Result<f64> {
    let place = Place::engines().await?;
    let mut roles = vec!["consume"; many];
    roles.push("serve");
    roles.extend(vec!["work"; many]);
    let more = Settings::new();
    let per_sec = through(options, &place, &roles, numbers, more, cpu_secs_of).await?;
    place.drop().await?;
    Ok(per_sec)
}

/// Checks a second of `roles` with `more` settings, from when the last of them is ready until all took effect.
pub async fn through(
    options: &Options,
    place: &Place,
    roles: &[&'static str],
    numbers: &[String],
    more: Settings,
    cpu_secs_of: &mut BTreeMap<String, f64>,
) -> anyhow::Result<f64> {
    let carriers = Carriers::start().await?;
    carriers.seed(numbers)?;
    store_with(place, numbers).await?.close().await;
    let mut settings = place.settings()?;
    settings.extend(carriers.settings());
    settings.extend(more);
    let before = cpu_secs([]);
    let mut running = Vec::new();
    for role in roles {
        running.push(TrackBox::start(options, role, place.folder.path(), &settings).await?);
    }
    let appliers = running.iter().filter(|it| it.applies());
    let appliers: Vec<&TrackBox> = appliers.collect();
    let began = Instant::now();
    while applied(&appliers).await? < numbers.len() {
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

async fn applied(appliers: &[&TrackBox]) -> anyhow::Result<usize> {
    let counts = try_join_all(appliers.iter().map(|it| it.applied())).await?;
    Ok(counts.into_iter().sum())
}
