//! What an answer says of one number.

use serde_json::Value;

use crate::carriers::declared::condition::{Condition, Subject, any, first};
use crate::carriers::declared::context::Context;
use crate::carriers::declared::event::EventRule;
use crate::carriers::declared::map::Means;
use crate::carriers::declared::path::Path;
use crate::carriers::declared::status::{StatusRule, status};
use crate::carriers::declared::toml::Section;
use crate::carriers::reading::complaint::{
    beside_no_events, complaint, not_in_form, says_unknown_number, words_of_error,
};
use crate::carriers::reading::{self, misshapen};
use crate::carriers::texts::observe;
use crate::carriers::words::Meaning;
use crate::carriers::{CarrierError, Observation, Verdict};
use crate::model::{Event, Unreadable};

/// How what an answer says of one number is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRule {
    not_found: Vec<Condition>,
    invalid: Vec<Condition>,
    failed: Vec<Condition>,
    /// What shows that the carrier itself wrote it.
    own: Vec<Condition>,
    /// What shows that it is an error in words.
    error: Vec<Condition>,
    /// Where the words of an error may stand.
    pub words: Vec<Path>,
    /// Words that the carrier documents for a number that it does not know.
    unknown: Vec<Condition>,
    /// Whether such words are known by ours.
    unknown_in_our_words: bool,
    /// Where the number may stand that it is about.
    pub number: Vec<Path>,
    /// The list of events; the first that is there.
    events: Vec<Path>,
    /// Further lists of events, if they are there.
    more_events: Vec<Path>,
    /// Whether a list that is missing is an empty one.
    events_may_be_missing: bool,
    /// What shows that the parcel goes back to its sender.
    back: Vec<Condition>,
    /// What the whole says of the newest event.
    flags: Vec<(Condition, Means)>,
    status: Option<StatusRule>,
    pub version: i32,
    pub event: EventRule,
}

impl ItemRule {
    /// Reads the rule of an item, whose events are read as `event` says.
    pub fn read(
        section: &Section<'_>,
        event: &Section<'_>,
        map: &Section<'_>,
        has_others: bool,
        version: i32,
    ) -> Option<Self> {
        let conditions = |key| Condition::list(section, key);
        let paths = |key| section.read_all(key, str::parse);
        let flags = section.sections("flags");
        let flag = |table: &Section<'_>| {
            let when = Condition::list(table, "when").into_iter().next();
            let means = table.read("means", Means::parse);
            table.done();
            if when.is_none() || means.is_none() {
                table.wrong(
                    "when",
                    "and means are needed",
                    "write { when = { … }, means = \"DELIVERED\" }",
                );
            }
            when.zip(means)
        };
        let rule = Self {
            not_found: conditions("not_found"),
            invalid: conditions("invalid"),
            failed: conditions("failed"),
            own: conditions("own"),
            error: conditions("error"),
            words: paths("words"),
            unknown: conditions("unknown"),
            unknown_in_our_words: section.flag("unknown_in_our_words").unwrap_or(false),
            number: paths("number"),
            events: paths("events"),
            more_events: paths("more_events"),
            events_may_be_missing: section.flag("events_may_be_missing").unwrap_or(false),
            back: conditions("back"),
            flags: flags.iter().filter_map(flag).collect(),
            status: status(section, map),
            version,
            event: EventRule::read(event, map, has_others)?,
        };
        if rule.events.is_empty() {
            section.wrong(
                "events",
                "is missing",
                "write events = \"the path to the list of events\"",
            );
        }
        rule.check(section);
        section.done();
        Some(rule)
    }

    /// Refuses what would take an answer of another server for one about an unknown number.
    fn check(&self, section: &Section<'_>) {
        if self.not_found.iter().any(Condition::is_of_status_alone) {
            let advice = "name what stands in the carrier's own answer too, such as path = \"error\", is = \"not_found\"";
            section.wrong(
                "not_found",
                "goes by the status alone, which a wrong address has too",
                advice,
            );
        }
        if self.events_may_be_missing && self.own.is_empty() && self.number.is_empty() {
            let advice =
                "write own = { path = …, exists = true } with what each of its answers has";
            section.wrong(
                "events_may_be_missing",
                "is true, but nothing shows that the carrier itself answered",
                advice,
            );
        }
    }

    /// Whether it reads the status of the whole.
    pub fn reads_status(&self) -> bool {
        self.status.is_some()
    }

    /// What the carrier's documented signs for a number without news say.
    pub fn ruled(&self, subject: Subject<'_>, key: &str) -> Option<Verdict> {
        if any(&self.not_found, subject) {
            return Some(Verdict::NotFoundYet);
        }
        let said = |rule: &Condition| {
            let said = rule.says.as_ref().map(|path| path.text(subject.value));
            let said = said.or_else(|| subject.words.map(str::to_owned))?;
            words_of_error(&said, key).map(|words| format!("the carrier says: {words}"))
        };
        if let Some(rule) = first(&self.invalid, subject) {
            let reason = said(rule)
                .unwrap_or_else(|| "the carrier says that it is none of its numbers".to_owned());
            return Some(Verdict::Invalid { reason });
        }
        let rule = first(&self.failed, subject)?;
        let reason = said(rule)
            .unwrap_or_else(|| "the carrier reports an error without saying which".to_owned());
        Some(Verdict::Failed { reason })
    }

    /// The words of an error.
    pub fn said<'v>(&self, value: &'v Value) -> Option<&'v str> {
        let found = self.words.iter().flat_map(|path| path.all(value));
        found.into_iter().find_map(reading::complaint::words_in)
    }

    /// Whether these words of an error are documented for a number that the carrier does not know.
    pub fn is_unknown(&self, words: &str, http: u16, value: &Value) -> bool {
        let words_only = Subject {
            http,
            value,
            words: Some(words),
        };
        any(&self.unknown, words_only) || (self.unknown_in_our_words && says_unknown_number(words))
    }

    /// What the words of an error say of the number; `None` if the answer is no error, or has none.
    ///
    /// # Errors
    /// If they are about the account.
    pub fn complaint(
        &self,
        subject: Subject<'_>,
        key: &str,
    ) -> Option<Result<Verdict, CarrierError>> {
        let Subject { http, value, words } = subject;
        let words = words.filter(|_| any(&self.error, subject))?;
        let is_unknown = |said: &str| self.is_unknown(said, http, value);
        Some(complaint(words, key, is_unknown))
    }

    /// What a part of a successful answer says of its number.
    ///
    /// # Errors
    /// If it does not have the agreed form, or says that the account is not served.
    pub fn verdict(&self, value: &Value, context: Context<'_>) -> Result<Verdict, CarrierError> {
        let Context { http, key, .. } = context;
        let words = self.said(value);
        let subject = Subject { http, value, words };
        if let Some(verdict) = self.ruled(subject, key) {
            return Ok(verdict);
        }
        let complain = |said| complaint(said, key, |said| self.is_unknown(said, http, value));
        let is_own = self.own.is_empty() || any(&self.own, subject);
        if any(&self.error, subject) && (is_own || words.is_some()) {
            let of_account = words
                .is_none()
                .then(|| beside_no_events(value, key))
                .flatten();
            return match of_account {
                Some(error) => Err(error),
                None => complain(words.unwrap_or_default()),
            };
        }
        if !is_own {
            let what = self.own.iter().find_map(Condition::name);
            let what = what.map_or_else(String::new, |name| format!("it has no {name}"));
            return Err(not_in_form(value, key, &what));
        }
        let Some(mut records) = self.records(value) else {
            let name = self.events.first().map_or("events", Path::name);
            let what = format!("it has no list of {name}");
            return match words {
                Some(said) => complain(said),
                None if self.own.is_empty() => Err(not_in_form(value, key, &what)),
                None => Err(misshapen(&what)),
            };
        };
        let more = self.more_events.iter();
        records.extend(more.filter_map(|path| path.members(value)?.ok()).flatten());
        records.retain(|record| {
            let subject = Subject {
                value: record,
                words: None,
                http,
            };
            !any(&self.event.skip, subject)
        });
        let read = |record: &Value| self.event.event(record, context.zone);
        let (dated, unreadable) = reading::each(&records, key, read)?;
        let flag = self.flags.iter().find(|(flag, _)| flag.holds(subject));
        let flag = flag.map(|(_, means)| Meaning::of(means.meant().0));
        let seen = observe(dated, flag, unreadable.clone(), self.version);
        self.whole(seen, unreadable, subject, context)
    }

    /// Adds to the events what is said of the whole.
    fn whole(
        &self,
        seen: Option<Observation>,
        unreadable: Unreadable,
        subject: Subject<'_>,
        context: Context<'_>,
    ) -> Result<Verdict, CarrierError> {
        let mut seen = seen.unwrap_or_else(|| Observation {
            events: Vec::new(),
            unreadable,
            facts: None,
            mapping_version: self.version,
        });
        if any(&self.back, subject) {
            for event in &mut seen.events {
                if event.own() != Event::KEEPS {
                    (event.status, event.sub_status) =
                        Means::Status(event.status, event.sub_status).back().meant();
                }
            }
        }
        let stated = self
            .status
            .as_ref()
            .and_then(|it| it.stated(subject.value, &seen.events, context));
        let states = self
            .status
            .as_ref()
            .is_some_and(|it| it.is_told(subject.value));
        seen.events.extend(stated);
        if !seen.events.is_empty() || states {
            return Ok(Verdict::Seen(seen));
        }
        match beside_no_events(subject.value, context.key) {
            Some(error) => Err(error),
            None => Ok(Verdict::NotFoundYet),
        }
    }

    /// The list of events; `None` if it is missing, or none.
    fn records<'v>(&self, value: &'v Value) -> Option<Vec<&'v Value>> {
        if let Some(list) = self.events.iter().find_map(|path| path.members(value)) {
            return list.ok();
        }
        let first = self.events.first()?;
        let holder = match first.holder() {
            Some(holder) => holder.first(value),
            None => Some(value),
        };
        // PHP writes an object without fields as an empty list.
        let holds =
            holder.is_some_and(|it| it.is_object() || it.as_array().is_some_and(Vec::is_empty));
        (self.events_may_be_missing && holds).then(Vec::new)
    }

    /// The keys that identify events, as the file has them.
    pub fn identity(&self) -> String {
        let status = self.status.as_ref().map(|rule| rule.identity.as_str());
        format!("{} {}", self.event.identity, status.unwrap_or_default())
    }

    /// Means by its codes what another file means by them; its version grows with that one's.
    pub fn with_codes_of(&mut self, other: &Self) {
        self.version = self.version.saturating_add(other.version);
        self.event.with_codes_of(&other.event);
        if let (Some(ours), Some(theirs)) = (&mut self.status, &other.status) {
            ours.codes = theirs.codes.clone();
        }
    }

    /// A known event as it would be read today.
    pub fn reread(&self, event: Event) -> Event {
        self.event.reread(event, self.version)
    }
}
