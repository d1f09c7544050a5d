//! The worker's operations endpoint: what it did, how it is set, and a push to look now.

use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use aide::transform::TransformOperation;
use axum::extract::State;
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;

use crate::carriers::routes::ANY;
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::clean_text;
use crate::serving::health::ReadyChecks;
use crate::serving::layers::Kit;
use crate::serving::problem::Kind;
use crate::serving::{docs, health, layers};

/// What the document says of the whole endpoint.
const DESCRIPTION: &str = "What a TrackBox worker does. Not meant for the open internet: it has no log-in.\n\n\
    Times are RFC 3339 in UTC. Every answer carries `x-request-id`; every answer that is no success is a problem \
    (RFC 9457).";

const WORK_TAG: &str = "work";

const TAGS: &[(&str, &str)] = &[
    (WORK_TAG, "What the worker does, and a push to look now."),
    (
        health::TAG,
        "Whether it lives, whether it is ready, and what it counts.",
    ),
];

/// What the endpoint works with. A clone works with the same.
#[derive(Clone)]
pub struct Ops {
    pub stats: Arc<Stats>,
    /// Wakes the scheduler for a claim cycle now.
    pub trigger: Arc<Notify>,
    pub clock: Clock,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    pub ready: ReadyChecks,
}

/// The whole endpoint, ready to be served or called without a port.
pub fn router(ops: Ops) -> Router {
    let mut document = docs::document("TrackBox worker", DESCRIPTION, TAGS);
    let work = ApiRouter::new()
        .api_route("/stats", get_with(stats, stats_docs))
        .api_route("/config", get_with(config, config_docs))
        .api_route("/trigger", post_with(trigger, trigger_docs))
        .with_state(ops.clone());
    let health =
        health::probes(ops.ready).merge(health::metrics(Arc::clone(&ops.metrics), async || ()));
    let endpoint = work.merge(health).finish_api(&mut document);
    let endpoint = layers::with_fallbacks(endpoint.merge(docs::routes(&document)));
    layers::wrap(endpoint, Kit::new(&ops.config.http, ops.metrics))
}

/// What a worker has done since it started.
#[derive(Debug)]
pub struct Stats {
    started_at: Time,
    counted: Mutex<Counted>,
}

/// The figures of [`Stats`], all of one moment.
#[derive(Clone, Debug, Default)]
struct Counted {
    last_cycle_at: Option<Time>,
    last_trigger_at: Option<Time>,
    claimed: u64,
    processed: u64,
    errors: u64,
    in_flight: u64,
    last_error: String,
}

impl Stats {
    pub fn new(started_at: Time) -> Self {
        Self {
            started_at,
            counted: Mutex::default(),
        }
    }

    /// A claim cycle ended at `now` and claimed so many trackings.
    pub fn cycle(&self, now: Time, claimed: u64) {
        let mut counted = self.lock();
        counted.last_cycle_at = Some(now);
        counted.claimed = counted.claimed.saturating_add(claimed);
    }

    /// So many checks were made and published, whatever they said.
    pub fn processed(&self, checks: u64) {
        let mut counted = self.lock();
        counted.processed = counted.processed.saturating_add(checks);
    }

    /// Something failed; the text is what `GET /stats` shows, so it must hold no secret.
    pub fn error(&self, text: &str) {
        let mut counted = self.lock();
        counted.errors = counted.errors.saturating_add(1);
        counted.last_error = clean_text(text);
    }

    /// Somebody asked for a claim cycle now.
    pub fn trigger(&self, now: Time) {
        self.lock().last_trigger_at = Some(now);
    }

    /// The checks of so many trackings have begun.
    pub fn in_flight_add(&self, trackings: u64) {
        let mut counted = self.lock();
        counted.in_flight = counted.in_flight.saturating_add(trackings);
    }

    /// The checks of so many trackings have ended.
    pub fn in_flight_sub(&self, trackings: u64) {
        let mut counted = self.lock();
        counted.in_flight = counted.in_flight.saturating_sub(trackings);
    }

    /// How many checks were made and published.
    pub fn processed_total(&self) -> u64 {
        self.lock().processed
    }

    /// Never held across an await; a panic elsewhere leaves figures that are whole.
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock()
    }
}

/// What the worker has done since it started.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Stats", transform = docs::all_required)]
struct StatsAnswer {
    started_at: Time,
    /// When the last claim cycle ended.
    last_cycle_at: Option<Time>,
    /// When `POST /trigger` was called last.
    last_trigger_at: Option<Time>,
    /// Trackings claimed to be checked.
    total_claimed: u64,
    /// Checks made and published, whatever they said.
    total_processed: u64,
    /// Failures: carriers', the store's and the bus's.
    total_errors: u64,
    /// Trackings that are being checked now.
    in_flight: u64,
    /// The last failure; empty where there was none.
    last_error: String,
}

/// How the worker is set.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Settings")]
struct ConfigAnswer {
    poll_interval_seconds: Seconds,
    batch_size: u32,
    /// Calls under way at once, for each account.
    concurrency: u32,
    lease_seconds: Seconds,
    /// Calls a minute for a carrier without a section of its own; 0: no limit.
    rate_limit_per_minute: u32,
    #[serde(rename = "rateLimitCDEKPerMinute")]
    rate_limit_cdek_per_minute: u32,
    rate_limit_post_ru_per_minute: u32,
    next_check_in_transit_min_seconds: Seconds,
    next_check_in_transit_max_seconds: Seconds,
    next_check_unknown_seconds: Seconds,
}

/// A number of seconds: whole wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, with = "f64")]
enum Seconds {
    Whole(u64),
    Fraction(f64),
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        if duration.subsec_nanos() == 0 {
            Self::Whole(duration.as_secs())
        } else {
            Self::Fraction(duration.as_secs_f64())
        }
    }
}

/// That the worker was woken.
#[derive(Debug, Serialize, JsonSchema)]
struct Triggered {
    triggered: bool,
}

async fn stats(State(ops): State<Ops>) -> Json<StatsAnswer> {
    let counted = ops.stats.lock().clone();
    Json(StatsAnswer {
        started_at: ops.stats.started_at,
        last_cycle_at: counted.last_cycle_at,
        last_trigger_at: counted.last_trigger_at,
        total_claimed: counted.claimed,
        total_processed: counted.processed,
        total_errors: counted.errors,
        in_flight: counted.in_flight,
        last_error: counted.last_error,
    })
}

async fn config(State(ops): State<Ops>) -> Json<ConfigAnswer> {
    let work = &ops.config.work;
    let per_minute = |code: &str| {
        let sections = &ops.config.carriers;
        let in_use = |code: &str| {
            sections
                .get(code)
                .filter(|section| section.adapter != "none")
        };
        in_use(code)
            .or_else(|| in_use(ANY))
            .map_or(0, |section| section.per_minute)
    };
    Json(ConfigAnswer {
        poll_interval_seconds: work.poll_interval.get().into(),
        batch_size: work.batch,
        concurrency: work.concurrency,
        lease_seconds: work.lease.get().into(),
        rate_limit_per_minute: per_minute(ANY),
        rate_limit_cdek_per_minute: per_minute("CDEK"),
        rate_limit_post_ru_per_minute: per_minute("POST_RU"),
        next_check_in_transit_min_seconds: work.next_check_in_transit_min.get().into(),
        next_check_in_transit_max_seconds: work.next_check_in_transit_max.get().into(),
        next_check_unknown_seconds: work.next_check_unknown.get().into(),
    })
}

/// Wakes the scheduler; the body is not read at all.
async fn trigger(State(ops): State<Ops>) -> Json<Triggered> {
    ops.stats.trigger(ops.clock.now());
    ops.trigger.notify_one();
    Json(Triggered { triggered: true })
}

fn stats_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("stats")
        .tag(WORK_TAG)
        .summary("What the worker has done")
        .description("Since it started; kept in memory alone.");
    let example = json!({
        "startedAt": "2026-11-20T12:00:00Z", "lastCycleAt": "2026-11-20T12:03:00Z", "lastTriggerAt": null,
        "totalClaimed": 180, "totalProcessed": 178, "totalErrors": 1, "inFlight": 2,
        "lastError": "CDEK: the carrier answered 502",
    });
    let op = docs::answer::<StatsAnswer>(op, "The figures.", example);
    docs::problems(op, &[Kind::Internal])
}

fn config_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("config")
        .tag(WORK_TAG)
        .summary("How the worker is set")
        .description("Never a secret. `trackbox config` prints the whole configuration.");
    let example = json!({
        "pollIntervalSeconds": 2, "batchSize": 100, "concurrency": 10, "leaseSeconds": 120,
        "rateLimitPerMinute": 120, "rateLimitCDEKPerMinute": 60, "rateLimitPostRuPerMinute": 20,
        "nextCheckInTransitMinSeconds": 60, "nextCheckInTransitMaxSeconds": 60, "nextCheckUnknownSeconds": 60,
    });
    let op = docs::answer::<ConfigAnswer>(op, "The settings.", example);
    docs::problems(op, &[Kind::Internal])
}

fn trigger_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("trigger")
        .tag(WORK_TAG)
        .summary("Look now what is due")
        .description(
            "Starts a claim cycle without waiting for the poll interval. The body is ignored.",
        );
    let op = docs::answer::<Triggered>(op, "The worker was woken.", json!({"triggered": true}));
    docs::problems(op, &[Kind::CrossSite, Kind::Internal])
}

#[cfg(test)]
mod tests;
