//! What must hold between keys.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::config::format::shown;
use crate::config::keys::KeyPath;
use crate::config::layers::Layer;
use crate::config::mistakes::{ConfigError, Mistake};
use crate::config::show::inline;
use crate::config::{CarrierSection, Config, KafkaSasl, Per, Span};
use crate::model::CarrierCode;

/// How much longer than a call's time limit a lease must be: 2 s to publish the answer, and 3 s in which the call is
/// claimed and waits for its slot.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The length of a secret in an address: at least 128 bits as base64url writes them.
const PUSH_SECRET_CHARS_MIN: usize = 22;
const PUSH_SECRET_CHARS_MAX: usize = 200;

/// What sections with one account must agree on; a section that leaves one out takes it from `work`.
const SHARED: [&str; 8] = [
    "per_second",
    "per_minute",
    "per_day",
    "limits",
    "burst",
    "min_interval",
    "concurrency",
    "policy",
];

/// Collects mistakes between keys; knows which source each key came from.
#[derive(Debug, Default)]
pub struct Mistakes<'a> {
    layers: &'a [Layer],
    found: Vec<Mistake>,
}

impl<'a> Mistakes<'a> {
    pub fn of(layers: &'a [Layer]) -> Self {
        Self {
            layers,
            found: Vec::new(),
        }
    }

    /// Adds a mistake of the key at `path`; `what` continues the sentence that begins with the key.
    pub fn add(&mut self, path: &[&str], what: impl Display, advice: impl Into<String>) {
        let what = format!("{} {what}", KeyPath::of(path));
        let mistake = Mistake::new(what, self.place(path), advice);
        self.found.push(mistake);
    }

    /// Adds a mistake in a file that the configuration names.
    pub fn push(&mut self, mistake: Mistake) {
        self.found.push(mistake);
    }

    /// The source of a key: the last layer that sets it, else the last that opens its section.
    pub fn place(&self, path: &[&str]) -> String {
        let section = KeyPath::of(&path[..path.len().saturating_sub(1)]);
        let path = KeyPath::of(path);
        let last = |path| self.layers.iter().rev().find(|layer| layer.sets(path));
        last(&path)
            .or_else(|| last(&section))
            .map_or_else(|| format!("key {path}"), |layer| layer.source.place(&path))
    }

    /// # Errors
    /// If there are any mistakes.
    pub fn into_result(self) -> Result<(), ConfigError> {
        let mistakes = self.found;
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(ConfigError { mistakes })
        }
    }
}

/// Adds every mistake between the keys of `config`.
pub fn check(config: &Config, mistakes: &mut Mistakes<'_>) {
    listens(config, mistakes);
    cadence(config, mistakes);
    kafka_login(config, mistakes);
    for (code, section) in &config.carriers {
        carrier(config, code, section, mistakes);
    }
    shared_accounts(config, mistakes);
}

fn listens(config: &Config, mistakes: &mut Mistakes<'_>) {
    let listens = [
        (["http", "listen"], config.http.listen),
        (["work", "listen"], config.work.listen),
        (["consume", "listen"], config.consume.listen),
        (["demo", "emulator_listen"], config.demo.emulator_listen),
    ];
    for (index, (path, address)) in listens.iter().enumerate() {
        let mut before = listens[..index].iter();
        if let Some((other, _)) = before.find(|(_, other)| overlap(*address, *other)) {
            let (name, place) = (other.join("."), mistakes.place(other));
            let what = format!("is {address}, which {name} takes already ({place})");
            let advice = "give each its own port; port 0 takes a free one";
            mistakes.add(path, what, advice);
        }
    }
}

/// Whether two listeners cannot both have what they ask for.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let all = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || all)
}

fn cadence(config: &Config, mistakes: &mut Mistakes<'_>) {
    let work = &config.work;
    let (min, max) = (
        work.next_check_in_transit_min,
        work.next_check_in_transit_max,
    );
    if min > max {
        let place = mistakes.place(&["work", "next_check_in_transit_max"]);
        let longer = format!("longer than work.next_check_in_transit_max, {max} ({place})");
        mistakes.add(
            &["work", "next_check_in_transit_min"],
            format!("is {min}, {longer}"),
            format!("lower it to at most {max}, or raise work.next_check_in_transit_max"),
        );
    }
    if work.backoff.is_empty() {
        let advice = "give at least one delay; the last one holds for all further failures";
        mistakes.add(&["work", "backoff"], "is empty", advice);
    }
    let path = ["work", "carrier_timeout"];
    lease(config, &path, work.carrier_timeout, mistakes);
}

/// A call that outlives its lease would be made twice.
fn lease(config: &Config, path: &[&str], timeout: Span, mistakes: &mut Mistakes<'_>) {
    let lease = config.work.lease;
    let needed = Span(timeout.get() + LEASE_MARGIN);
    if needed <= lease {
        return;
    }
    let most = Span(lease.get().saturating_sub(LEASE_MARGIN));
    let lower = match most.millis() {
        0 => String::new(),
        _ => format!(", or lower this to at most {most}"),
    };
    let place = mistakes.place(&["work", "lease"]);
    mistakes.add(
        path,
        format!("is {timeout}; with 5s to spare that is longer than work.lease, {lease} ({place})"),
        format!("raise work.lease to at least {needed}{lower}"),
    );
}

/// A login needs a name and a password, and both need a login.
fn kafka_login(config: &Config, mistakes: &mut Mistakes<'_>) {
    let kafka = &config.kafka;
    let logs_in = kafka.sasl != KafkaSasl::None;
    let (user, password) = (kafka.user.is_empty(), kafka.password.is_empty());
    for (name, is_empty) in [("user", user), ("password", password)] {
        let path = ["kafka", name];
        if logs_in && is_empty {
            let variable = KeyPath::of(&path).variable();
            let advice = format!("set it, for example as {variable}; or set kafka.sasl = \"none\"");
            mistakes.add(&path, "is empty, but kafka.sasl asks for a login", advice);
        } else if !logs_in && !is_empty {
            let what = "is given, but kafka.sasl is none, so it would not be used";
            let advice =
                "set kafka.sasl to plain, scram-sha-256 or scram-sha-512, or leave this out";
            mistakes.add(&path, what, advice);
        }
    }
}

fn carrier(config: &Config, code: &str, section: &CarrierSection, mistakes: &mut Mistakes<'_>) {
    if let Err(error) = CarrierCode::parse(code) {
        let advice =
            "name the section by the carrier's code as requests write it, or \"*\" for all others";
        let what = format!("is not the section of a carrier: its code {error}");
        mistakes.add(&["carriers", code], what, advice);
    }
    // A section without an adapter has one mistake that explains all others.
    if !section.is_in_use() || section.adapter.is_empty() {
        return;
    }
    for (place, limit) in section.limits.iter().enumerate() {
        if let (Some(zone), Per::Span(_)) = (limit.zone, limit.per) {
            let (place, per) = (place + 1, limit.per);
            let what = format!("has a member, number {place}, per {per} and with the zone {zone}");
            let advice = "leave the zone out: only a day and a month have one";
            mistakes.add(&["carriers", code, "limits"], what, advice);
        }
    }
    let windows = section.limits().windows.into_iter();
    let largest = windows.map(|window| window.calls).max();
    if let Some(largest) = largest.filter(|largest| section.burst > *largest) {
        let burst = section.burst;
        let what = format!(
            "is {burst}, more than the section's largest limit by the second, minute or hour, {largest}"
        );
        let advice = format!("lower it to at most {largest}, or raise the limit");
        mistakes.add(&["carriers", code, "burst"], what, advice);
    }
    if let Some(timeout) = section.timeout {
        lease(config, &["carriers", code, "timeout"], timeout, mistakes);
    }
    push_secrets(code, section, mistakes);
    tenants(code, section, mistakes);
}

/// A section that no tenant may name would be of no use, and an empty list may have been meant for all of them.
fn tenants(code: &str, section: &CarrierSection, mistakes: &mut Mistakes<'_>) {
    if section.tenants.as_ref().is_some_and(Vec::is_empty) {
        let advice = "list the tenants that may name the section, or leave it out for all of them";
        mistakes.add(&["carriers", code, "tenants"], "is empty", advice);
    }
}

/// Secrets in an address are long, and of what an address holds as it is.
fn push_secrets(code: &str, section: &CarrierSection, mistakes: &mut Mistakes<'_>) {
    let is_of_address = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let keys = [
        ("push_secret", &section.push_secret),
        ("push_secret_before", &section.push_secret_before),
    ];
    for (key, secret) in keys {
        let secret = secret.expose();
        let what = if secret.is_empty() {
            continue;
        } else if !secret.chars().all(is_of_address) {
            "has other characters than letters, digits, - and _"
        } else if !(PUSH_SECRET_CHARS_MIN..=PUSH_SECRET_CHARS_MAX).contains(&secret.len()) {
            "is too short to be secret, or longer than 200 characters"
        } else {
            continue;
        };
        let advice = "make one: openssl rand -hex 24";
        mistakes.add(&["carriers", code, key], what, advice);
    }
}

/// Sections that share an account must agree on its limits: its calls are counted once.
fn shared_accounts(config: &Config, mistakes: &mut Mistakes<'_>) {
    let mut firsts: BTreeMap<&str, (&str, [Json; SHARED.len()])> = BTreeMap::new();
    for (code, section) in &config.carriers {
        if !section.is_in_use() || section.adapter.is_empty() {
            continue;
        }
        let (account, values) = (section.account(code), shared(config, section));
        let (first, expected) = firsts.entry(account).or_insert((code, values.clone()));
        for (index, key) in SHARED.into_iter().enumerate() {
            let (ours, theirs) = (&values[index], &expected[index]);
            if ours == theirs {
                continue;
            }
            let other = ["carriers", first, key];
            let (name, place) = (KeyPath::of(&other), mistakes.place(&other));
            let (ours, theirs) = (inline(ours), inline(theirs));
            let what = format!("is {ours}, but {name} is {theirs} ({place})");
            mistakes.add(
                &["carriers", code, key],
                format!("{what}, and both share the budget {}", shown(account)),
                "give both sections the same value, or each its own budget",
            );
        }
    }
}

/// The values in force of the keys that sections with one account must agree on.
fn shared(config: &Config, section: &CarrierSection) -> [Json; SHARED.len()] {
    let (own, work) = (json!(section), json!(config.work));
    SHARED.map(|key| match key {
        "per_minute" => json!(section.per_minute()),
        "limits" => json!(section.limits),
        _ if own[key].is_null() => work[key].clone(),
        _ => own[key].clone(),
    })
}
