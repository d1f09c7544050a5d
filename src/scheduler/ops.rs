//! The worker's own HTTP endpoint: its figures, its settings, and a trigger for a claim cycle.

use std::sync::Arc;
use std::time::Duration;

use aide::axum::ApiRouter;
use axum::extract::State;
use axum::{Json, Router};
use macro_rules_attribute::apply;
use parking_lot::{Mutex, MutexGuard};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;

use crate::carriers::routes::ANY;
use crate::clock::{Clock, Time};
use crate::config::{CarrierSection, Config};
use crate::metrics::Metrics;
use crate::model::clean_text;
use crate::serving::access::Gate;
use crate::serving::caller::{Anyone, Operates};
use crate::serving::health::ReadyChecks;
use crate::serving::layers::Kit;
use crate::serving::operation::{Tag, documented, get, post};
use crate::serving::problem::Kind;
use crate::serving::{docs, health, layers};

/// What the document says about the whole endpoint.
const DESCRIPTION: &str = "What a TrackBox worker does. Settings and the trigger need an operator's key, the figures need none: keep the port off \
    the public internet.\n\n\
    Times are RFC 3339 in UTC. Every answer has the header `x-request-id`. A success is always 200; every other answer is \
    a problem (RFC 9457).";

const TAG: Tag = Tag {
    name: "work",
    description: "What the worker does, and a trigger for a claim cycle.",
    problems: &[Kind::Internal],
};

/// What the endpoint works with. Clones share it.
#[derive(Clone)]
pub struct Ops {
    pub stats: Arc<Stats>,
    /// Wakes the scheduler for a claim cycle.
    pub trigger: Arc<Notify>,
    pub clock: Clock,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    pub ready: ReadyChecks,
    /// Who may come in.
    pub gate: Gate,
}

/// All operations, ready to be served, or to be called without a port.
pub fn router(ops: Ops) -> Router {
    let health = health::operations(ops.ready.clone());
    let figures = health::figures::<Anyone, _, _>(Arc::clone(&ops.metrics), async || ());
    let gate = ops.gate.clone();
    let kit = Kit::new(&ops.config.http, Arc::clone(&ops.metrics));
    let mut document = docs::document("TrackBox worker", DESCRIPTION, &[TAG, health::TAG]);
    let figures = figures.merge(stats_operation().with_state(ops.clone()));
    let figures = gate.before_figures(figures.finish_api(&mut document));
    let guarded = gate.before(operations().with_state(ops).finish_api(&mut document));
    let health = health.finish_api(&mut document);
    let router = figures.merge(guarded).merge(health);
    layers::wrap(
        layers::with_fallbacks(router.merge(docs::routes(&document))),
        kit,
    )
}

fn stats_operation() -> ApiRouter<Ops> {
    let figures = json!({
        "startedAt": "2026-11-20T12:00:00Z", "lastCycleAt": "2026-11-20T12:03:00Z", "lastTriggerAt": null,
        "totalClaimed": 180, "totalProcessed": 178, "totalErrors": 1, "inFlight": 2,
        "lastError": "CDEK: the carrier answered 502",
    });
    let operation = stats::operation(TAG).answer("The figures.", figures);
    ApiRouter::new().api_route("/stats", get(stats, operation))
}

/// Those that need a key.
fn operations() -> ApiRouter<Ops> {
    let settings = json!({
        "pollIntervalSeconds": 2, "batchSize": 100, "concurrency": 10, "leaseSeconds": 120,
        "rateLimitPerMinute": 120, "rateLimitCDEKPerMinute": 60, "rateLimitPostRuPerMinute": 20,
        "nextCheckInTransitMinSeconds": 60, "nextCheckInTransitMaxSeconds": 60, "nextCheckUnknownSeconds": 60,
    });
    let woken = json!({"triggered": true});
    ApiRouter::new()
        .api_route(
            "/config",
            get(
                config,
                config::operation(TAG).answer("The settings.", settings),
            ),
        )
        .api_route(
            "/trigger",
            post(
                trigger,
                trigger::operation(TAG).answer("The worker is woken.", woken),
            ),
        )
}

/// Counts what a worker has done since it started.
#[derive(Debug)]
pub struct Stats {
    started_at: Time,
    counted: Mutex<Counted>,
}

/// The figures of [`Stats`] at one moment.
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

    /// Counts a claim cycle that ended at `now`.
    pub fn cycle(&self, now: Time, claimed: u64) {
        let mut counted = self.lock();
        counted.last_cycle_at = Some(now);
        counted.claimed = counted.claimed.saturating_add(claimed);
    }

    /// Counts checks that were made and published, with any outcome.
    pub fn processed(&self, checks: u64) {
        let mut counted = self.lock();
        counted.processed = counted.processed.saturating_add(checks);
    }

    /// Counts a failure. `GET /stats` shows `text`, so it must not contain secrets.
    pub fn error(&self, text: &str) {
        let mut counted = self.lock();
        counted.errors = counted.errors.saturating_add(1);
        counted.last_error = clean_text(text);
    }

    /// Notes that a claim cycle was triggered at `now`.
    pub fn trigger(&self, now: Time) {
        self.lock().last_trigger_at = Some(now);
    }

    /// Counts trackings whose checks have begun.
    pub fn in_flight_add(&self, trackings: u64) {
        let mut counted = self.lock();
        counted.in_flight = counted.in_flight.saturating_add(trackings);
    }

    /// Counts trackings whose checks have ended.
    pub fn in_flight_sub(&self, trackings: u64) {
        let mut counted = self.lock();
        counted.in_flight = counted.in_flight.saturating_sub(trackings);
    }

    /// How many checks were made and published since the start.
    pub fn processed_total(&self) -> u64 {
        self.lock().processed
    }

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
    /// When `POST /trigger` was last called.
    last_trigger_at: Option<Time>,
    /// Trackings claimed for a check.
    total_claimed: u64,
    /// Checks made and published, with any outcome.
    total_processed: u64,
    /// Failures of carriers, the store and the bus.
    total_errors: u64,
    /// Trackings being checked now.
    in_flight: u64,
    /// The last failure; empty if there was none.
    last_error: String,
}

/// The settings of the worker.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Settings")]
struct ConfigAnswer {
    poll_interval_seconds: Seconds,
    batch_size: u32,
    /// The most calls in flight for each account.
    concurrency: u32,
    lease_seconds: Seconds,
    /// Calls per minute for a carrier without a section of its own; 0: no limit.
    rate_limit_per_minute: u32,
    #[serde(rename = "rateLimitCDEKPerMinute")]
    rate_limit_cdek_per_minute: u32,
    rate_limit_post_ru_per_minute: u32,
    next_check_in_transit_min_seconds: Seconds,
    next_check_in_transit_max_seconds: Seconds,
    next_check_unknown_seconds: Seconds,
}

/// A number of seconds: a JSON integer if it is whole.
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

/// The worker is woken.
#[derive(Debug, Serialize, JsonSchema)]
struct Triggered {
    triggered: bool,
}

/// What the worker has done
///
/// Since it started; kept in memory only.
#[apply(documented)]
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

/// The worker's settings
///
/// Without secrets. `trackbox config` prints the whole configuration.
#[apply(documented)]
async fn config(_: Operates, State(ops): State<Ops>) -> Json<ConfigAnswer> {
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
            .map_or(0, CarrierSection::per_minute)
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

/// Check now what is due
///
/// Starts a claim cycle without waiting for the poll interval. The body is ignored.
#[apply(documented)]
async fn trigger(_: Operates, State(ops): State<Ops>) -> Json<Triggered> {
    ops.stats.trigger(ops.clock.now());
    ops.trigger.notify_one();
    Json(Triggered { triggered: true })
}

#[cfg(test)]
mod tests;
