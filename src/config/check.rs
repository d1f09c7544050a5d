//! What must hold between keys, and what a text must be to be of use: the checks behind the kinds of the keys.

mod carriers;

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use tracing_subscriber::EnvFilter;

use crate::config::keys::{KeyPath, toml_text};
use crate::config::layers::Layer;
use crate::config::network::Network;
use crate::config::secret::{MASK, hide_password};
use crate::config::{Config, KafkaSasl, Problem, Span};

/// How much longer than a call's time-out a lease must be: 2 s to publish the answer, and 3 in which the call is claimed
/// and waits for its slot.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The most characters of a topic's name, as Kafka has it.
const TOPIC_CHARS_MAX: usize = 249;

/// What offsets and dead letters call the log inside the process; a topic of that name would take over its offsets.
const IN_PROCESS_TOPIC: &str = "in-process";

/// Every mistake in `config`, with the places that `layers` name.
pub fn check(config: &Config, layers: &[Layer]) -> Vec<Problem> {
    let mut check = Check {
        config,
        layers,
        problems: Vec::new(),
    };
    check.listen();
    check.proxies();
    check.cadence();
    check.store();
    check.kafka();
    check.redis();
    check.tls();
    check.log();
    check.carriers();
    check.problems
}

struct Check<'a> {
    config: &'a Config,
    layers: &'a [Layer],
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn refuse(&mut self, path: &[&str], what: impl AsRef<str>, advice: impl Into<String>) {
        let path = KeyPath::of(path);
        self.push(&path, format!("{path} {}", what.as_ref()), advice);
    }

    fn push(&mut self, path: &KeyPath, what: String, advice: impl Into<String>) {
        let place = self.place(path);
        self.problems.push(Problem {
            what,
            place,
            advice: advice.into(),
        });
    }

    fn place_of(&self, path: &[&str]) -> String {
        self.place(&KeyPath::of(path))
    }

    /// The highest layer that names the key, else the section.
    fn place(&self, path: &KeyPath) -> String {
        let section = KeyPath(path.0[..path.0.len() - 1].to_vec());
        let named = |path: &KeyPath| self.layers.iter().rev().find(|layer| layer.names(path));
        named(path)
            .or_else(|| named(&section))
            .map_or_else(|| format!("key {path}"), |layer| layer.source.place(path))
    }

    fn listen(&mut self) {
        let listens: [(&[&str], SocketAddr); 4] = [
            (&["http", "listen"], self.config.http.listen),
            (&["work", "listen"], self.config.work.listen),
            (&["consume", "listen"], self.config.consume.listen),
            (
                &["demo", "emulator_listen"],
                self.config.demo.emulator_listen,
            ),
        ];
        for (index, (path, address)) in listens.iter().enumerate() {
            let taken = listens[..index]
                .iter()
                .find(|(_, other)| overlap(*address, *other));
            if let Some((other, _)) = taken {
                let what = format!(
                    "is {address}, which {} takes already ({})",
                    other.join("."),
                    self.place_of(other)
                );
                self.refuse(
                    path,
                    what,
                    "give each its own port; port 0 takes a free one",
                );
            }
        }
    }

    fn proxies(&mut self) {
        for proxy in &self.config.http.trusted_proxies {
            if Network::parse(proxy).is_none() {
                self.refuse(
                    &["http", "trusted_proxies"],
                    format!(
                        "names {}, which is no IP address and no network",
                        shown(proxy)
                    ),
                    "give addresses such as 10.0.0.1 or networks such as 10.0.0.0/8",
                );
            }
        }
    }

    fn cadence(&mut self) {
        let work = &self.config.work;
        let (min, max) = (
            work.next_check_in_transit_min,
            work.next_check_in_transit_max,
        );
        if min > max {
            let place = self.place_of(&["work", "next_check_in_transit_max"]);
            self.refuse(
                &["work", "next_check_in_transit_min"],
                format!("is {min}, longer than work.next_check_in_transit_max, {max} ({place})"),
                format!("lower it to at most {max}, or raise work.next_check_in_transit_max"),
            );
        }
        if work.backoff.is_empty() {
            self.refuse(
                &["work", "backoff"],
                "is empty",
                "give at least one wait; the last one holds for all further failures",
            );
        }
        if work.carrier_timeout.get() + LEASE_MARGIN > work.lease.get() {
            let timeout = work.carrier_timeout;
            self.refuse(
                &["work", "carrier_timeout"],
                self.too_long_for_lease(timeout),
                self.lease_advice(timeout),
            );
        }
    }

    fn too_long_for_lease(&self, timeout: Span) -> String {
        let (lease, place) = (self.config.work.lease, self.place_of(&["work", "lease"]));
        format!("is {timeout}; with 5s to spare that is longer than work.lease, {lease} ({place})")
    }

    fn lease_advice(&self, timeout: Span) -> String {
        let lease = self.config.work.lease.get();
        let needed = Span(timeout.get() + LEASE_MARGIN);
        let raise = format!("raise work.lease to at least {needed}");
        match lease.checked_sub(LEASE_MARGIN) {
            Some(most) if !most.is_zero() => {
                format!("{raise}, or lower this to at most {}", Span(most))
            }
            _ => raise,
        }
    }

    fn store(&mut self) {
        let path = ["store", "url"];
        let url = self.config.store.url.expose();
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "sqlite" => {
                let file = url.trim_start_matches("sqlite:").trim_start_matches('/');
                if file.split('?').next().is_none_or(str::is_empty) {
                    self.refuse(&path, "names no file", "give sqlite://FILE, such as sqlite://trackbox.db");
                }
            }
            "postgres" | "postgresql" => {
                if let Err(error) = Url::parse(url) {
                    self.refuse(
                        &path,
                        format!("is {}, which is no address: {error}", shown(url)),
                        "give postgres://USER:PASSWORD@HOST:5432/DATABASE, with / @ : ? # in the password as %2F %40 \
                         %3A %3F %23",
                    );
                }
            }
            _ => self.refuse(
                &path,
                format!("is {}, which is neither SQLite nor PostgreSQL", shown(url)),
                "give sqlite://FILE, such as sqlite://trackbox.db, or postgres://USER:PASSWORD@HOST:5432/DATABASE",
            ),
        }
        self.mask(&path, url);
    }

    fn redis(&mut self) {
        let url = self.config.redis.url.expose();
        if url.is_empty() {
            return;
        }
        let parsed = Url::parse(url).ok();
        let usable =
            parsed.is_some_and(|url| ["redis", "rediss"].contains(&url.scheme()) && url.has_host());
        if !usable {
            self.refuse(
                &["redis", "url"],
                format!("is {}, which is no address of a Redis", shown(url)),
                "give redis://HOST:6379, redis://:PASSWORD@HOST:6379/0 or, with TLS, rediss://…; empty for none",
            );
        }
        self.mask(&["redis", "url"], url);
    }

    fn kafka(&mut self) {
        for broker in &self.config.kafka.brokers {
            if !is_host_and_port(broker) {
                self.refuse(
                    &["kafka", "brokers"],
                    format!("names {}, which is not host:port", shown(broker)),
                    "give each broker as localhost:9092, without a scheme",
                );
            }
        }
        let topic = &self.config.kafka.topic;
        let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
        let fits = (1..=TOPIC_CHARS_MAX).contains(&topic.chars().count());
        if !fits || !topic.chars().all(legal) || topic == "." || topic == ".." {
            self.refuse(
                &["kafka", "topic"],
                format!("is {}, which Kafka does not take as a name", shown(topic)),
                format!(
                    "give 1 to {TOPIC_CHARS_MAX} of the characters a-z, A-Z, 0-9, point, _ and -"
                ),
            );
        }
        if topic == IN_PROCESS_TOPIC {
            self.refuse(
                &["kafka", "topic"],
                format!("is {topic}, the name that the log inside the process goes by"),
                "give another name, such as tracking.updated",
            );
        }
        self.kafka_login();
    }

    /// A log-in needs a name and a password, and both need a log-in.
    fn kafka_login(&mut self) {
        let kafka = &self.config.kafka;
        let logs_in = kafka.sasl != KafkaSasl::None;
        for (name, empty) in [
            ("user", kafka.user.is_empty()),
            ("password", kafka.password.is_empty()),
        ] {
            if logs_in && empty {
                self.refuse(
                    &["kafka", name],
                    "is empty, but kafka.sasl asks for a log-in",
                    format!(
                        "give it, as TRACKBOX_KAFKA__{} for one; or set kafka.sasl = \"none\"",
                        name.to_uppercase()
                    ),
                );
            } else if !logs_in && !empty {
                self.refuse(
                    &["kafka", name],
                    "is given, but kafka.sasl is none: nobody would log in",
                    "set kafka.sasl to plain, scram-sha-256 or scram-sha-512, or leave this away",
                );
            }
        }
        self.mask(&["kafka", "password"], kafka.password.expose());
    }

    fn tls(&mut self) {
        let file = &self.config.tls.ca_file;
        if !file.is_empty() && !std::path::Path::new(file).is_file() {
            self.refuse(
                &["tls", "ca_file"],
                format!("is {}, and there is no such file", toml_text(file)),
                "give the path of a PEM file; empty for none",
            );
        }
    }

    fn log(&mut self) {
        let filter = &self.config.log.filter;
        if let Err(error) = EnvFilter::builder().parse(filter) {
            self.refuse(
                &["log", "filter"],
                format!("is {}, which is no filter: {error}", shown(filter)),
                "give error, warn, info, debug or trace, or levels by module such as info,trackbox::store=debug",
            );
        }
    }

    /// Refuses what `trackbox config` prints in a password's place.
    fn mask(&mut self, path: &[&str], text: &str) {
        let marks = [format!(":{MASK}@"), format!("/{MASK}@"), format!("={MASK}")];
        if text == MASK || marks.iter().any(|mark| text.contains(mark)) {
            self.refuse(
                path,
                format!("holds {MASK}, which stands for a secret where a configuration is shown"),
                "give the secret itself",
            );
        }
    }
}

/// A text as an error shows it: in quotes, without a password.
fn shown(text: &str) -> String {
    toml_text(&hide_password(text))
}

/// Whether two listeners cannot both have what they ask for.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let all = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || all)
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_fits = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    host_fits && port.parse::<u16>().is_ok_and(|port| port > 0)
}
