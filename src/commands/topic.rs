//! Commands that change parcels, through the topic as everything does: the consumers apply what is published, or one in this
//! process if the bus is inside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::parts::{Parts, Wanted, connect};
use crate::app::stages::Stages;
use crate::app::{ROLES, consume, refuse};
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::kafka::Bus;
use crate::kafka::record::Outgoing;
use crate::metrics::Metrics;
use crate::model::CarrierCode;

/// How long one publication may be retried while the bus is away.
const PUBLISH_MAX: Duration = Duration::from_secs(60);

/// How long the consumer in this process may take to apply what was published last.
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// Which parcels such a command takes, and what it does with them.
#[derive(Args)]
pub struct Chosen {
    /// Only parcels of this carrier.
    #[arg(long, value_name = "CODE", value_parser = |code: &str| CarrierCode::parse(code))]
    pub carrier: Option<CarrierCode>,
    /// How many changed parcels are shown one by one.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub show: u64,
    /// Makes the changes, through the topic. Without this they are only shown.
    #[arg(long)]
    pub apply: bool,
}

/// The topic that the changes are published on.
pub struct Topic(Bus);

impl Topic {
    /// # Errors
    /// If the bus does not take them in time.
    pub async fn publish(&self, records: Vec<Outgoing>) -> anyhow::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let publishing = tokio::time::timeout(PUBLISH_MAX, self.0.publish(records)).await;
        publishing
            .context("the topic took no records in time")?
            .context("cannot publish")
    }
}

/// Whether processes share the bus, so that others apply what this one publishes.
pub fn is_shared(config: &Config) -> bool {
    !config.kafka.brokers.is_empty()
}

/// Does `work`, and waits until what it published is applied, if that is this process' task.
///
/// # Errors
/// Those of `work`; if the database or the bus cannot be reached, or another process keeps this one's bus to itself.
pub async fn with_topic<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Parts, &Topic) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let is_shared = is_shared(config);
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
    let topic = Topic(bus);
    let done = tokio::select! {
        done = work(&parts, &topic) => done,
        failed = stages.failure() => Err(failed),
    };
    finish(parts, stages, done).await
}

/// Lets the consumer in this process apply what was published, and closes everything.
async fn finish<T>(parts: Parts, mut stages: Stages, done: anyhow::Result<T>) -> anyhow::Result<T> {
    let bus = parts.bus.as_ref().context("there is no bus")?;
    let drained = tokio::time::timeout(DRAIN_MAX, bus.drained()).await;
    stages.consumers.end().await;
    if let Some(redis) = &parts.redis {
        redis.close().await;
    }
    parts.archive.close().await;
    parts.store.close().await;
    let done = done?;
    if drained.is_err() {
        bail!(
            "not everything was applied in time: repeat the command, it goes on with what is missing"
        );
    }
    Ok(done)
}

/// Says what became of changes that were published.
pub fn tell_when_applied(config: &Config) {
    if is_shared(config) {
        println!(
            "The changes are on the topic; `trackbox lag` shows when the consumers have applied them."
        );
    }
}

/// A bar that shows how many of so many parcels were looked at.
pub fn bar(parcels: u64) -> ProgressBar {
    let bar = ProgressBar::new(parcels);
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} parcels, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Reads a day or a time of the command line.
///
/// # Errors
/// What to give instead.
pub fn time(text: &str) -> Result<Time, String> {
    let day = || {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_hms_opt(0, 0, 0)?.and_utc())
    };
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    time.ok().or_else(day).ok_or_else(|| {
        "give a day or a time in RFC 3339, such as 2026-11-01 or 2026-11-01T12:00:00Z".to_owned()
    })
}
