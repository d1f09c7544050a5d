//! What a process counts and measures, for `GET /metrics` in Prometheus' text format.
//!
//! Each process has a registry of its own, so that tests can run several in one program.
//!
//! Each metric is one entry below. A label takes few values: a route is the router's pattern, an account a name from
//! the configuration. A text from a request or a carrier is never a label.

use std::time::Duration;

use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// The upper ends of the histograms' buckets, in seconds: from a cache look-up to a carrier's timeout.
const BUCKETS_SECS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What a metric can be: a counter, a gauge, or a histogram of seconds.
trait Kind: Metric + Clone {
    const UNIT: Option<Unit> = None;

    fn new() -> Self;

    /// A new metric, registered.
    fn registered(registry: &mut Registry, name: &str, help: &str) -> Self {
        let metric = Self::new();
        let help = help.trim().trim_end_matches('.');
        match Self::UNIT {
            Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
            None => registry.register(name, help, metric.clone()),
        }
        metric
    }
}

impl Kind for Counter {
    fn new() -> Self {
        Self::default()
    }
}

impl Kind for Gauge {
    fn new() -> Self {
        Self::default()
    }
}

impl Kind for Histogram {
    const UNIT: Option<Unit> = Some(Unit::Seconds);

    fn new() -> Self {
        Self::new(BUCKETS_SECS)
    }
}

/// One metric for each set of labels.
type By<K> = Family<Vec<(&'static str, String)>, K, fn() -> K>;

impl<K: Kind + TypedMetric> Kind for By<K> {
    const UNIT: Option<Unit> = K::UNIT;

    fn new() -> Self {
        Self::new_with_constructor(K::new)
    }
}

/// Defines [`Metrics`] from entries of the form `/// Help` and `name: Kind by (label: type);`. Each gives a field, its
/// registration, and a method of its name that takes the labels.
macro_rules! metrics {
    ($(
        #[doc = $help:literal]
        $name:ident: $kind:ident $(by ($($label:ident: $type:ty),+))?;
    )+) => {
        /// Everything one process counts and measures.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($name: metrics!(@field $kind $(by $($label)+)?),)+
        }

        impl Metrics {
            /// All at zero.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("trackbox");
                Self {
                    $($name: Kind::registered(&mut registry, stringify!($name), $help),)+
                    registry,
                }
            }

            $(metrics! { @method $help $name $kind $(by $($label: $type),+)? })+
        }
    };
    (@field $kind:ident) => { $kind };
    (@field $kind:ident by $($label:ident)+) => { By<$kind> };
    (@method $help:literal $name:ident $kind:ident) => {
        #[doc = $help]
        pub fn $name(&self) -> &$kind {
            &self.$name
        }
    };
    (@method $help:literal $name:ident $kind:ident by $($label:ident: $type:ty),+) => {
        #[doc = $help]
        pub fn $name(&self, $($label: $type),+) -> $kind {
            self.$name.get_or_create_owned(&vec![$((stringify!($label), $label.to_string())),+])
        }
    };
}

metrics! {
    /// Requests answered.
    http_requests: Counter by (route: &str, method: &str, status: u16);
    /// Time from a request's head to its answer's head.
    http_request_duration: Histogram by (route: &str, method: &str);
    /// Connections that are open.
    http_connections: Gauge;
    /// Connections refused because `http.connections_max` were open.
    http_connections_refused: Counter;
    /// Requests refused because of their key or for want of one, by reason.
    keys_refused: Counter by (reason: &str);
    /// Keys that the database was asked about.
    key_lookups: Counter;
    /// Bodies that carriers pushed and were refused, and the parcels of the others, by the section's name and outcome.
    pushes: Counter by (section: &str, outcome: PushOutcome);
    /// Current states answered from the cache.
    cache_hits: Counter;
    /// Current states that the cache did not have.
    cache_misses: Counter;

    /// Checks of one tracking, by account and outcome.
    checks: Counter by (account: &str, outcome: CheckOutcome);
    /// Answers with an event dated ahead of them: the time_zone of the carrier's section may be wrong.
    answers_ahead: Counter by (account: &str);
    /// Calls to a carrier.
    carrier_calls: Counter by (account: &str);
    /// Time from sending a call to its whole answer.
    carrier_call_duration: Histogram by (account: &str);
    /// Tickets of carriers that answer later, by account and what became of them.
    tickets: Counter by (account: &str, outcome: TicketOutcome);
    /// Log-ins to a carrier, by account and outcome.
    logins: Counter by (account: &str, outcome: LoginOutcome);
    /// Subscriptions to what carriers push, by the section's name and outcome: of accounts as a whole, or of numbers.
    subscriptions: Counter by (section: &str, outcome: SubscriptionOutcome);
    /// Trackings claimed to be checked.
    claimed: Counter;
    /// Calls not made because their permit was too old or no longer fitted in the lease.
    permits_expired: Counter by (account: &str);
    /// Answers thrown away because they came after the lease.
    late_answers: Counter by (account: &str);
    /// Answers about one parcel that the archive keeps.
    answers_archived: Counter;
    /// Answers about one parcel that the archive lacks: there was no room, or no right to keep them, or the database refused them.
    answers_not_archived: Counter;
    /// Bytes that the archive takes, as they were last added up.
    archive_bytes: Gauge;
    /// Records published on the topic.
    published: Counter;
    /// Records that could not be published.
    publish_failures: Counter;
    /// Trackings whose next check has come.
    due_trackings: Gauge by (account: &str);
    /// 1 while no calls are made to the account's carrier.
    account_paused: Gauge by (account: &str);
    /// How far the account's most overdue parcel is beyond its time.
    account_overdue_seconds: Gauge by (account: &str);
    /// How long the account's carrier has given no answer for the parcel that waits longest for one.
    account_unanswered_seconds: Gauge by (account: &str);
    /// Trackings whose last check failed.
    failing_trackings: Gauge by (account: &str);

    /// Updates that changed a tracking.
    updates_applied: Counter;
    /// Updates that changed nothing: repeated or overtaken.
    updates_without_effect: Counter;
    /// Updates of trackings that do not exist.
    updates_unknown_tracking: Counter;
    /// Events added.
    events_new: Counter;
    /// Events added whose code no adapter maps.
    events_unmapped: Counter;
    /// Records set aside as unreadable or not applicable.
    dead_letters: Counter;
    /// Parcels from before there were owners that are not in the lists yet, at most 1,000,000.
    parcels_to_adopt: Gauge;
    /// Records of a partition that are not yet applied.
    consumer_lag: Gauge by (partition: i32);
}

/// What became of a pushed body, or of a parcel in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum PushOutcome {
    /// A parcel's record is on the bus.
    Published,
    /// A parcel is due, unless a hint made it so a moment ago.
    Hinted,
    /// A parcel about which it tells nothing new.
    Known,
    /// A number that no tracking has.
    UnknownNumber,
    /// A body that is not about parcels.
    Ignored,
    /// A body without the signature that it should have.
    Forged,
    /// A body that is too long, broken off, or of no known form.
    Unreadable,
    /// A body for which bus or database had no room: the carrier was told to send it again.
    Failed,
    /// A request whose address has another section or secret.
    Stranger,
}

/// How one check of one tracking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum CheckOutcome {
    /// The carrier knows the parcel.
    Seen,
    /// The carrier does not know the number, or not yet.
    NotFound,
    Failed,
    /// The carrier asked us to wait.
    Limited,
}

/// What became of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum TicketOutcome {
    /// The carrier gave it.
    Given,
    /// It was asked for and not ready.
    NotReady,
    /// Its answer was published.
    Answered,
    /// Its parcels are asked for anew.
    GivenUp,
}

/// How a log-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum LoginOutcome {
    /// The account has a new token.
    Good,
    /// The carrier refused the credentials.
    Refused,
    Failed,
}

/// What became of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum SubscriptionOutcome {
    /// The carrier pushes.
    Made,
    /// The carrier does not take the number.
    NotTaken,
    /// The call failed, for all its numbers.
    Failed,
}

impl Metrics {
    /// Counts an answered request and the time it took. `route` is the router's pattern, `method` one of a fixed list.
    pub fn http_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.http_requests(route, method, status).inc();
        self.http_request_duration(route, method)
            .observe(took.as_secs_f64());
    }

    /// Counts a call to a carrier and the time it took, however it ended.
    pub fn carrier_call(&self, account: &str, took: Duration) {
        self.carrier_calls(account).inc();
        self.carrier_call_duration(account)
            .observe(took.as_secs_f64());
    }

    /// Stops showing the lag of a partition that another process applies now.
    pub fn forget_lag(&self, partition: i32) {
        self.consumer_lag
            .remove(&vec![("partition", partition.to_string())]);
    }

    /// Everything in the OpenMetrics text format, which Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a String cannot fail. If it ever does, an empty document is better than half of one.
            Err(_) => "# EOF\n".to_owned(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
