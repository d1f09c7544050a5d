//! What a process counts and measures, in a registry of its own, for `GET /metrics` in Prometheus' text format.
//!
//! Labels take few values: a route is the router's pattern, an account a name from the configuration, never a text from
//! a request or a carrier.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The upper ends of the latency buckets, in seconds: from a look into the cache to a carrier's time-out.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How one check of one tracking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckOutcome {
    /// The carrier knows the parcel.
    Seen,
    /// The carrier does not know the number, or not yet.
    NotFound,
    Failed,
    /// The carrier asked us to wait.
    Limited,
}

impl EncodeLabelValue for CheckOutcome {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder,
    ) -> Result<(), std::fmt::Error> {
        let word = match self {
            Self::Seen => "seen",
            Self::NotFound => "not_found",
            Self::Failed => "failed",
            Self::Limited => "limited",
        };
        EncodeLabelValue::encode(&word, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    account: String,
    outcome: CheckOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountLabels {
    account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    partition: i32,
}

/// Makes a latency histogram for each set of labels.
#[derive(Clone, Copy, Debug)]
struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new(LATENCY_BUCKETS)
    }
}

/// Everything one process counts and measures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<RequestLabels, Counter>,
    http_seconds: Family<RouteLabels, Histogram, Latency>,
    checks: Family<CheckLabels, Counter>,
    calls: Family<AccountLabels, Counter>,
    call_seconds: Family<AccountLabels, Histogram, Latency>,
    claimed: Counter,
    permits_expired: Family<AccountLabels, Counter>,
    late_answers: Family<AccountLabels, Counter>,
    published: Counter,
    publish_failed: Counter,
    updates_applied: Counter,
    updates_without_effect: Counter,
    updates_unknown_tracking: Counter,
    events_new: Counter,
    events_unmapped: Counter,
    dead_letters: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
    due: Family<AccountLabels, Gauge>,
    paused: Family<AccountLabels, Gauge>,
    overdue: Family<AccountLabels, Gauge>,
    consumer_lag: Family<PartitionLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("trackbox"),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(Latency),
            checks: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(Latency),
            claimed: Counter::default(),
            permits_expired: Family::default(),
            late_answers: Family::default(),
            published: Counter::default(),
            publish_failed: Counter::default(),
            updates_applied: Counter::default(),
            updates_without_effect: Counter::default(),
            updates_unknown_tracking: Counter::default(),
            events_new: Counter::default(),
            events_unmapped: Counter::default(),
            dead_letters: Counter::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            due: Family::default(),
            paused: Family::default(),
            overdue: Family::default(),
            consumer_lag: Family::default(),
        };
        metrics.register_http();
        metrics.register_work();
        metrics.register_consume();
        metrics
    }

    fn register_http(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "http_requests",
            "Requests answered",
            self.http_requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            self.http_seconds.clone(),
        );
        registry.register(
            "cache_hits",
            "Current states answered from the cache",
            self.cache_hits.clone(),
        );
        registry.register(
            "cache_misses",
            "Current states that the cache did not have",
            self.cache_misses.clone(),
        );
    }

    fn register_work(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "checks",
            "Checks of one tracking, by account and outcome",
            self.checks.clone(),
        );
        registry.register("carrier_calls", "Calls to a carrier", self.calls.clone());
        registry.register_with_unit(
            "carrier_call_duration",
            "Time from sending a call to its whole answer",
            Unit::Seconds,
            self.call_seconds.clone(),
        );
        registry.register(
            "claimed",
            "Trackings claimed to be checked",
            self.claimed.clone(),
        );
        registry.register(
            "permits_expired",
            "Calls not made because their permit was too old or no longer fitted in the lease",
            self.permits_expired.clone(),
        );
        registry.register(
            "late_answers",
            "Answers thrown away because they came after the lease",
            self.late_answers.clone(),
        );
        registry.register(
            "published",
            "Records published on the topic",
            self.published.clone(),
        );
        registry.register(
            "publish_failures",
            "Records that could not be published",
            self.publish_failed.clone(),
        );
        registry.register(
            "due_trackings",
            "Trackings whose next check has come",
            self.due.clone(),
        );
        registry.register(
            "account_paused",
            "1 while no calls are made to the account's carrier",
            self.paused.clone(),
        );
        registry.register(
            "account_overdue_seconds",
            "How far the account's parcels are beyond their time, at most",
            self.overdue.clone(),
        );
    }

    fn register_consume(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "updates_applied",
            "Updates that changed a tracking",
            self.updates_applied.clone(),
        );
        registry.register(
            "updates_without_effect",
            "Updates that were no news: repeated or overtaken",
            self.updates_without_effect.clone(),
        );
        registry.register(
            "updates_unknown_tracking",
            "Updates of trackings that are not there",
            self.updates_unknown_tracking.clone(),
        );
        registry.register("events_new", "Events added", self.events_new.clone());
        registry.register(
            "events_unmapped",
            "Events added whose code no adapter maps",
            self.events_unmapped.clone(),
        );
        registry.register(
            "dead_letters",
            "Records set aside as unreadable or not applicable",
            self.dead_letters.clone(),
        );
        registry.register(
            "consumer_lag",
            "Records of a partition that are not yet applied",
            self.consumer_lag.clone(),
        );
    }

    /// Everything in the OpenMetrics text format, which Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing into a String does not fail; if it ever does, half a document is worse than none.
            Err(_) => "# EOF\n".to_owned(),
        }
    }

    /// A request was answered. `route` is the router's pattern, `method` one of a fixed list.
    pub fn http_request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let labels = RequestLabels {
            route: route.to_owned(),
            method,
            status: u32::from(status),
        };
        self.http_requests.get_or_create(&labels).inc();
        let labels = RouteLabels {
            route: route.to_owned(),
            method,
        };
        self.http_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    pub fn cache_hits(&self, count: u64) {
        self.cache_hits.inc_by(count);
    }

    pub fn cache_misses(&self, count: u64) {
        self.cache_misses.inc_by(count);
    }

    /// One tracking was checked.
    pub fn check(&self, account: &str, outcome: CheckOutcome) {
        let labels = CheckLabels {
            account: account.to_owned(),
            outcome,
        };
        self.checks.get_or_create(&labels).inc();
    }

    /// One call went out and took `seconds`, whatever came back.
    pub fn call_seconds(&self, account: &str, seconds: f64) {
        let labels = account_labels(account);
        self.calls.get_or_create(&labels).inc();
        self.call_seconds.get_or_create(&labels).observe(seconds);
    }

    pub fn claimed(&self, count: u64) {
        self.claimed.inc_by(count);
    }

    /// A call was not made: its permit was too old, or it no longer fitted in the lease.
    pub fn permits_expired(&self, account: &str) {
        self.permits_expired
            .get_or_create(&account_labels(account))
            .inc();
    }

    /// An answer was thrown away: it came after the lease's end.
    pub fn late_answers(&self, account: &str) {
        self.late_answers
            .get_or_create(&account_labels(account))
            .inc();
    }

    pub fn published(&self, records: u64) {
        self.published.inc_by(records);
    }

    pub fn publish_failed(&self, records: u64) {
        self.publish_failed.inc_by(records);
    }

    pub fn updates_applied(&self, count: u64) {
        self.updates_applied.inc_by(count);
    }

    pub fn updates_without_effect(&self, count: u64) {
        self.updates_without_effect.inc_by(count);
    }

    pub fn updates_unknown_tracking(&self, count: u64) {
        self.updates_unknown_tracking.inc_by(count);
    }

    pub fn events_new(&self, count: u64) {
        self.events_new.inc_by(count);
    }

    pub fn events_unmapped(&self, count: u64) {
        self.events_unmapped.inc_by(count);
    }

    pub fn dead_letters(&self, count: u64) {
        self.dead_letters.inc_by(count);
    }

    /// How many of the account's trackings are due.
    pub fn due(&self, account: &str, trackings: i64) {
        self.due
            .get_or_create(&account_labels(account))
            .set(trackings);
    }

    /// Whether the account's carrier is paused.
    pub fn paused(&self, account: &str, paused: bool) {
        self.paused
            .get_or_create(&account_labels(account))
            .set(i64::from(paused));
    }

    /// How far the account's parcels are beyond their time, at most.
    pub fn overdue(&self, account: &str, seconds: i64) {
        self.overdue
            .get_or_create(&account_labels(account))
            .set(seconds);
    }

    /// How many records of the partition wait to be applied.
    pub fn lag(&self, partition: i32, records: i64) {
        self.consumer_lag
            .get_or_create(&PartitionLabels { partition })
            .set(records);
    }

    /// The partition is another process's to apply, and to measure.
    pub fn forget_lag(&self, partition: i32) {
        self.consumer_lag.remove(&PartitionLabels { partition });
    }
}

fn account_labels(account: &str) -> AccountLabels {
    AccountLabels {
        account: account.to_owned(),
    }
}

#[cfg(test)]
mod tests;
