//! When an event happened: which fields say so, and in which zone.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono_tz::Tz;
use serde_json::Value;

use crate::carriers::declared::path::{Path, first_text};
use crate::carriers::declared::toml::Section;
use crate::carriers::reading::time::{When, when};

/// The zone of each country whose places have had one time since 2023, by ISO 3166 code (tz database 2025b, zone.tab), and
/// China's legal time.
static COUNTRIES: LazyLock<HashMap<&str, Tz>> = LazyLock::new(|| {
    let lines = include_str!("countries.tsv").lines();
    let zones = lines.filter_map(|line| line.split_once('\t'));
    zones
        .filter_map(|(country, zone)| Some((country, zone.parse().ok()?)))
        .collect()
});

/// How deep `else` may lie in each other.
const DEPTH_MAX: usize = 4;

/// How the time of an event is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeRule {
    /// The whole time, or its date; the first that is there.
    date: Vec<Path>,
    /// The time of day, if it stands apart.
    time: Option<Path>,
    /// The offset, if it stands apart.
    offset: Option<Path>,
    /// Offsets that the carrier names in words.
    offsets: HashMap<String, String>,
    /// Forms that the common reader does not know, as strftime writes them.
    forms: Vec<String>,
    zone: Zone,
    /// How it is read of a record that has no such date.
    otherwise: Option<Box<TimeRule>>,
}

/// The zone of times without an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Zone {
    /// Where the country of the event stands.
    country: Vec<Path>,
    /// The zone of all others; the section's if there is none.
    fixed: Option<Tz>,
}

impl TimeRule {
    /// Reads the rule: a path, or a table.
    pub fn read(section: &Section<'_>, key: &'static str) -> Option<Self> {
        Self::read_in(section, key, 0)
    }

    fn read_in(section: &Section<'_>, key: &'static str, depth: usize) -> Option<Self> {
        if section.has_texts(key) {
            let date = section.read_all(key, str::parse);
            return Some(Self {
                date,
                time: None,
                offset: None,
                offsets: HashMap::new(),
                forms: Vec::new(),
                zone: Zone {
                    country: Vec::new(),
                    fixed: None,
                },
                otherwise: None,
            });
        }
        let table = section.section(key);
        if !table.is_there() {
            let advice = "write time = \"the path to it\", or time = { path = … }";
            section.wrong(key, "is missing", advice);
            return None;
        }
        let zone = |text: &str| {
            let zone = text.parse::<Tz>();
            zone.map_err(|_| "no time zone such as Europe/Berlin".to_owned())
        };
        let form = |text: &str| {
            let items = StrftimeItems::new(text);
            let is_wrong = items.into_iter().any(|item| item == Item::Error);
            match is_wrong || text.is_empty() {
                true => Err("no form of a time such as %d/%m/%Y %H:%M".to_owned()),
                false => Ok(text.to_owned()),
            }
        };
        let offsets = table.section("offsets");
        let lines = offsets.lines().into_iter();
        let lines = lines.map(|(name, offset, _)| (name.to_uppercase(), offset));
        let rule = Self {
            date: table.read_all("path", str::parse),
            time: table.read("time", str::parse),
            offset: table.read("offset", str::parse),
            offsets: lines.collect(),
            forms: table.read_all("forms", form),
            zone: Zone {
                country: table.read_all("country", str::parse),
                fixed: table.read("zone", zone),
            },
            otherwise: match table.has("else") && depth < DEPTH_MAX {
                true => Self::read_in(&table, "else", depth + 1).map(Box::new),
                false => None,
            },
        };
        if rule.date.is_empty() {
            table.wrong(
                "path",
                "is missing",
                "write path = \"the path to the time\"",
            );
        }
        table.done();
        Some(rule)
    }

    /// The time of a record; without an offset and a zone of its own it is in `section`'s.
    ///
    /// # Errors
    /// Why it cannot be read, with its words.
    pub fn when(&self, record: &Value, section: Tz) -> Result<When, String> {
        let zone = self.zone.of(record).unwrap_or(section);
        let found = self.date.iter().find_map(|path| path.first(record));
        if let (None, Some(otherwise)) = (found, &self.otherwise) {
            return otherwise.when(record, section);
        }
        let value = found.unwrap_or(&Value::Null);
        let part = |path: &Option<Path>| path.as_ref().map(|path| path.text(record));
        let (time, offset) = (part(&self.time), part(&self.offset));
        if time.is_none() && offset.is_none() && self.forms.is_empty() {
            return when(value, zone);
        }
        let mut text = first_text(&self.date, record);
        let is_empty = text.is_empty();
        for further in [time, offset.map(|offset| self.named(offset))]
            .into_iter()
            .flatten()
        {
            if !further.is_empty() && !is_empty {
                text.push(' ');
                text.push_str(&further);
            }
        }
        let known = self.forms.iter().find_map(|form| in_our_form(&text, form));
        when(&Value::from(known.unwrap_or(text)), zone)
    }

    /// An offset, or the one that a word stands for.
    fn named(&self, offset: String) -> String {
        self.offsets
            .get(&offset.to_uppercase())
            .cloned()
            .unwrap_or(offset)
    }
}

impl Zone {
    fn of(&self, record: &Value) -> Option<Tz> {
        let country = first_text(&self.country, record).to_uppercase();
        COUNTRIES.get(country.as_str()).copied().or(self.fixed)
    }
}

/// A time in a carrier's form, in one that the common reader knows; `None` if it has another form.
fn in_our_form(text: &str, form: &str) -> Option<String> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, StrftimeItems::new(form)).ok()?;
    let date = parsed.to_naive_date().ok()?;
    let time = parsed.to_naive_time().ok();
    let time = time.map_or_else(String::new, |time| {
        format!("T{}", time.format("%H:%M:%S%.f"))
    });
    let offset = parsed.to_fixed_offset().ok();
    let offset = offset.map_or_else(String::new, |offset| offset.to_string());
    Some(format!("{}{time}{offset}", date.format("%Y-%m-%d")))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::{COUNTRIES, TimeRule};
    use crate::carriers::declared::toml::read;
    use crate::carriers::reading::time::when;

    fn rule(text: &str) -> TimeRule {
        let rule = read("a file", &format!("time = {text}"), |root| {
            TimeRule::read(root, "time")
        });
        rule.expect("is right")
    }

    fn same(text: &str, record: &Value, expected: &str) {
        let read = rule(text).when(record, Tz::UTC).map(|when| when.at);
        let expected = when(&json!(expected), Tz::UTC).map(|when| when.at);
        assert!(expected.is_ok());
        assert_eq!(read, expected, "{text} of {record}");
    }

    #[test]
    fn a_time_is_read_by_each_kind_of_rule() {
        let record = json!({
            "t": "2026-08-04T12:42:08+0000", "local": "2026-11-20T10:00:00", "d": "20261120", "h": "101500",
            "o": "-05:00", "z": "EST", "us": "8/17/2026 7:11:26 PM", "c": "de", "russia": "RU", "unix": 1_763_900_000,
        });
        same("'t'", &record, "2026-08-04T12:42:08Z");
        same("['x', 't']", &record, "2026-08-04T12:42:08Z");
        same("'unix'", &record, "2025-11-23T12:13:20Z");
        let apart = "{ path = 'x', else = { path = 'd', time = 'h', zone = 'Europe/Amsterdam' } }";
        same(apart, &record, "2026-11-20T09:15:00Z");
        let first = "{ path = 't', else = { path = 'd', time = 'h' } }";
        same(first, &record, "2026-08-04T12:42:08Z");
        same(
            "{ path = 'local', zone = 'Europe/Amsterdam' }",
            &record,
            "2026-11-20T09:00:00Z",
        );
        same(
            "{ path = 'local', country = 'c' }",
            &record,
            "2026-11-20T09:00:00Z",
        );
        let several = "{ path = 'local', country = 'russia', zone = 'Asia/Tokyo' }";
        same(several, &record, "2026-11-20T01:00:00Z");
        same(
            "{ path = 'd', time = 'h', offset = 'o' }",
            &record,
            "2026-11-20T15:15:00Z",
        );
        let named = "{ path = 'd', time = 'h', offset = 'z', offsets = { EST = '-05:00' } }";
        same(named, &record, "2026-11-20T15:15:00Z");
        same(
            "{ path = 'us', forms = '%m/%d/%Y %I:%M:%S %p' }",
            &record,
            "2026-08-17T19:11:26Z",
        );
        assert!(
            rule("{ path = 'us', forms = '%d/%m/%Y' }")
                .when(&record, Tz::UTC)
                .is_err()
        );
        assert!(rule("'x'").when(&record, Tz::UTC).is_err());
    }

    #[test]
    fn every_line_of_the_countries_names_a_zone() {
        let lines = include_str!("countries.tsv").lines().count();
        assert_eq!(COUNTRIES.len(), lines);
        assert_eq!(COUNTRIES.get("RU"), None);
    }

    #[test]
    fn a_wrong_rule_is_refused() {
        for wrong in [
            "{ path = 'a', zone = 'Mars' }",
            "{ path = 'a', forms = '%!' }",
            "{}",
            "7",
        ] {
            let rule = read("a file", &format!("time = {wrong}"), |root| {
                TimeRule::read(root, "time")
            });
            assert!(rule.is_err() || wrong == "7", "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_in_any_form_is_read_or_refused(text in any::<String>(), near in "[0-9/: APM]{0,20}") {
            let rule = rule("{ path = 't', offset = 'o', forms = ['%m/%d/%Y %I:%M:%S %p', '%d %b %y', '%s'] }");
            for text in [text, near] {
                drop(rule.when(&json!({"t": text, "o": text}), Tz::UTC));
            }
        }
    }
}
