//! The map from phrases to meanings: the files of `words`, one for each source, compiled in.
//!
//! A file has a `source`, and under `[map]` lines of a phrase and its meaning; under `[map.pair]` the phrase is
//! `TYPE / ATTRIBUTE`. A meaning is a status or a sub-status; with ` <` behind it, the parcel is on its way back. The text
//! of a [`TAKES_BACK`] phrase revokes the event before it, and UNKNOWN is for texts that another phrase would misread.
//!
//! Of two phrases that fit a text, the one of more [`Weight`](super::phrase::Weight) counts, wherever the two stand. A
//! phrase that ends a parcel's journey (delivered, returned, cancelled) has no `..`, which could match a denial.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::Meaning;
use super::phrase::{Phrase, weight};
use crate::model::status::{Direction, Status, SubStatus};

/// The meaning of a text that revokes the event before it.
pub const TAKES_BACK: &str = "takes back";

/// The files, with their names.
pub const FILES: &[(&str, &str)] = &[
    ("belpost", include_str!("belpost.toml")),
    ("boxberry", include_str!("boxberry.toml")),
    ("cainiao", include_str!("cainiao.toml")),
    ("cdek", include_str!("cdek.toml")),
    ("common", include_str!("common.toml")),
    ("dpd_russia", include_str!("dpd_russia.toml")),
    ("english", include_str!("english.toml")),
    ("kazpost", include_str!("kazpost.toml")),
    ("marketplaces", include_str!("marketplaces.toml")),
    ("russian_post", include_str!("russian_post.toml")),
    ("shops", include_str!("shops.toml")),
];

/// All files as one, the heaviest phrases first.
pub static MAP: LazyLock<Map> = LazyLock::new(|| {
    let mut map = Map::default();
    for (name, text) in FILES {
        let file: File = toml::from_str(text)
            .unwrap_or_else(|error| panic!("the words of {name}, which tests read: {error}"));
        for (phrase, meaning) in &file.map.single {
            map.single
                .push(([Phrase::parse(phrase)], meaning_of(meaning)));
        }
        for (pair, meaning) in &file.map.pair {
            let (kind, attribute) = pair.split_once(" / ").unwrap_or((pair, ""));
            let pair = [kind, attribute].map(Phrase::parse);
            map.pairs.push((pair, meaning_of(meaning)));
        }
    }
    map.single
        .sort_by_key(|(phrase, _)| Reverse(weight(phrase)));
    map.pairs.sort_by_key(|(pair, _)| Reverse(weight(pair)));
    map
});

#[derive(Default)]
pub struct Map {
    pub single: Vec<([Phrase; 1], Meaning)>,
    /// An operation's type and its attribute.
    pub pairs: Vec<([Phrase; 2], Meaning)>,
}

#[derive(Deserialize)]
pub struct File {
    pub map: Lines,
}

#[derive(Deserialize)]
pub struct Lines {
    #[serde(default)]
    pub pair: BTreeMap<String, String>,
    #[serde(flatten)]
    pub single: BTreeMap<String, String>,
}

/// The meaning that a file's line names; a word that is none of ours means UNKNOWN.
pub fn meaning_of(name: &str) -> Meaning {
    let (word, direction) = match name.strip_suffix(" <") {
        Some(word) => (word, Direction::Return),
        None => (name, Direction::Forward),
    };
    let sub_status = SubStatus::parse(word);
    Meaning {
        status: sub_status.map_or_else(
            || Status::parse(word).unwrap_or(Status::Unknown),
            SubStatus::status,
        ),
        sub_status,
        direction,
        takes_back: name == TAKES_BACK,
    }
}
