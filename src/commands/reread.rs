//! Command `reread`: judges the stored events again, shows what would change, and applies it through the topic.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::parts::{Parts, Wanted, connect, open_database};
use crate::app::stages::Stages;
use crate::app::{ROLES, consume, refuse};
use crate::carriers::routes::Routes;
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::kafka::record::Outgoing;
use crate::metrics::Metrics;
use crate::model::CarrierCode;
use crate::reread::{Difference, Summary, words};
use crate::store::Store;

/// Parcels read at once.
const PAGE: u32 = 500;

/// How long one publication may be retried while the bus is away.
const PUBLISH_MAX: Duration = Duration::from_secs(60);

/// How long the consumer in this process may take to apply what was published last.
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// What to read anew.
#[derive(Args)]
pub struct Reread {
    /// Only parcels that changed since this day or time, such as 2026-11-01 or 2026-11-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Time>,
    /// Only parcels of this carrier.
    #[arg(long, value_name = "CODE", value_parser = |code: &str| CarrierCode::parse(code))]
    carrier: Option<CarrierCode>,
    /// How many changed parcels are shown one by one.
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: u64,
    /// Makes the changes, through the topic. Without this they are only shown.
    #[arg(long)]
    apply: bool,
}

fn time(text: &str) -> Result<Time, String> {
    let day = || {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_hms_opt(0, 0, 0)?.and_utc())
    };
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    time.ok().or_else(day).ok_or_else(|| {
        "give a day or a time in RFC 3339, such as 2026-11-01 or 2026-11-01T12:00:00Z".to_owned()
    })
}

/// Reads anew what `reread` says, and prints what changes.
///
/// # Errors
/// If the database or the bus cannot be reached, or, to apply, another process keeps this one's bus to itself.
pub async fn run(config: &Config, reread: &Reread) -> anyhow::Result<()> {
    if !reread.apply {
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
    let is_shared = !config.kafka.brokers.is_empty();
    let _lock = match is_shared {
        true => None,
        // The bus is inside the process, so this one has to apply what it publishes, and no other may run.
        false => Some(refuse::lock_store(config, ROLES).await?),
    };
    let wanted = Wanted {
        in_process: !is_shared,
        connections: consume::ROLE.connections,
    };
    let metrics = Arc::new(Metrics::new());
    let parts = connect(config, wanted, Clock::system(), metrics).await?;
    let mut stages = Stages::default();
    if !is_shared {
        (consume::ROLE.start)(&parts, &mut stages)?;
    }
    let bus = parts.bus.clone().context("there is no bus to publish to")?;
    bus.prepare().await.context("cannot prepare the topic")?;
    let publish = async |records: Vec<Outgoing>| {
        let publishing = tokio::time::timeout(PUBLISH_MAX, bus.publish(records)).await;
        publishing
            .context("the topic took no records in time")?
            .context("cannot publish")
    };
    let read = tokio::select! {
        read = read(&parts.store, &parts.routes, reread, publish) => read,
        failed = stages.failure() => Err(failed),
    };
    let summary = finish(parts, stages, read).await?;
    tell(&summary);
    if is_shared && summary.differ > 0 {
        println!(
            "The changes are on the topic; `trackbox lag` shows when the consumers have applied them."
        );
    }
    Ok(())
}

/// Lets the consumer in this process apply what was published, and closes everything.
async fn finish(
    parts: Parts,
    mut stages: Stages,
    read: anyhow::Result<Summary>,
) -> anyhow::Result<Summary> {
    let bus = parts.bus.as_ref().context("there is no bus")?;
    let drained = tokio::time::timeout(DRAIN_MAX, bus.drained()).await;
    stages.consumers.end().await;
    if let Some(redis) = &parts.redis {
        redis.close().await;
    }
    parts.store.close().await;
    let summary = read?;
    if drained.is_err() {
        bail!(
            "not everything was applied in time: repeat the command, it goes on with what is missing"
        );
    }
    Ok(summary)
}

/// Reads page by page, shows the first changes one by one, and gives the messages of each page to `publish`.
async fn read(
    store: &Store,
    routes: &Routes,
    reread: &Reread,
    publish: impl AsyncFn(Vec<Outgoing>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    if let Some(carrier) = &reread.carrier {
        ensure!(
            routes.resolve(carrier).is_some(),
            "the configuration has no [carriers.{carrier}] and no [carriers.\"*\"]"
        );
    }
    let counts = store
        .status_counts()
        .await
        .context("cannot count the parcels")?;
    let bar = ProgressBar::new(counts.values().sum());
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} parcels, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let now = store.time().await.context("cannot ask for the time")?;
    let (mut summary, mut after) = (Summary::default(), 0);
    loop {
        let page = store
            .full_histories(after, PAGE, reread.carrier.as_ref(), reread.since)
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
                if summary.differ < reread.show {
                    bar.suspend(|| println!("{}", line(&difference)));
                }
                summary.note(&difference);
                records.extend(difference.message());
            }
        }
        if !records.is_empty() {
            publish(records).await?;
        }
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
