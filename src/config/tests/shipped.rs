//! The shipped file has every key with a comment and its true default.

use std::collections::{BTreeMap, BTreeSet};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

use super::{from_layers, good, of_file, span};
use crate::config::format;
use crate::config::keys::{Entry, KeyPath};
use crate::config::shape::Shape;
use crate::config::shipped::{DEMO, NORMAL, SHIPPED};
use crate::config::{CarrierSection, Config, Limit, Per, Policy, Preset, SecretUrl};
use crate::model::quota::Period;
use crate::model::tenant::TenantCode;

/// The shipped file with the commented-out keys in force.
fn uncommented() -> String {
    let lines = SHIPPED.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<&str>>().join("\n")
}

fn is_key(line: &str) -> bool {
    let name = line.split_once(" = ").map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    })
}

/// The keys of a table of sections, carriers' keys without their code.
fn keys_of(sections: &Dict) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (section, value) in sections {
        let inner = value.as_dict().expect("a section");
        if section == "carriers" {
            let carriers = inner.values().filter_map(Value::as_dict);
            keys.extend(carriers.flat_map(|carrier| carrier.keys().cloned()));
        } else {
            keys.extend(inner.keys().map(|key| format!("{section}.{key}")));
        }
    }
    keys
}

fn known() -> BTreeSet<String> {
    let name = |key: &KeyPath| match key.0.as_slice() {
        [_, _, name] => name.clone(),
        _ => key.to_string(),
    };
    super::known("CDEK").iter().map(name).collect()
}

#[test]
fn every_key_is_in_the_shipped_file_and_every_key_there_is_known() {
    let sections: Dict = Toml::from_str(&uncommented()).expect("TOML");
    assert_eq!(keys_of(&sections), known());
}

#[test]
fn the_types_have_exactly_the_known_keys() {
    let full = CarrierSection {
        timeout: Some(span("1s")),
        concurrency: Some(1),
        policy: Some(Policy::Learned),
        budget: Some("b".to_owned()),
        per_minute: Some(1),
        numbers: Some(1),
        tenants: Some(Vec::new()),
        limits: vec![Limit {
            calls: 1,
            per: Per::Calendar(Period::Day),
            zone: None,
        }],
        ..CarrierSection::default()
    };
    let config = Config {
        carriers: BTreeMap::from([("X".to_owned(), full)]),
        ..Config::default()
    };
    let sections = Value::serialize(&config)
        .expect("plain values")
        .into_dict()
        .expect("sections");
    assert_eq!(keys_of(&sections), known());
}

#[test]
fn the_commented_out_keys_show_their_true_defaults() {
    let mut expected = Config::default();
    let cdek = expected.carriers.get_mut("CDEK").expect("shipped");
    // What the adapter's file names.
    cdek.base_url = SecretUrl::new("http://localhost:9000");
    cdek.timeout = Some(span("10s"));
    cdek.concurrency = Some(10);
    cdek.policy = Some(Policy::Fixed);
    cdek.budget = Some("CDEK".to_owned());
    cdek.numbers = Some(1);
    cdek.tenants = Some(vec![TenantCode::default()]);
    assert_eq!(of_file(&uncommented()), Ok(expected));
}

#[test]
fn every_key_of_the_shipped_file_has_a_comment_above() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    for key in super::known("CDEK") {
        let (name, section) = key.0.split_last().expect("a key has a name");
        let section = section.join(".");
        let start = lines
            .iter()
            .position(|line| *line == format!("[{section}]"))
            .expect("the section");
        let is_it = |line: &&str| {
            line.trim_start_matches("# ")
                .starts_with(&format!("{name} = "))
        };
        let at = start + lines[start..].iter().position(is_it).expect("the key");
        let above = lines[at - 1];
        assert!(
            above.starts_with("# ") && above.ends_with('.'),
            "{key}: {above}"
        );
    }
}

#[test]
fn the_keys_of_a_preset_are_commented_out_with_both_values() {
    for (word, preset) in [("normal", NORMAL), ("demo", DEMO)] {
        let preset: Dict = Toml::from_str(preset).expect("TOML");
        let keys = preset["work"].as_dict().expect("a section");
        for (name, value) in keys.iter().filter(|(name, _)| *name != "cadence") {
            let (above, _) = SHIPPED
                .split_once(&format!("# {name} = "))
                .expect("commented out");
            assert!(!SHIPPED.contains(&format!("\n{name} = ")), "{name}");
            let comment = above.rsplit_once("# (preset)").expect("marked").1;
            let values = match value {
                Value::Array(_, members) => members
                    .iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
                value => value.as_str().expect("a span").to_owned(),
            };
            assert!(
                comment.contains(&format!("{word} {values}")),
                "{name}: {comment}"
            );
        }
    }
}

#[test]
fn every_number_has_a_range_and_every_format_is_described() {
    for key in super::known("CDEK") {
        let Some(Entry::Key(schema)) = key.entry() else {
            panic!("{key} is no key");
        };
        let format = schema["format"].as_str().unwrap_or_default();
        match Shape::of(schema) {
            Shape::Number { max, .. } => assert!(max < u64::MAX, "{key}"),
            Shape::Span { .. } | Shape::Choice(_) | Shape::Flag | Shape::Table(_) => {}
            Shape::Text(_) | Shape::List(_) => assert_eq!(
                format.is_empty(),
                format::expected(format) == format::expected(""),
                "{key}"
            ),
        }
    }
}

#[test]
fn every_example_is_good_for_its_key() {
    for key in super::known("CDEK") {
        // The emulator signs what it pushes.
        let beside = match key.name() {
            "push_secret" => "\ncarriers.CDEK.push_key = \"k\"",
            _ => "",
        };
        let config = of_file(&format!("{key} = {}{beside}", good(&key)));
        assert!(config.is_ok(), "{key}: {config:?}");
    }
}

#[test]
fn the_defaults_shown_load_again_to_the_same() {
    for cadence in [Preset::Normal, Preset::Demo] {
        let config = from_layers(None, &[], Some(cadence)).expect("the defaults");
        assert_eq!(from_layers(Some(&config.shown()), &[], None), Ok(config));
    }
}

#[test]
fn the_defaults_are_those_that_users_rely_on() {
    let config = Config::default();
    let listens = [
        config.http.listen,
        config.work.listen,
        config.consume.listen,
        config.demo.emulator_listen,
    ];
    let listens = listens.map(|listen| listen.to_string());
    assert_eq!(
        listens,
        [
            "127.0.0.1:8080",
            "127.0.0.1:8082",
            "127.0.0.1:8083",
            "127.0.0.1:9000"
        ]
    );
    assert_eq!(config.http.body_limit_bytes, 8 * 1024 * 1024);
    assert_eq!(
        (config.http.flood_per_second, config.http.flood_burst),
        (2_000, 10_000)
    );
    assert_eq!(
        (
            config.work.batch,
            config.work.concurrency,
            config.work.grace
        ),
        (100, 10, span("8s"))
    );
    assert_eq!(config.store.url.expose(), "sqlite://trackbox.db");
    assert_eq!(
        (config.kafka.topic.as_str(), config.kafka.partitions),
        ("tracking.updated", 12)
    );
    assert!(config.kafka.brokers.is_empty() && config.redis.url.is_empty());
    assert_eq!(config.cache.ttl, span("600s"));
    let limits: Vec<(&str, u32)> = config
        .carriers
        .iter()
        .map(|(code, it)| (code.as_str(), it.per_minute()))
        .collect();
    assert_eq!(limits, [("*", 120), ("CDEK", 60), ("POST_RU", 20)]);
    assert!(
        config
            .carriers
            .values()
            .all(|it| it.adapter == "emulator" && it.base_url.is_empty())
    );
}
