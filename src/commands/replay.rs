//! Command `replay`: reads archived answers again, shows what would change, and applies it through the topic.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::app::parts::{Wanted, archive, open_database};
use crate::carriers::routes::{ANY, Routes};
use crate::clock::Time;
use crate::commands::topic::{Chosen, bar, tell_when_applied, time, with_topic};
use crate::config::Config;
use crate::kafka::record::Outgoing;
use crate::model::CarrierCode;
use crate::model::archived::Archived;
use crate::replay::summary::Summary;
use crate::replay::{self, Difference, Reading};
use crate::reread::words;
use crate::store::Store;

/// The most parcels read at once, and about the most bytes of their answers.
const PAGE: u32 = 100;
const PAGE_BYTES: u64 = 8 * 1024 * 1024;

/// What to read again.
#[derive(Args)]
pub struct Replay {
    /// Only parcels whose answers said something new since this day or time, such as 2026-11-01 or 2026-11-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Time>,
    #[command(flatten)]
    chosen: Chosen,
}

/// What a replay reads.
struct From<'a> {
    parcels: &'a Store,
    archive: Store,
    routes: &'a Routes,
    /// Whether names of people may be kept.
    names: bool,
}

/// Reads again what `replay` says, and prints what changes.
///
/// # Errors
/// If a database or the bus cannot be reached, or, to apply, another process keeps this one's bus to itself.
pub async fn run(config: &Config, replay: &Replay) -> anyhow::Result<()> {
    let names = config.facts.in_messages;
    if !replay.chosen.apply {
        let store = open_database(config, Wanted::BY_A_COMMAND).await?.store();
        store.migrate().await?;
        let place = archive(config, &store);
        let from = From {
            parcels: &store,
            archive: place.store().await.context(NO_ARCHIVE)?,
            routes: &Routes::new(config)?,
            names,
        };
        let summary = read(&from, replay, async |_| Ok(())).await?;
        place.close().await;
        store.close().await;
        tell(&summary);
        if summary.differ > 0 {
            println!("Nothing was changed: repeat it with --apply to make these changes.");
        }
        return Ok(());
    }
    let summary = with_topic(config, async |parts, topic| {
        let from = From {
            parcels: &parts.store,
            archive: parts.archive.store().await.context(NO_ARCHIVE)?,
            routes: &parts.routes,
            names,
        };
        let publish = async |records: Vec<Outgoing>| topic.publish(records).await;
        let summary = read(&from, replay, publish).await?;
        note_readings(&from, replay).await?;
        Ok(summary)
    })
    .await?;
    tell(&summary);
    if summary.differ > 0 {
        tell_when_applied(config);
    }
    Ok(())
}

const NO_ARCHIVE: &str = "cannot open the archive's database";

/// Reads page by page, shows the first changes one by one, and gives the messages of each page to `publish`.
async fn read(
    from: &From<'_>,
    replay: &Replay,
    publish: impl AsyncFn(Vec<Outgoing>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let carrier = asked_code(from.routes, replay)?;
    let parcels = from.archive.count_archived_parcels().await;
    let bar = bar(parcels.context("cannot count the parcels")?);
    let now = from.parcels.time().await;
    let reading = Reading {
        routes: from.routes,
        names: from.names,
        now: now.context("cannot ask for the time")?,
    };
    let (mut summary, mut after) = (Summary::default(), 0);
    loop {
        let page = from
            .archive
            .archived_parcels(after, PAGE, carrier.as_ref(), replay.since);
        let page = page.await.context("cannot read the archive")?;
        let mut bytes = 0;
        let fits = page.iter().take_while(|parcel| {
            let is_first = bytes == 0;
            bytes += parcel.bytes;
            is_first || bytes <= PAGE_BYTES
        });
        let ids: Vec<i64> = fits.map(|parcel| parcel.tracking_id).collect();
        let Some(last) = ids.last() else {
            break;
        };
        after = *last;
        // The parcels first: what their events came from is in the archive by then.
        let rows = from.parcels.histories_of(&ids).await;
        let answers = from.archive.archived(&ids).await;
        let mut answers = by_parcel(answers.context("cannot read the archive")?);
        let mut records = Vec::new();
        for (row, events) in rows.context("cannot read the parcels")? {
            let Some(answers) = answers.remove(&row.id) else {
                continue;
            };
            let replayed = reading.replay(&row, events, &answers);
            if let replay::Replay::Differs(difference) = &replayed {
                if summary.differ < replay.chosen.show {
                    bar.suspend(|| println!("{}", line(difference)));
                }
                records.extend(difference.message());
            }
            summary.note(&row.carrier_code, &replayed);
        }
        publish(records).await?;
        bar.set_position(summary.parcels);
    }
    bar.finish_and_clear();
    Ok(summary)
}

/// The code by which the archive has the carrier's answers.
fn asked_code(routes: &Routes, replay: &Replay) -> anyhow::Result<Option<CarrierCode>> {
    let Some(code) = &replay.chosen.carrier else {
        return Ok(None);
    };
    let route = routes.resolve(code);
    ensure!(
        route.is_some(),
        "the configuration has no [carriers.{code}] and no [carriers.\"*\"]"
    );
    Ok(route.map(|route| route.asked_code(code.clone())))
}

fn by_parcel(answers: Vec<Archived>) -> HashMap<i64, Vec<Archived>> {
    let mut by_parcel: HashMap<i64, Vec<Archived>> = HashMap::new();
    for answer in answers {
        by_parcel
            .entry(answer.tracking_id)
            .or_default()
            .push(answer);
    }
    by_parcel
}

/// All events of these sections are read as today's files read them.
async fn note_readings(from: &From<'_>, replay: &Replay) -> anyhow::Result<()> {
    if replay.since.is_some() {
        return Ok(());
    }
    let code = replay.chosen.carrier.as_ref();
    let section = code.and_then(|code| from.routes.resolve(code));
    let section = section.map(|route| route.section.as_str());
    let mut readings: BTreeMap<String, String> = from.routes.readings();
    // One code of a section for all others is not all of its parcels.
    readings.retain(|of, _| section.is_none_or(|it| it == of && it != ANY));
    let now = from
        .parcels
        .time()
        .await
        .context("cannot ask for the time")?;
    let noting = from.parcels.note_readings(&readings, now).await;
    noting.context("cannot note how events are read")
}

fn line(difference: &Difference) -> String {
    let Difference {
        old,
        new,
        new_events,
        changed_events,
        gone_events,
        ..
    } = difference;
    let head = format!("{} {} (id {})", old.carrier_code, old.track_number, old.id);
    let events =
        format!("{new_events} events new, {changed_events} changed, {gone_events} superseded");
    if words(old) == words(new) && old.status_raw == new.status_raw {
        return format!("{head}: {events}");
    }
    format!(
        "{head}: {} \"{}\" -> {} \"{}\", {events}",
        words(old),
        old.status_raw,
        words(new),
        new.status_raw
    )
}

fn tell(summary: &Summary) {
    for line in summary.lines() {
        println!("{line}");
    }
    let Summary {
        parcels,
        differ,
        left,
        ..
    } = summary;
    println!("{differ} of {parcels} parcels differ, {left} are left alone.");
}
