//! What TrackBox is told: the configuration in force, read from `config.toml` and the environment.
//!
//! Layers, each over the one before: the defaults (the `config.toml` that ships, compiled in), the preset that
//! `work.cadence` names, a file, the variables. Whatever is unknown or wrong is refused with its place ([`ConfigError`]).

mod check;
mod error;
mod keys;
mod kind;
mod layers;
mod load;
pub mod network;
mod secret;
mod show;
mod span;
#[cfg(test)]
mod tests;
mod unknown;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Everything that can be configured. Every value has passed the checks; the defaults stand in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// The sections by carrier code; `*` takes every code without one. A section with the adapter `none` is not in use.
    pub carriers: BTreeMap<String, Carrier>,
}

/// Role `serve`: the HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Default 127.0.0.1:8080; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The most bytes of one request's body; default 8 MiB.
    pub body_limit_bytes: usize,
    /// How long one request may take from its head to its answer; default 30 s.
    pub request_timeout: Span,
    /// How long a client may take to send the head of a request; default 10 s.
    pub header_timeout: Span,
    /// The most connections open at once; default 2,048.
    pub connections_max: usize,
    /// How many requests a second one client may make for long; default 2,000.
    pub flood_per_second: u32,
    /// How many requests one client may make at once after a rest; default 10,000.
    pub flood_burst: u32,
    /// Addresses or networks (CIDR) whose `X-Forwarded-For` is believed; default none.
    pub trusted_proxies: Vec<String>,
}

/// Role `work`: the checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The operations endpoint; default 127.0.0.1:8082.
    pub listen: SocketAddr,
    /// The preset under the keys marked with (preset).
    pub cadence: Preset,
    /// The wait before the store is asked again, where nothing was due (preset): 2 s, demo 1 s.
    pub poll_interval: Span,
    /// The most trackings claimed at once, 1 to 1,000; default 100.
    pub batch: u32,
    /// The most calls under way at once for each carrier account, 1 to 1,000; default 10.
    pub concurrency: u32,
    /// How long a claimed tracking is hidden from other workers (preset): 120 s, demo 10 s.
    pub lease: Span,
    /// The shortest time between two checks of a parcel that moves (preset): 60 s, demo 3 s.
    pub next_check_in_transit_min: Span,
    /// The longest time between two checks of a parcel that moves (preset): 60 s, demo 8 s.
    pub next_check_in_transit_max: Span,
    /// The time between two checks of a parcel whose status is unknown (preset): 60 s, demo 10 s.
    pub next_check_unknown: Span,
    /// The wait after the 1st, 2nd, … failure in a row; the last one holds for all further ones. Never empty.
    /// (preset): 5, 15, 30, 60 min, demo 2, 5, 10, 20 s.
    pub backoff: Vec<Span>,
    /// How long one call to a carrier may take (preset): 10 s, demo 4 s. At most the lease less 5 s.
    pub carrier_timeout: Span,
    /// How long calls in flight may take to end when the process stops; default 8 s.
    pub grace: Span,
    /// When to look again; default `fixed`.
    pub policy: Policy,
    /// How long after a good answer a parcel is left alone where calls are left over (`learned` only); default 5 min.
    pub recheck_after: Span,
}

/// How a worker decides when to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// At the intervals of `next_check_*`.
    #[default]
    Fixed,
    /// After an interval for each status.
    Table,
    /// By what was learned of how soon news follows, and what a call is worth.
    Learned,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Table => "table",
            Self::Learned => "learned",
        }
    }
}

/// A preset of the keys that say how often and how patiently parcels are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Every parcel once a minute.
    #[default]
    Normal,
    /// Every parcel every few seconds, against the emulator.
    Demo,
}

/// Role `consume`: what the checks said goes into the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consume {
    /// Health and metrics; default 127.0.0.1:8083.
    pub listen: SocketAddr,
    /// The most records applied in one transaction; default 500.
    pub batch: u32,
    /// How long a fetch waits for records; default 500 ms.
    pub fetch_wait: Span,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite://FILE` or `postgres://…`; default `sqlite://trackbox.db`.
    pub url: SecretUrl,
    /// The connections that read, on SQLite; default 4.
    pub readers: u32,
    /// The most connections, on PostgreSQL; 0, the default: as the role needs.
    pub connections: u32,
    /// How long one statement may take; default 30 s.
    pub statement_timeout: Span,
}

/// The bus between the roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// As `host:port`; empty, the default: a log inside the process.
    pub brokers: Vec<String>,
    /// Default `tracking.updated`.
    pub topic: String,
    /// How many partitions a topic gets that is created here, 1 to 1,000; default 12.
    pub partitions: u32,
    /// Default `plaintext`.
    pub security: KafkaSecurity,
    /// How to log in; default not at all.
    pub sasl: KafkaSasl,
    /// Empty without a log-in.
    pub user: String,
    /// Empty without a log-in.
    pub password: Secret,
    /// The most bytes that the log inside the process holds; default 64 MiB.
    pub in_process_bytes_max: usize,
}

/// Whether the brokers are spoken to in the open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KafkaSecurity {
    Plaintext,
    Tls,
}

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaSasl {
    None,
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// What the processes share besides the store: the cache and the carriers' limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://…` or `rediss://…`; empty, the default: inside the process.
    pub url: SecretUrl,
}

/// Encrypted connections to Kafka and Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file of certificates to trust besides the system's; empty, the default: none.
    pub ca_file: String,
}

/// The cache of current statuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// How long an entry lives; default 600 s.
    pub ttl: Span,
    /// The most entries of the cache inside the process; default 100,000.
    pub entries_max: u64,
}

/// `all --demo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// Where the carrier emulator of the demo listens; default 127.0.0.1:9000.
    pub emulator_listen: SocketAddr,
}

/// What is logged, to stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or levels by module, as `info,trackbox::store=debug`; default `info`.
    pub filter: String,
    /// Default `text`.
    pub format: LogFormat,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The way to one carrier, or to every carrier without a section of its own (`*`).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Carrier {
    /// `emulator`, `emulator-batch`, `track24`, `gdeposylka`, or `none`: the section is not in use.
    pub adapter: String,
    /// Where the carrier's API is; `http` or `https`.
    #[serde(serialize_with = "secret::serialize_url")]
    pub base_url: String,
    /// The key or token that the carrier gave; needed by `track24` and `gdeposylka`.
    pub api_key: Secret,
    /// The domain that the key is registered for; needed by `track24`.
    pub domain: String,
    /// The IANA name of the zone that times without an offset are in; default `UTC`.
    pub time_zone: String,
    /// The most calls in any second; default 0: no limit.
    pub per_second: u32,
    /// The most calls in any minute; default 120, 0: no limit.
    pub per_minute: u32,
    /// The most calls a day; default 0: no limit.
    pub per_day: u32,
    /// How many calls may go out at once after a rest; at least 1, at most the smallest limit. Default 1.
    pub burst: u32,
    /// How long one call may take; else `work.carrier_timeout`.
    pub timeout: Option<Span>,
    /// The most calls under way at once; else `work.concurrency`.
    pub concurrency: Option<u32>,
    /// When to look again; else `work.policy`.
    pub policy: Option<Policy>,
    /// The account that the calls count for: sections that name the same one share its limits. Else the section's name.
    pub budget: Option<String>,
}

/// A length of time: in whole milliseconds, at most 100 years.
///
/// Read from `500ms`, `10s`, `5m`, `1h`, `1d` or a bare number of seconds; written in the shortest of these that is
/// exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// A text that is never shown: [`Secret::expose`] alone gives it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// An address that may hold a password, which is never shown: [`SecretUrl::expose`] alone gives all of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretUrl(String);

/// Why a configuration was refused: every mistake that was found, with its place and what to do.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

/// One mistake in a configuration. No part of it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, with the key.
    pub what: String,
    /// The file and key, or the variable.
    pub place: String,
    /// How to put it right.
    pub advice: String,
}

impl Config {
    /// Reads the configuration in force.
    ///
    /// `file` is the one named on the command line. Without it, `TRACKBOX_CONFIG` may name one; without that,
    /// `config.toml` in the working directory is read where it exists. `preset` is the program's own cadence: the file
    /// and the variables may name another.
    ///
    /// # Errors
    /// [`ConfigError`] with all mistakes of the same kind at once: first those of single keys (unknown, unreadable), and
    /// where there are none, those between keys.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        preset: Option<Preset>,
    ) -> Result<Self, ConfigError> {
        load::load(file, variables.into_iter().collect(), preset)
    }

    /// The process's variables that [`Config::load`] looks at.
    ///
    /// `std::env::vars` would panic where any variable of the machine is no UTF-8; here such a value is refused as the
    /// value of its key.
    pub fn variables() -> Vec<(String, String)> {
        load::variables()
    }

    /// The configuration as a file that could be loaded again, with every secret hidden.
    pub fn shown(&self) -> String {
        show::toml(self)
    }
}

impl Default for Config {
    /// What is in force where nobody says anything.
    fn default() -> Self {
        load::shipped()
    }
}

impl Default for Carrier {
    /// A section of which nothing is said; without adapter and address it passes no check.
    fn default() -> Self {
        Self {
            adapter: String::new(),
            base_url: String::new(),
            api_key: Secret::default(),
            domain: String::new(),
            time_zone: "UTC".to_owned(),
            per_second: 0,
            per_minute: 120,
            per_day: 0,
            burst: 1,
            timeout: None,
            concurrency: None,
            policy: None,
            budget: None,
        }
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart so that a new field is not forgotten.
        let Self {
            adapter,
            base_url,
            api_key,
            domain,
            time_zone,
            per_second,
            per_minute,
            per_day,
            burst,
            timeout,
            concurrency,
            policy,
            budget,
        } = self;
        f.debug_struct("Carrier")
            .field("adapter", adapter)
            .field("base_url", &secret::hide_password(base_url))
            .field("api_key", api_key)
            .field("domain", domain)
            .field("time_zone", time_zone)
            .field("per_second", per_second)
            .field("per_minute", per_minute)
            .field("per_day", per_day)
            .field("burst", burst)
            .field("timeout", timeout)
            .field("concurrency", concurrency)
            .field("policy", policy)
            .field("budget", budget)
            .finish()
    }
}
