//! The configuration in force, read from `config.toml` and the environment.
//!
//! Each layer overrides the one before: the defaults (the shipped `config.toml`, compiled in), the preset that
//! `work.cadence` names, a file, the environment variables. Unknown keys and wrong values are rejected with their place
//! ([`mistakes::ConfigError`]).
//!
//! A key is said once: its name, type, range and choices are the field below, from whose schema [`keys`] and [`shape`]
//! take them; its default is its line in `config.toml`. The schema's own words here are `format`, what a text must be
//! ([`format`]), and `from` and `to`, the range of a [`Span`].

mod carrier;
pub mod check;
mod choice;
pub mod format;
pub mod keys;
mod layers;
mod limit;
mod load;
pub mod mistakes;
mod secret;
mod shape;
mod shipped;
mod show;
mod span;
#[cfg(test)]
mod tests;
mod zone;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::quota::Period;
use crate::model::tenant::TenantCode;

pub use choice::{KafkaSasl, KafkaSecurity, LogFormat, Policy, Preset};
pub use span::Span;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    pub http: Http,
    pub work: Work,
    pub consume: Consume,
    pub store: Store,
    pub kafka: Kafka,
    pub redis: Redis,
    pub tls: Tls,
    pub cache: Cache,
    pub demo: Demo,
    pub log: Log,
    pub adapters: Adapters,
    pub facts: Facts,
    pub retention: Retention,
    pub archive: Archive,
    /// The sections by carrier code; `*` serves every code without a section of its own.
    pub carriers: BTreeMap<String, CarrierSection>,
}

/// Role `serve`: the HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Http {
    /// Address of the API; port 0 takes a free port.
    #[schemars(extend("format" = "socket"))]
    pub listen: SocketAddr,
    /// Largest request body, in bytes.
    #[schemars(range(min = 1_024, max = 1_073_741_824))]
    pub body_limit_bytes: usize,
    /// Time limit for a request, from its head to its response.
    #[schemars(extend("to" = "1h"))]
    pub request_timeout: Span,
    /// Time limit for a client to send the head of a request.
    #[schemars(extend("to" = "1h"))]
    pub header_timeout: Span,
    /// Time that requests in progress get to finish when the process stops.
    #[schemars(extend("to" = "5m"))]
    pub stop_wait: Span,
    /// Open connections, at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_max: usize,
    /// Flood guard: sustained requests a second of one client, by its key or else by its address.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub flood_per_second: u32,
    /// Flood guard: requests that one client may make at once after a pause.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub flood_burst: u32,
    /// Refreshes of one tenant in a minute, at most, also all at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub refreshes_per_minute: u32,
    /// Proxies whose `X-Forwarded-For` header is trusted.
    #[schemars(with = "Vec<String>", extend("format" = "network", "examples" = [["10.0.0.0/8"]]))]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether requests from other machines need no key either, as long as there has never been one.
    pub open: bool,
    /// The address under which carriers reach this installation; empty for none.
    #[schemars(extend("format" = "public address"))]
    pub public_url: String,
    /// Names by which a port that needs no key may be called, besides addresses, `localhost` and names without a point.
    #[schemars(extend("format" = "host", "examples" = [["track.example.org"]]))]
    pub hosts: Vec<String>,
}

/// Role `work`: the checks. The keys marked (preset) get their values from `cadence`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// Address of the operations endpoint.
    #[schemars(extend("format" = "socket"))]
    pub listen: SocketAddr,
    /// The preset.
    pub cadence: Preset,
    /// (preset) Pause before the store is asked again if nothing was due.
    #[schemars(extend("to" = "1h"))]
    pub poll_interval: Span,
    /// Trackings claimed at once, at most.
    #[schemars(range(min = 1, max = 1_000))]
    pub batch: u32,
    /// Concurrent calls for each carrier account, at most.
    #[schemars(range(min = 1, max = 1_000))]
    pub concurrency: u32,
    /// (preset) How long a claimed tracking is hidden from other workers.
    #[schemars(extend("to" = "1d"))]
    pub lease: Span,
    /// (preset) Shortest time between two checks of a parcel in transit.
    pub next_check_in_transit_min: Span,
    /// (preset) Longest time between two checks of a parcel in transit.
    pub next_check_in_transit_max: Span,
    /// (preset) Time between two checks of a parcel whose status is unknown.
    pub next_check_unknown: Span,
    /// (preset) Delay after the 1st, 2nd, … failure in a row; the last one holds for all further failures. Never empty.
    pub backoff: Vec<Span>,
    /// The wait before each further look at a delivered parcel; empty: there is none.
    pub after_delivery: Vec<Span>,
    /// How long before a tracking's creation its newest event lies for its history not to be believed; 0s: never.
    #[schemars(extend("from" = "0s"))]
    pub old_history: Span,
    /// (preset) Time limit for one call to a carrier; the lease must be 5 s longer.
    #[schemars(extend("to" = "1d"))]
    pub carrier_timeout: Span,
    /// Time that running calls get to finish when the process stops.
    #[schemars(extend("from" = "0s", "to" = "1h"))]
    pub grace: Span,
    /// How the time of the next check is chosen.
    pub policy: Policy,
    /// `learned` only: shortest time between a good answer and an early check.
    #[schemars(extend("from" = "0s"))]
    pub recheck_after: Span,
}

/// Role `consume`: writes the results of the checks to the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Consume {
    /// Address of health and metrics.
    #[schemars(extend("format" = "socket"))]
    pub listen: SocketAddr,
    /// Records applied in one transaction, at most.
    #[schemars(range(min = 1, max = 10_000))]
    pub batch: u32,
    /// How long a fetch waits for records.
    #[schemars(extend("to" = "1m"))]
    pub fetch_wait: Span,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Store {
    /// `sqlite://FILE` or `postgres://…`.
    #[schemars(extend("format" = "database"))]
    pub url: SecretUrl,
    /// SQLite: connections that read.
    #[schemars(range(min = 1, max = 64))]
    pub readers: u32,
    /// PostgreSQL: connections, at most; 0 means as many as the role needs.
    #[schemars(range(min = 0, max = 1_000))]
    pub connections: u32,
    /// Time limit for one statement.
    #[schemars(extend("to" = "1h"))]
    pub statement_timeout: Span,
}

/// The bus between the roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Kafka {
    /// Brokers as `host:port`; empty means a log inside the process.
    #[schemars(extend("format" = "host:port", "examples" = [["localhost:9092"]]))]
    pub brokers: Vec<String>,
    /// The topic, created if it does not exist.
    #[schemars(extend("format" = "topic"))]
    pub topic: String,
    /// Partitions of a topic that TrackBox creates.
    #[schemars(range(min = 1, max = 1_000))]
    pub partitions: u32,
    pub security: KafkaSecurity,
    /// How to log in.
    pub sasl: KafkaSasl,
    /// User name; empty without a login.
    pub user: String,
    /// Password; empty without a login.
    pub password: Secret,
    /// Bytes that the log inside the process holds, at most.
    #[schemars(range(min = 1_048_576, max = 17_179_869_184_u64))]
    pub in_process_bytes_max: usize,
}

/// What the processes share besides the store: the cache and the carriers' limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Redis {
    /// `redis://…` or `rediss://…`; empty means inside the process.
    #[schemars(extend("format" = "redis", "examples" = ["redis://localhost:6379"]))]
    pub url: SecretUrl,
}

/// Encrypted connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    /// PEM file of certificates to trust besides the system's; empty means none.
    #[schemars(extend("format" = "file"))]
    pub ca_file: String,
}

/// The cache of current statuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cache {
    /// Lifetime of an entry.
    pub ttl: Span,
    /// Entries of the cache inside the process, at most.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub entries_max: u64,
}

/// `all --demo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Demo {
    /// Address of the demo's carrier emulator.
    #[schemars(extend("format" = "socket"))]
    pub emulator_listen: SocketAddr,
}

/// The log, on stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Log {
    /// A level, or levels by module, such as `info,trackbox::store=debug`.
    #[schemars(extend("format" = "log filter"))]
    pub filter: String,
    pub format: LogFormat,
}

/// How carriers are asked, besides what is built in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Adapters {
    /// Folder of carriers' files of your own; empty means none.
    pub folder: String,
}

/// What carriers say of a parcel beside its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// Whether names of people are published on the topic, stored and shown.
    pub in_messages: bool,
}

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retention {
    /// How long changes can be read.
    #[schemars(extend("from" = "1h", "to" = "3650d"))]
    pub changes: Span,
    /// How long a parcel is kept after it has come to its end; 0: for ever.
    #[schemars(extend("from" = "0s", "to" = "3650d"))]
    pub parcels: Span,
}

/// The answers of carriers, kept to be read again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Archive {
    /// Whether answers are kept.
    pub enabled: bool,
    /// A database of the archive's own; empty means that of `store.url`.
    #[schemars(extend("format" = "further database", "examples" = ["sqlite://archive.db"]))]
    pub url: SecretUrl,
    /// How long an answer is kept.
    #[schemars(extend("from" = "1h", "to" = "3650d"))]
    pub keep: Span,
    /// Bytes that the archive takes, at most; beyond that the oldest answers go.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub max_bytes: u64,
}

/// How to reach one carrier, or (`*`) every carrier without a section of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CarrierSection {
    /// One of the adapters that `trackbox carriers list` shows, or `none`: the section is not in use.
    #[schemars(extend("examples" = ["emulator"]))]
    pub adapter: String,
    /// Address of the carrier's API, `http` or `https`.
    #[schemars(extend("examples" = ["http://localhost:9000"]))]
    pub base_url: SecretUrl,
    /// Address of its log-in, for an adapter whose carrier has that on a host of its own; defaults to what the adapter's file names.
    #[schemars(extend("examples" = [""]))]
    pub login_url: SecretUrl,
    /// The key or token that the carrier issued.
    #[schemars(extend("examples" = ["the key the carrier issued"]))]
    pub api_key: Secret,
    /// The name that the account logs in with, such as a client id.
    #[schemars(extend("examples" = ["the client id"]))]
    pub user: String,
    /// The secret that the account logs in with.
    #[schemars(extend("examples" = ["the client secret"]))]
    pub secret: Secret,
    /// The domain that the key is registered for.
    #[schemars(extend("examples" = ["example.org"]))]
    pub domain: String,
    /// IANA name of the zone of times without an offset.
    #[schemars(with = "String", extend("format" = "time zone", "examples" = ["Europe/Moscow"]))]
    pub time_zone: Tz,
    /// Calls in any second, at most; 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_second: u32,
    /// Calls in any minute, at most; 0 means no limit. Defaults to 120, and with `limits` to no limit.
    #[schemars(range(min = 0, max = 1_000_000), extend("examples" = [120]))]
    pub per_minute: Option<u32>,
    /// Calls a day (UTC), at most; 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub per_day: u32,
    /// Further limits, which hold besides these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [[
        {"calls": 250, "per": "day", "zone": "Europe/Berlin"}, {"calls": 1, "per": "5s"}
    ]]))]
    pub limits: Vec<Limit>,
    /// Calls that may go out at once after a pause; at most the largest limit by the second, minute or hour.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
    /// Numbers in one call, at most; defaults to what the adapter takes.
    #[schemars(range(min = 1, max = 10_000), extend("examples" = [1]))]
    pub numbers: Option<u32>,
    /// Whether numbers may be registered at an aggregator that has to be told them once, which may cost money.
    pub register: bool,
    /// A parcel is never asked for again before this time has passed.
    #[schemars(extend("from" = "0s", "to" = "30d"))]
    pub min_interval: Span,
    /// Time limit for one call; defaults to `work.carrier_timeout`.
    #[schemars(extend("to" = "1d", "examples" = ["10s"]))]
    pub timeout: Option<Span>,
    /// Concurrent calls, at most; defaults to `work.concurrency`.
    #[schemars(range(min = 1, max = 1_000), extend("examples" = [10]))]
    pub concurrency: Option<u32>,
    /// How the time of the next check is chosen; defaults to `work.policy`.
    #[schemars(extend("examples" = ["fixed"]))]
    pub policy: Option<Policy>,
    /// The secret in the address that the carrier pushes to, `/push/CODE/SECRET`; empty: nothing is taken.
    #[schemars(extend("examples" = ["LetNobodyElseKnow-22orMore"]))]
    pub push_secret: Secret,
    /// The secret before this one, which is still taken.
    #[schemars(extend("examples" = ["LetNobodyElseKnow-22orMore"]))]
    pub push_secret_before: Secret,
    /// The key that the carrier signs what it pushes with.
    #[schemars(extend("examples" = ["the signing key"]))]
    pub push_key: Secret,
    /// The key before this one, which is still taken.
    pub push_key_before: Secret,
    /// Whether what is pushed without a signature is believed. If not, it makes parcels due, and their checks decide.
    pub push_trust: bool,
    /// The account that the calls count for, shared by all sections that name it; defaults to the section's name.
    #[schemars(extend("format" = "account", "examples" = ["shared-account"]))]
    pub budget: Option<String>,
    /// The tenants that may name the section; to all others its code is unknown. Left out: all tenants.
    #[schemars(
        with = "Option<Vec<String>>",
        extend("format" = "tenant", "examples" = [["shop-a", "shop-b"]])
    )]
    pub tenants: Option<Vec<TenantCode>>,
}

/// At most `calls` in any span of time, or in each day or month of the calendar of `zone`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub calls: u32,
    #[schemars(with = "String", extend("format" = "span of a limit"))]
    pub per: Per,
    /// The zone of the calendar; UTC if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "time zone"))]
    pub zone: Option<Tz>,
}

/// What a [`Limit`] counts calls by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Per {
    Span(Duration),
    Calendar(Period),
}

/// A text that is never shown: only [`Secret::expose`] returns it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("format" = "secret"))]
pub struct Secret(String);

/// A URL whose password is never shown: only [`SecretUrl::expose`] returns all of it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("format" = "secret"))]
pub struct SecretUrl(String);
