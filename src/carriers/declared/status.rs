//! The status that a carrier gives the whole parcel, beside its events.

use serde_json::Value;

use crate::carriers::declared::context::Context;
use crate::carriers::declared::event::codes;
use crate::carriers::declared::map::{Codes, Means};
use crate::carriers::declared::path::{Path, first_text, text_of};
use crate::carriers::declared::toml::Section;
use crate::carriers::declared::when::TimeRule;
use crate::model::Event;

/// The status that a carrier gives the whole parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRule {
    code: Vec<Path>,
    raw: Vec<Path>,
    time: Option<TimeRule>,
    /// It counts only if there is no event.
    only_without_events: bool,
    pub codes: Codes,
    /// The keys that identify it, as the file has them.
    pub identity: String,
}

/// Reads the rule for the whole parcel's status of an item; `None` if there is none.
pub fn status(item: &Section<'_>, map: &Section<'_>) -> Option<StatusRule> {
    let section = item.section("status");
    let table = map.section("status");
    let codes = codes(if table.is_there() { &table } else { map });
    if !section.is_there() {
        return None;
    }
    let time = section
        .has("time")
        .then(|| TimeRule::read(&section, "time"));
    let rule = StatusRule {
        code: section.read_all("code", str::parse),
        raw: section.read_all("raw", str::parse),
        time: time.flatten(),
        only_without_events: section.flag("only_without_events").unwrap_or(true),
        codes,
        identity: section.jsons(&["raw", "time"]),
    };
    if rule.code.is_empty() {
        section.wrong(
            "code",
            "is missing",
            "write code = \"the path to the status\"",
        );
    }
    section.done();
    Some(rule)
}

impl StatusRule {
    pub fn is_told(&self, value: &Value) -> bool {
        !first_text(&self.code, value).is_empty()
    }

    /// The status as an event; `None` if it follows from the events, or nothing is said.
    pub fn stated(&self, value: &Value, events: &[Event], context: Context<'_>) -> Option<Event> {
        if !self.is_told(value) || (self.only_without_events && !events.is_empty()) {
            return None;
        }
        let codes = self.code.iter().map(|path| path.text(value));
        let means = codes.into_iter().find_map(|code| self.codes.get(&code));
        let (status, sub_status) = match means {
            Some(Means::Keep) => return None,
            Some(means) => means.meant(),
            None => Default::default(),
        };
        let raw = self.raw.iter().find_map(|path| {
            let text = path.first(value).and_then(text_of)?;
            (!text.is_empty()).then_some(text)
        });
        let known = means.is_some() && !self.raw.is_empty();
        let unnamed = if known {
            String::new()
        } else {
            first_text(&self.code, value)
        };
        let newest = events.last().filter(|event| event.status == status);
        let sub_status = sub_status.or(newest.and_then(|event| event.sub_status));
        let at = self
            .time
            .as_ref()
            .and_then(|rule| rule.when(value, context.zone).ok());
        Event::stated(
            (status, sub_status),
            &raw.unwrap_or(unnamed),
            at.map(|when| when.at),
            events,
            context.now,
        )
    }
}
