//! An event of a list: its texts, its time, its meaning.

use chrono_tz::Tz;
use serde_json::Value;

use crate::carriers::declared::condition::{Condition, Subject, any};
use crate::carriers::declared::map::{Codes, Means};
use crate::carriers::declared::path::{Path, text_of};
use crate::carriers::declared::toml::Section;
use crate::carriers::declared::when::TimeRule;
use crate::carriers::reading::raw_and_message;
use crate::carriers::reading::time::When;
use crate::carriers::texts::{DatedText, Words};
use crate::carriers::words::{Meaning, meaning_of_two, meaning_with_hint};
use crate::model::{Event, clean_payload, clean_text};

/// How events are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRule {
    /// Members of the list that are no events of the parcel.
    pub skip: Vec<Condition>,
    taken_back: Vec<Condition>,
    /// The first of these that is in the map gives the meaning.
    code: Vec<Path>,
    reason: Vec<Path>,
    raw: Vec<Path>,
    message: Vec<Path>,
    place: Vec<Path>,
    place_join: String,
    time: TimeRule,
    /// The record that is kept; the whole if there is none.
    payload: Option<Path>,
    /// What is left out of it: names and addresses of people.
    pub drop: Vec<String>,
    texts: Texts,
    hint: Hint,
    codes: Codes,
    /// `CODE/REASON`.
    pairs: Codes,
    /// The keys that identify an event, as the file has them.
    pub identity: String,
}

/// What the words of an event are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Texts {
    None,
    /// The meaning of an event whose code is not in the map.
    Ours,
    /// The detail of a status, if they agree with it.
    Refine,
}

/// What the carrier says besides code and words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hint {
    /// Words in another language, as main text and other text.
    texts: Vec<Path>,
    code: Vec<Path>,
    codes: Codes,
}

impl EventRule {
    /// `has_others` says that the codes come from another file: [`EventRule::with_codes_of`].
    pub fn read(section: &Section<'_>, map: &Section<'_>, has_others: bool) -> Option<Self> {
        let paths = |key| section.read_all(key, str::parse);
        let texts = section.read("texts", |text| match text {
            "none" => Ok(Texts::None),
            "ours" => Ok(Texts::Ours),
            "refine" => Ok(Texts::Refine),
            _ => Err("none of none, ours and refine".to_owned()),
        });
        let hint = section.section("hint");
        let rule = Self {
            skip: Condition::list(section, "skip"),
            taken_back: Condition::list(section, "taken_back"),
            code: paths("code"),
            reason: paths("reason"),
            raw: paths("raw"),
            message: paths("message"),
            place: paths("place"),
            place_join: section
                .text("place_join")
                .unwrap_or_else(|| ", ".to_owned()),
            time: TimeRule::read(section, "time")?,
            payload: section.read("payload", str::parse),
            drop: section
                .texts("drop")
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            texts: texts.unwrap_or(Texts::None),
            hint: Hint {
                texts: hint.read_all("texts", str::parse),
                code: hint.read_all("code", str::parse),
                codes: codes(&map.section("hint")),
            },
            codes: codes(map),
            pairs: codes(&map.section("pair")),
            identity: section.jsons(&["raw", "message", "place", "place_join", "time", "texts"]),
        };
        hint.done();
        rule.check(section, map, has_others);
        section.done();
        Some(rule)
    }

    fn check(&self, section: &Section<'_>, map: &Section<'_>, has_others: bool) {
        if self.code.is_empty() && self.texts != Texts::Ours {
            let advice = "write code = \"the path to the event's code\", or texts = \"ours\"";
            section.wrong(
                "code",
                "is missing, so no event would have a meaning",
                advice,
            );
        }
        if self.raw.is_empty() {
            section.wrong(
                "raw",
                "is missing",
                "write raw = \"the path to the event's code or text\"",
            );
        }
        if has_others {
            if map.is_there() {
                let advice = "leave one of them out";
                map.wrong(
                    "map",
                    "stands beside map_of, which names another file's",
                    advice,
                );
            }
            return;
        }
        if !self.code.is_empty() && self.codes.is_empty() && self.pairs.is_empty() {
            map.wrong(
                "map",
                "is missing",
                "write [map] and below it lines of a code and its meaning",
            );
        }
        if self.pairs.is_empty() != self.reason.is_empty() {
            let advice = "lines of [map.pair] are CODE/REASON";
            section.wrong("reason", "and [map.pair] need each other", advice);
        }
    }

    /// Means by its codes what another rule means by them.
    pub fn with_codes_of(&mut self, other: &Self) {
        self.codes = other.codes.clone();
        self.pairs = other.pairs.clone();
    }

    /// One event, or why it cannot be read.
    ///
    /// # Errors
    /// Why it cannot be read: without a time its repetition would look like a new one.
    pub fn event(&self, record: &Value, zone: Tz) -> Result<(When, DatedText), String> {
        let when = self.time.when(record, zone)?;
        let raw = main_text(&self.raw, record)?;
        let message = main_text(&self.message, record).unwrap_or_default();
        let code = main_text(&self.code, record)?;
        let means = self.means(record, &raw, &message);
        let (raw, message) = match self.texts {
            // The texts only refine, so an event may do without them.
            Texts::Refine if raw.is_empty() && means.is_none() => (code, message),
            Texts::Refine => (raw, message),
            Texts::None | Texts::Ours => match raw_and_message(raw, message) {
                Err(_) if !code.is_empty() => (code, String::new()),
                texts => texts?,
            },
        };
        let subject = Subject {
            http: 200,
            value: record,
            words: None,
        };
        let text = DatedText {
            raw,
            message,
            location: self.location(record),
            payload_json: self.kept(record),
            means,
            words: self.words(),
            hint: self.hinted(record),
            taken_back: any(&self.taken_back, subject),
        };
        Ok((when, text))
    }

    fn words(&self) -> Words {
        match self.texts {
            Texts::Ours => Words::Ours,
            Texts::None | Texts::Refine => Words::None,
        }
    }

    /// What its code means; `None` if that is not in the map.
    fn means(&self, record: &Value, raw: &str, message: &str) -> Option<Means> {
        let reasons = self.reason.iter().map(|path| path.text(record));
        let reason = reasons.into_iter().find(|reason| !reason.is_empty());
        let of = |code: String| {
            let pair = reason.as_ref().map(|reason| format!("{code}/{reason}"));
            let by_pair = pair.and_then(|pair| self.pairs.get(&pair));
            by_pair.or_else(|| self.codes.get(&code))
        };
        let codes = self.code.iter().map(|path| path.text(record));
        let means = codes.into_iter().find_map(of)?;
        Some(match self.texts {
            Texts::Refine => refined(means, raw, message),
            Texts::None | Texts::Ours => means,
        })
    }

    fn hinted(&self, record: &Value) -> Option<Meaning> {
        let text = |nth: usize| self.hint.texts.get(nth).map(|path| path.text(record));
        let code = self
            .hint
            .code
            .iter()
            .find_map(|path| self.hint.codes.get(&path.text(record)));
        let code = code.map(|means| Meaning::of(means.meant().0));
        meaning_with_hint(
            &text(0).unwrap_or_default(),
            &text(1).unwrap_or_default(),
            code,
        )
    }

    fn location(&self, record: &Value) -> String {
        let texts = self.place.iter().map(|path| clean_text(&path.text(record)));
        // Russian Post writes 0 for a place that it does not know.
        let is_place = |text: &String| !matches!(text.as_str(), "" | "0");
        let texts: Vec<String> = texts.filter(is_place).collect();
        let is_told = |(nth, text): &(usize, &String)| {
            let others = texts.iter().enumerate();
            let mut others = others.filter(|(place, _)| place != nth);
            others.any(|(place, other)| other.contains(*text) && (other != *text || place < *nth))
        };
        let told = texts.iter().enumerate().filter(|it| !is_told(it));
        let told: Vec<&str> = told.map(|(_, text)| text.as_str()).collect();
        clean_text(&told.join(&self.place_join))
    }

    fn kept(&self, record: &Value) -> String {
        let kept = match &self.payload {
            Some(path) => path.first(record).unwrap_or(&Value::Null),
            None => record,
        };
        if self.drop.is_empty() {
            return clean_payload(kept);
        }
        let mut kept = kept.clone();
        leave_out(&mut kept, &self.drop);
        clean_payload(&kept)
    }

    /// A known event with the meaning that the map and our words have today.
    pub fn reread(&self, event: Event, mapping_version: i32) -> Event {
        let record: Value = serde_json::from_str(&event.payload_json).unwrap_or_default();
        let record = Some(record).filter(|it| it.is_object() && self.payload.is_none());
        let (raw, message) = (&event.status_raw, &event.message);
        let by_code = match &record {
            Some(record) => self.means(record, raw, message),
            None => {
                let named = (self.texts == Texts::Refine).then(|| event.own().0.as_str());
                let means = self.codes.get(named.unwrap_or(raw));
                means.map(|means| match self.texts {
                    Texts::Refine => refined(means, raw, message),
                    Texts::None | Texts::Ours => means,
                })
            }
        };
        let hint = record.as_ref().and_then(|record| self.hinted(record));
        self.words().reread(event, by_code, hint, mapping_version)
    }
}

/// A status with the detail that words of ours have for it.
/// Leaves out the fields of these names, at any depth.
fn leave_out(value: &mut Value, names: &[String]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(name));
            fields.values_mut().for_each(|it| leave_out(it, names));
        }
        Value::Array(members) => members.iter_mut().for_each(|it| leave_out(it, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn refined(means: Means, raw: &str, message: &str) -> Means {
    let Means::Status(status, None) = means else {
        return means;
    };
    let meaning = meaning_of_two(raw, message).filter(|meaning| meaning.status == status);
    Means::Status(status, meaning.and_then(|meaning| meaning.sub_status))
}

/// The first text that says what happened; empty if none is there.
fn main_text(paths: &[Path], record: &Value) -> Result<String, String> {
    for path in paths {
        let Some(value) = path.first(record) else {
            continue;
        };
        let text = text_of(value).filter(|_| !value.is_boolean());
        let text = text.ok_or_else(|| format!("its {} is no text", path.name()))?;
        if !text.trim().is_empty() {
            return Ok(text);
        }
    }
    Ok(String::new())
}

/// A table of codes and meanings.
pub fn codes(map: &Section<'_>) -> Codes {
    let mut codes = Codes::default();
    for (code, text, span) in map.lines() {
        let added = Means::parse(&text)
            .map_err(|what| format!("is \"{text}\": {what}"))
            .and_then(|means| codes.add(&code, means));
        if let Err(what) = added {
            map.wrong_line(&code, span, &what, "give a word of docs/statuses.md");
        }
    }
    codes
}
