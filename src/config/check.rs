//! What must hold between keys.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::format::shown;
use crate::config::keys::KeyPath;
use crate::config::layers::Layer;
use crate::config::mistakes::{ConfigError, Mistake};
use crate::config::{CarrierSection, Config, KafkaSasl, Span};
use crate::model::CarrierCode;

/// How much longer than a call's time limit a lease must be: 2 s to publish the answer, and 3 s in which the call is
/// claimed and waits for its slot.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

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
        self.found.push(Mistake {
            what: format!("{} {what}", KeyPath::of(path)),
            place: self.place(path),
            advice: advice.into(),
        });
    }

    /// The source of a key: the last layer that sets it, else the last that opens its section.
    pub fn place(&self, path: &[&str]) -> String {
        let section = KeyPath::of(&path[..path.len().saturating_sub(1)]);
        let path = KeyPath::of(path);
        let last = |path: &KeyPath| {
            self.layers
                .iter()
                .rev()
                .find(|layer| layer.get(path).is_some())
        };
        last(&path)
            .or_else(|| last(&section))
            .map_or_else(|| format!("key {path}"), |layer| layer.source.place(&path))
    }

    /// # Errors
    /// If there are any mistakes.
    pub fn into_result(self) -> Result<(), ConfigError> {
        match self.found {
            mistakes if mistakes.is_empty() => Ok(()),
            mistakes => Err(ConfigError { mistakes }),
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
    let listens: [(&[&str], SocketAddr); 4] = [
        (&["http", "listen"], config.http.listen),
        (&["work", "listen"], config.work.listen),
        (&["consume", "listen"], config.consume.listen),
        (&["demo", "emulator_listen"], config.demo.emulator_listen),
    ];
    for (index, (path, address)) in listens.iter().enumerate() {
        let mut before = listens[..index].iter();
        if let Some((other, _)) = before.find(|(_, other)| overlap(*address, *other)) {
            let (name, place) = (other.join("."), mistakes.place(other));
            let what = format!("is {address}, which {name} takes already ({place})");
            mistakes.add(
                path,
                what,
                "give each its own port; port 0 takes a free one",
            );
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
        mistakes.add(
            &["work", "next_check_in_transit_min"],
            format!("is {min}, longer than work.next_check_in_transit_max, {max} ({place})"),
            format!("lower it to at most {max}, or raise work.next_check_in_transit_max"),
        );
    }
    if work.backoff.is_empty() {
        let advice = "give at least one delay; the last one holds for all further failures";
        mistakes.add(&["work", "backoff"], "is empty", advice);
    }
    lease(
        config,
        &["work", "carrier_timeout"],
        work.carrier_timeout,
        mistakes,
    );
}

/// A call that outlives its lease would be made twice.
fn lease(config: &Config, path: &[&str], timeout: Span, mistakes: &mut Mistakes<'_>) {
    let lease = config.work.lease;
    let needed = timeout.get() + LEASE_MARGIN;
    if needed <= lease.get() {
        return;
    }
    let place = mistakes.place(&["work", "lease"]);
    let raise = format!("raise work.lease to at least {}", Span(needed));
    mistakes.add(
        path,
        format!("is {timeout}; with 5s to spare that is longer than work.lease, {lease} ({place})"),
        match lease.get().checked_sub(LEASE_MARGIN) {
            Some(most) if !most.is_zero() => {
                format!("{raise}, or lower this to at most {}", Span(most))
            }
            _ => raise,
        },
    );
}

/// A login needs a name and a password, and both need a login.
fn kafka_login(config: &Config, mistakes: &mut Mistakes<'_>) {
    let kafka = &config.kafka;
    let logs_in = kafka.sasl != KafkaSasl::None;
    let keys = [
        ("user", kafka.user.is_empty()),
        ("password", kafka.password.is_empty()),
    ];
    for (name, empty) in keys {
        let path = ["kafka", name];
        if logs_in && empty {
            let variable = KeyPath::of(&path).variable();
            let advice = format!("set it, for example as {variable}; or set kafka.sasl = \"none\"");
            mistakes.add(&path, "is empty, but kafka.sasl asks for a login", advice);
        } else if !logs_in && !empty {
            let advice =
                "set kafka.sasl to plain, scram-sha-256 or scram-sha-512, or leave this out";
            mistakes.add(
                &path,
                "is given, but kafka.sasl is none, so it would not be used",
                advice,
            );
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
    let limits = [section.per_second, section.per_minute, section.per_day];
    let smallest = limits.into_iter().filter(|limit| *limit > 0).min();
    if let Some(smallest) = smallest.filter(|smallest| section.burst > *smallest) {
        let what = format!(
            "is {}, more than the section's smallest limit, {smallest}",
            section.burst
        );
        let advice = format!("lower it to at most {smallest}, or raise the limit");
        mistakes.add(&["carriers", code, "burst"], what, advice);
    }
    if let Some(timeout) = section.timeout {
        lease(config, &["carriers", code, "timeout"], timeout, mistakes);
    }
}

/// Sections that share an account must agree on its limits: its calls are counted once.
fn shared_accounts(config: &Config, mistakes: &mut Mistakes<'_>) {
    let mut firsts: BTreeMap<&str, (&str, &CarrierSection)> = BTreeMap::new();
    let in_use = |section: &CarrierSection| section.is_in_use() && !section.adapter.is_empty();
    for (code, section) in config
        .carriers
        .iter()
        .filter(|(_, section)| in_use(section))
    {
        let account = section.account(code);
        let (first_code, first) = *firsts.entry(account).or_insert((code, section));
        let pairs = shared(config, section)
            .into_iter()
            .zip(shared(config, first));
        for ((key, ours), (_, theirs)) in pairs.filter(|(ours, theirs)| ours != theirs) {
            let other = ["carriers", first_code, key];
            let (name, place) = (KeyPath::of(&other), mistakes.place(&other));
            mistakes.add(
                &["carriers", code, key],
                format!(
                    "is {ours}, but {name} is {theirs} ({place}), and both share the budget {}",
                    shown(account)
                ),
                "give both sections the same value, or each its own budget",
            );
        }
    }
}

/// What sections with one account must agree on.
fn shared(config: &Config, section: &CarrierSection) -> [(&'static str, String); 6] {
    let work = &config.work;
    let concurrency = section.concurrency.unwrap_or(work.concurrency);
    let policy = section.policy.unwrap_or(work.policy);
    [
        ("per_second", section.per_second.to_string()),
        ("per_minute", section.per_minute.to_string()),
        ("per_day", section.per_day.to_string()),
        ("burst", section.burst.to_string()),
        ("concurrency", concurrency.to_string()),
        ("policy", policy.name().to_owned()),
    ]
}
