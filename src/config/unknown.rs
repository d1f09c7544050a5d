//! What is told of a key or variable that nobody knows: where it stands, and what was probably meant.

use crate::config::Problem;
use crate::config::keys::{CARRIER_KEYS, KEYS, KeyPath, nearest, toml_key};
use crate::config::layers::{PREFIX, Source};

/// Every key there is; those of carriers where a `code` is given.
fn known_paths(code: Option<&str>) -> Vec<KeyPath> {
    let others = KEYS.iter().filter_map(|key| key.name.split_once('.'));
    let mut paths: Vec<KeyPath> = others
        .map(|(section, name)| KeyPath::of(&[section, name]))
        .collect();
    if let Some(code) = code {
        paths.extend(
            CARRIER_KEYS
                .iter()
                .map(|key| KeyPath::of(&["carriers", code, key.name])),
        );
    }
    paths
}

/// A key of a file that nobody knows.
pub fn unknown_key(source: &Source, path: &KeyPath) -> Problem {
    let code = match path.0.as_slice() {
        [_, code, _] => Some(code.as_str()),
        _ => None,
    };
    let known = known_paths(code).into_iter().map(|path| path.to_string());
    let advice = match nearest(&path.to_string(), known) {
        Some(name) => format!("did you mean {name}?"),
        None => keys_near(path),
    };
    Problem {
        what: format!("{path} is not a known key"),
        place: source.place(path),
        advice,
    }
}

/// Which keys there are where an unknown one stands.
fn keys_near(path: &KeyPath) -> String {
    let section = path.0.first().map_or("", String::as_str);
    if section == "carriers" {
        return format!("the keys of a carrier are {}", carrier_keys());
    }
    let within = KEYS.iter().filter_map(|key| key.name.split_once('.'));
    let names: Vec<&str> = within
        .filter(|(known, _)| *known == section)
        .map(|(_, name)| name)
        .collect();
    if names.is_empty() {
        let mut known: Vec<&str> = sections().collect();
        known.dedup();
        format!("the sections are {}, carriers.CODE", known.join(", "))
    } else {
        format!(
            "the keys of [{}] are {}",
            toml_key(section),
            names.join(", ")
        )
    }
}

/// A variable with our prefix that belongs to no key.
pub fn unknown_variable(name: &str) -> Problem {
    let carrier = name
        .strip_prefix("TRACKBOX_CARRIERS__")
        .and_then(|rest| rest.rsplit_once("__"));
    let code = carrier.map(|(code, _)| code);
    // The prefix that all share would make everything look alike.
    let bare = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    let known = known_paths(code)
        .into_iter()
        .map(|path| bare(&path.variable()));
    let advice = match nearest(&bare(name), known) {
        Some(known) => format!("did you mean {PREFIX}{known}?"),
        None => "name it TRACKBOX_SECTION__KEY or TRACKBOX_CARRIERS__CODE__KEY, with two underscores between; \
                 `trackbox config` shows every section and key"
            .to_owned(),
    };
    Problem {
        what: format!("{name} is the variable of no known key"),
        place: format!("variable {name}"),
        advice,
    }
}

/// The sections outside the carriers', each as often as it has keys.
pub fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter()
        .filter_map(|key| key.name.split_once('.'))
        .map(|(section, _)| section)
}

/// The keys of a carrier's section, for people.
pub fn carrier_keys() -> String {
    let names: Vec<&str> = CARRIER_KEYS.iter().map(|key| key.name).collect();
    names.join(", ")
}
