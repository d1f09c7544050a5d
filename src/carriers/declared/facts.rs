//! What an answer says of a parcel beside its events.

use chrono_tz::Tz;
use serde_json::Value;
use strum::VariantArray as _;

use crate::carriers::declared::condition::{Condition, Subject, any};
use crate::carriers::declared::path::{Path, first_text};
use crate::carriers::declared::toml::Section;
use crate::carriers::declared::when::TimeRule;
use crate::model::facts::{Expected, Facts, NumberKind, PIECES_MAX, Related, fact_text};

/// What stands between the parts of a place.
const PLACE_JOIN: &str = ", ";

/// Where facts stand in a part of an answer that is about one number. A fact that cannot be read is as if it were not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsRule {
    /// A time of which only the day is meant.
    expected_on: Option<TimeRule>,
    expected_from: Option<TimeRule>,
    expected_to: Option<TimeRule>,
    /// A person's name.
    pub signed_by: Vec<Path>,
    /// A number, or a list of the pieces.
    pieces: Vec<Path>,
    service: Vec<Path>,
    /// The parts of a place.
    origin: Vec<Path>,
    destination: Vec<Path>,
    numbers: Vec<NumberRule>,
}

/// Where other numbers of one kind stand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NumberRule {
    kind: NumberKind,
    /// The list of things that have such a number; the whole part if there is none.
    list: Option<Path>,
    /// What one of them has to be.
    when: Vec<Condition>,
    number: Vec<Path>,
}

impl FactsRule {
    pub fn read(section: &Section<'_>) -> Self {
        let time = |key| section.has(key).then(|| TimeRule::read(section, key));
        let paths = |key| section.read_all(key, str::parse);
        let rule = Self {
            expected_on: time("expected_on").flatten(),
            expected_from: time("expected_from").flatten(),
            expected_to: time("expected_to").flatten(),
            signed_by: paths("signed_by"),
            pieces: paths("pieces"),
            service: paths("service"),
            origin: paths("origin"),
            destination: paths("destination"),
            numbers: section
                .sections("numbers")
                .iter()
                .filter_map(NumberRule::read)
                .collect(),
        };
        section.done();
        rule
    }

    /// What a part of an answer says; `None` if nothing. Times without an offset and a zone of their own are in `zone`.
    pub fn facts(&self, http: u16, value: &Value, zone: Tz) -> Option<Facts> {
        let when = |rule: &Option<TimeRule>| rule.as_ref()?.when(value, zone).ok();
        let day = when(&self.expected_on).map(|when| Expected::Day(when.day()));
        let day = day.and_then(Expected::bounded);
        let time = |rule: &Option<TimeRule>| {
            let when = when(rule)?;
            let day = when.day_alone().map(Expected::Day);
            day.unwrap_or(Expected::At(when.at)).bounded()
        };
        let text = |paths: &[Path]| fact_text(&first_text(paths, value));
        let place = |paths: &[Path]| {
            let parts = paths.iter().map(|path| path.text(value));
            let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
            fact_text(&parts.join(PLACE_JOIN))
        };
        let numbers = self.numbers.iter();
        Facts {
            expected_from: time(&self.expected_from).or(day),
            expected_to: time(&self.expected_to).or(day),
            signed_by: text(&self.signed_by),
            pieces: self.pieces.iter().find_map(|path| pieces(path, value)),
            service: text(&self.service),
            origin: place(&self.origin),
            destination: place(&self.destination),
            numbers: numbers.flat_map(|rule| rule.numbers(http, value)).collect(),
        }
        .bounded()
    }
}

impl NumberRule {
    fn read(table: &Section<'_>) -> Option<Self> {
        let kind = |text: &str| {
            let kinds = NumberKind::VARIANTS.iter().map(|kind| kind.into());
            let kinds: Vec<&str> = kinds.collect();
            NumberKind::parse(text).ok_or_else(|| format!("none of {}", kinds.join(", ")))
        };
        let kind = table.read("kind", kind);
        let rule = kind.map(|kind| Self {
            kind,
            list: table.read("list", str::parse),
            when: Condition::list(table, "when"),
            number: table.read_all("number", str::parse),
        });
        match &rule {
            None if !table.has("kind") => table.wrong("kind", "is missing", EXAMPLE),
            Some(rule) if rule.number.is_empty() => table.wrong("number", "is missing", EXAMPLE),
            None | Some(_) => {}
        }
        table.done();
        rule
    }

    fn numbers<'a>(
        &'a self,
        http: u16,
        value: &'a Value,
    ) -> impl Iterator<Item = Related> + use<'a> {
        let things = match &self.list {
            Some(list) => list.members(value).and_then(Result::ok).unwrap_or_default(),
            None => vec![value],
        };
        let fits = move |thing: &&Value| {
            let subject = Subject {
                http,
                value: thing,
                words: None,
            };
            self.when.is_empty() || any(&self.when, subject)
        };
        things
            .into_iter()
            .filter(fits)
            .filter_map(|thing| Related::of(self.kind, &first_text(&self.number, thing)))
    }
}

const EXAMPLE: &str = "write { kind = \"RETURN\", number = \"the path to it\" }";

/// How many pieces stand here: a number, or how many members a list has.
fn pieces(path: &Path, value: &Value) -> Option<u32> {
    let count = match path.first(value)? {
        Value::Array(members) => u32::try_from(members.len()).ok(),
        _ => path.text(value).parse().ok(),
    };
    count.filter(|count| (1..=PIECES_MAX).contains(count))
}
