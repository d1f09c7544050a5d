//! Command `reread`: judges the stored events again, shows what would change, and applies it through the topic.

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::app::parts::{Wanted, open_database};
use crate::carriers::routes::Routes;
use crate::clock::Time;
use crate::commands::topic::{Chosen, bar, tell_when_applied, time, with_topic};
use crate::config::Config;
use crate::kafka::record::Outgoing;
use crate::reread::{Difference, Summary, words};
use crate::store::Store;

/// Parcels read at once.
const PAGE: u32 = 500;

/// What to read anew.
#[derive(Args)]
pub struct Reread {
    /// Only parcels that changed since this day or time, such as 2026-11-01 or 2026-11-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Time>,
    #[command(flatten)]
    chosen: Chosen,
}

/// Reads anew what `reread` says, and prints what changes.
///
/// # Errors
/// If the database or the bus cannot be reached, or, to apply, another process keeps this one's bus to itself.
pub async fn run(config: &Config, reread: &Reread) -> anyhow::Result<()> {
    if !reread.chosen.apply {
        let store = open_database(config, Wanted::BY_A_COMMAND).await?.store();
        store.migrate().await?;
        let routes = Routes::new(config)?;
        let summary = read(&store, &routes, reread, async |_| Ok(())).await?;
        store.close().await;
        tell(&summary);
        if summary.differ > 0 {
            println!("Nothing was changed: repeat it with --apply to make these changes.");
        }
        return Ok(());
    }
    let summary = with_topic(config, async |parts, topic| {
        let publish = async |records: Vec<Outgoing>| topic.publish(records).await;
        read(&parts.store, &parts.routes, reread, publish).await
    })
    .await?;
    tell(&summary);
    if summary.differ > 0 {
        tell_when_applied(config);
    }
    Ok(())
}

/// Reads page by page, shows the first changes one by one, and gives the messages of each page to `publish`.
async fn read(
    store: &Store,
    routes: &Routes,
    reread: &Reread,
    publish: impl AsyncFn(Vec<Outgoing>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    if let Some(carrier) = &reread.chosen.carrier {
        ensure!(
            routes.resolve(carrier).is_some(),
            "the configuration has no [carriers.{carrier}] and no [carriers.\"*\"]"
        );
    }
    let counts = store
        .status_counts()
        .await
        .context("cannot count the parcels")?;
    let bar = bar(counts.values().sum());
    let now = store.time().await.context("cannot ask for the time")?;
    let (mut summary, mut after) = (Summary::default(), 0);
    loop {
        let page = store
            .full_histories(after, PAGE, reread.chosen.carrier.as_ref(), reread.since)
            .await;
        let (page, last) = page.context("cannot read the parcels")?;
        let Some(last) = last else {
            break;
        };
        after = last;
        let mut records = Vec::new();
        for (row, events) in page {
            summary.parcels += 1;
            if let Some(difference) = Difference::of(&row, events, routes, now) {
                if summary.differ < reread.chosen.show {
                    bar.suspend(|| println!("{}", line(&difference)));
                }
                summary.note(&difference);
                records.extend(difference.message());
            }
        }
        publish(records).await?;
        bar.set_position(summary.parcels);
    }
    bar.finish_and_clear();
    Ok(summary)
}

fn line(difference: &Difference) -> String {
    let Difference {
        old, new, events, ..
    } = difference;
    let head = format!("{} {} (id {})", old.carrier_code, old.track_number, old.id);
    if words(old) == words(new) && old.status_raw == new.status_raw {
        return format!("{head}: {events} events of its history");
    }
    format!(
        "{head}: {} \"{}\" -> {} \"{}\"",
        words(old),
        old.status_raw,
        words(new),
        new.status_raw
    )
}

fn tell(summary: &Summary) {
    let Summary {
        parcels,
        differ,
        events,
        ..
    } = summary;
    for line in summary.lines() {
        println!("{line}");
    }
    println!("{differ} of {parcels} parcels differ, by {events} events.");
}
