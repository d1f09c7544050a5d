//! Memory, the time to be ready, and the size of the program.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::Options;
use crate::engines::Place;
use crate::http;
use crate::load::{Until, load};
use crate::machine::memory_mib;
use crate::parcels::{self, Carriers};
use crate::report::{Goal, Line};
use crate::subjects::limit::store_with;
use crate::trackbox::TrackBox;

/// How long it rests before its idle memory is read.
const REST: Duration = Duration::from_secs(5);

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let mut ready = line(
        "ms until ready",
        300.0,
        "`trackbox all` on a new SQLite file",
    );
    let mut idle = line("MiB resident, idle", 60.0, "");
    for _ in 0..options.repetitions() {
        let place = Place::embedded()?;
        let settings = place.settings()?;
        let trackbox = TrackBox::start(options, "all", place.folder.path(), &settings).await?;
        ready.ours.push(trackbox.ready_ms);
        tokio::time::sleep(options.size(REST, Duration::ZERO)).await;
        idle.ours.push(memory_mib(trackbox.id(), "VmRSS")?);
        trackbox.stop().await?;
    }
    let size = Line {
        figure: "MiB of the program".to_owned(),
        ours: vec![options.program()?.metadata()?.len() as f64 / (1024.0 * 1024.0)],
        ..Line::default()
    };
    Ok(vec![
        ready,
        idle,
        loaded(options).await?,
        flooded(options).await?,
        size,
    ])
}

fn line(figure: &str, most: f64, how: &str) -> Line {
    Line {
        figure: figure.to_owned(),
        goal: Some(Goal::AtMost(most)),
        how: how.to_owned(),
        ..Line::default()
    }
}

/// The most memory while it checks parcels, all of which are due, and clients read them.
async fn loaded(options: &Options) -> anyhow::Result<Line> {
    let (count, checked) = options.size((1_000_000, 100_000), (2_000, 1_000));
    let place = Place::embedded()?;
    let carriers = Carriers::start().await?;
    let numbers = parcels::numbers("M", count);
    carriers.seed(&numbers[..checked])?;
    store_with(&place, &numbers).await?.close().await;
    let mut settings = place.settings()?;
    settings.extend(carriers.settings());
    let trackbox = TrackBox::start(options, "all", place.folder.path(), &settings).await?;
    let requests = (0..count as i64).step_by(100).map(|first| {
        let ids: Vec<i64> = (first + 1..=first + 100).collect();
        http::post("/trackings/get-by-ids", &json!({"ids": ids}))
    });
    let time = options.size(Duration::from_secs(20), Duration::from_millis(200));
    load(
        trackbox.api,
        Arc::new(requests.collect()),
        16,
        Until::After(time),
    )
    .await?;
    let how =
        format!("{count} parcels, all due, {time:?} of checks and of reads by 16 connections");
    let mut line = line("MiB resident at most, under load", 200.0, &how);
    line.ours.push(memory_mib(trackbox.id(), "VmHWM")?);
    trackbox.stop().await?;
    Ok(line)
}

/// The most memory while carriers answer with bodies that no one should read.
async fn flooded(options: &Options) -> anyhow::Result<Line> {
    let bytes = 100_000_000;
    let place = Place::embedded()?;
    let carriers = Carriers::start().await?;
    let numbers = parcels::numbers("H", 1_000);
    carriers.answer_with(bytes);
    store_with(&place, &numbers).await?.close().await;
    let mut settings = place.settings()?;
    settings.extend(carriers.settings());
    let trackbox = TrackBox::start(options, "all", place.folder.path(), &settings).await?;
    let time = options.size(Duration::from_secs(10), Duration::from_millis(200));
    tokio::time::sleep(time).await;
    let how = format!("carriers answer with {} MB, {time:?}", bytes / 1_000_000);
    let mut line = line("MiB resident at most, huge answers", 200.0, &how);
    line.ours.push(memory_mib(trackbox.id(), "VmHWM")?);
    trackbox.stop().await?;
    Ok(line)
}
