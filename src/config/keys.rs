//! Every key that can be written: its place, what it takes, and an example.
//!
//! The one list behind "unknown key", "did you mean" and "expected"; a test holds it against the types and against
//! `config.toml`.

use std::fmt;

use crate::config::kind::Kind;

/// The most characters of a name that are compared with the known ones.
const COMPARED_CHARS_MAX: usize = 100;

/// How alike two names must be, from 0 to 1, for one to be suggested for the other.
const LIKENESS_MIN: f64 = 0.6;

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// The names of the adapters, as `carriers.CODE.adapter` takes them.
pub const ADAPTERS: &[&str] = &[
    "emulator",
    "emulator-batch",
    "track24",
    "gdeposylka",
    "none",
];

/// The names of the policies, as `work.policy` takes them.
const POLICIES: &[&str] = &["fixed", "table", "learned"];

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    /// `section.key`, or the key alone in a carrier's section.
    pub name: &'static str,
    pub kind: Kind,
    /// A value as TOML.
    pub example: &'static str,
}

const fn key(name: &'static str, kind: Kind, example: &'static str) -> Key {
    Key {
        name,
        kind,
        example,
    }
}

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

const fn span(min: u64, max: u64) -> Kind {
    Kind::Span { min, max }
}

/// The keys outside the carriers' sections, in the order of `config.toml`.
pub const KEYS: &[Key] = &[
    key("http.listen", Kind::Address, "\"127.0.0.1:8080\""),
    key("http.body_limit_bytes", number(1_024, 1 << 30), "8388608"),
    key("http.request_timeout", span(1, HOUR), "\"30s\""),
    key("http.header_timeout", span(1, HOUR), "\"10s\""),
    key("http.connections_max", number(1, 1_000_000), "2048"),
    key("http.flood_per_second", number(1, 1_000_000), "2000"),
    key("http.flood_burst", number(1, 1_000_000), "10000"),
    key("http.trusted_proxies", Kind::Texts, "[\"10.0.0.0/8\"]"),
    key("work.listen", Kind::Address, "\"127.0.0.1:8082\""),
    key(
        "work.cadence",
        Kind::Choice(&["normal", "demo"]),
        "\"normal\"",
    ),
    key("work.poll_interval", span(1, HOUR), "\"2s\""),
    key("work.batch", number(1, 1_000), "100"),
    key("work.concurrency", number(1, 1_000), "10"),
    key("work.lease", span(1, DAY), "\"2m\""),
    key(
        "work.next_check_in_transit_min",
        span(1, 365 * DAY),
        "\"1m\"",
    ),
    key(
        "work.next_check_in_transit_max",
        span(1, 365 * DAY),
        "\"1m\"",
    ),
    key("work.next_check_unknown", span(1, 365 * DAY), "\"1m\""),
    key(
        "work.backoff",
        Kind::Spans {
            min: 1,
            max: 365 * DAY,
        },
        "[\"5m\", \"15m\", \"30m\", \"1h\"]",
    ),
    key("work.carrier_timeout", span(1, DAY), "\"10s\""),
    key("work.grace", span(0, HOUR), "\"8s\""),
    key("work.policy", Kind::Choice(POLICIES), "\"fixed\""),
    key("work.recheck_after", span(0, 365 * DAY), "\"5m\""),
    key("consume.listen", Kind::Address, "\"127.0.0.1:8083\""),
    key("consume.batch", number(1, 10_000), "500"),
    key("consume.fetch_wait", span(1, 60 * SECOND), "\"500ms\""),
    key("store.url", Kind::Secret, "\"sqlite://trackbox.db\""),
    key("store.readers", number(1, 64), "4"),
    key("store.connections", number(0, 1_000), "16"),
    key("store.statement_timeout", span(1, HOUR), "\"30s\""),
    key("kafka.brokers", Kind::Texts, "[\"localhost:9092\"]"),
    key("kafka.topic", Kind::Text, "\"tracking.updated\""),
    key("kafka.partitions", number(1, 1_000), "12"),
    key(
        "kafka.security",
        Kind::Choice(&["plaintext", "tls"]),
        "\"tls\"",
    ),
    key(
        "kafka.sasl",
        Kind::Choice(&["none", "plain", "scram-sha-256", "scram-sha-512"]),
        "\"none\"",
    ),
    key("kafka.user", Kind::Text, "\"\""),
    key("kafka.password", Kind::Secret, "\"\""),
    key(
        "kafka.in_process_bytes_max",
        number(1 << 20, 1 << 34),
        "67108864",
    ),
    key("redis.url", Kind::Secret, "\"redis://localhost:6379\""),
    key("tls.ca_file", Kind::Text, "\"\""),
    key("cache.ttl", span(1, 365 * DAY), "\"10m\""),
    key("cache.entries_max", number(1, 100_000_000), "100000"),
    key("demo.emulator_listen", Kind::Address, "\"127.0.0.1:9000\""),
    key("log.filter", Kind::Text, "\"info\""),
    key("log.format", Kind::Choice(&["text", "json"]), "\"text\""),
];

/// The keys of a carrier's section.
pub const CARRIER_KEYS: &[Key] = &[
    key("adapter", Kind::Choice(ADAPTERS), "\"emulator\""),
    key("base_url", Kind::Secret, "\"http://localhost:9000\""),
    key("api_key", Kind::Secret, "\"the key the carrier gave\""),
    key("domain", Kind::Text, "\"example.org\""),
    key("time_zone", Kind::Text, "\"Europe/Moscow\""),
    key("per_second", number(0, 1_000_000), "0"),
    key("per_minute", number(0, 1_000_000), "120"),
    key("per_day", number(0, 1_000_000_000), "0"),
    key("burst", number(1, 1_000_000), "1"),
    key("timeout", span(1, DAY), "\"10s\""),
    key("concurrency", number(1, 1_000), "10"),
    key("policy", Kind::Choice(POLICIES), "\"fixed\""),
    key("budget", Kind::Text, "\"shared-account\""),
];

/// Where a key stands: `[section, key]`, or `["carriers", code, key]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(pub Vec<String>);

impl KeyPath {
    pub fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    /// The key that stands here; `None` where there is no such key.
    pub fn key(&self) -> Option<&'static Key> {
        match self.0.as_slice() {
            [carriers, _, name] if carriers == "carriers" => {
                CARRIER_KEYS.iter().find(|key| key.name == name)
            }
            [section, name] => KEYS
                .iter()
                .find(|key| key.name.split_once('.') == Some((section, name))),
            _ => None,
        }
    }

    /// The variable of this key.
    pub fn variable(&self) -> String {
        let parts: Vec<String> = match self.0.as_slice() {
            [carriers, code, name] if carriers == "carriers" => {
                let code = if code == "*" { "DEFAULT" } else { code };
                vec!["CARRIERS".to_owned(), code.to_owned(), name.to_uppercase()]
            }
            parts => parts.iter().map(|part| part.to_uppercase()).collect(),
        };
        format!("TRACKBOX_{}", parts.join("__"))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|part| toml_key(part)).collect();
        f.write_str(&parts.join("."))
    }
}

/// A key as TOML writes it: bare where it may be, else quoted.
pub fn toml_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        toml_text(name)
    }
}

/// A text as TOML writes it.
pub fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The one of `known` that `wanted` was probably meant to be.
pub fn nearest(wanted: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let wanted: String = wanted
        .to_lowercase()
        .chars()
        .take(COMPARED_CHARS_MAX)
        .collect();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(&wanted, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
