//! Tickets: the answer to a request names one, and the answer of the numbers is asked for with it later.

use serde_json::Value;

use crate::carriers::Ticket;
use crate::carriers::declared::condition::{Condition, Subject, any, first};
use crate::carriers::declared::path::{Path, first_text};
use crate::carriers::declared::request::{Of, RequestRule};
use crate::carriers::declared::toml::Section;
use crate::carriers::reading::complaint::words_of_error;
use crate::config::Span;

/// The most characters of a ticket's name.
const NAME_CHARS_MAX: usize = 1_000;

/// How a carrier gives tickets, and what is sent for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketRule {
    pub request: RequestRule,
    /// The paths to the ticket in the answer to the request for the numbers.
    id: Vec<Path>,
    wait: Span,
    ends_after: Span,
    not_ready: Vec<Condition>,
    gone: Vec<Condition>,
}

/// Reads the rule; `None` if the carrier answers at once.
pub fn ticket(section: &Section<'_>) -> Option<TicketRule> {
    if !section.is_there() {
        return None;
    }
    let id = section.read_all("id", str::parse);
    let not_ready = Condition::list(section, "not_ready");
    let gone = Condition::list(section, "gone");
    let span = |key| {
        let span = section.read(key, |text| {
            text.parse::<Span>().map_err(|error| error.to_string())
        });
        span.filter(|span| !span.get().is_zero())
    };
    let (wait, ends_after) = (span("wait"), span("ends_after"));
    let missing = [
        ("id", id.is_empty(), "id = \"the path to the ticket\""),
        ("wait", wait.is_none(), "wait = \"15m\""),
        ("ends_after", ends_after.is_none(), "ends_after = \"24h\""),
        ("not_ready", not_ready.is_empty(), "not_ready = { … }"),
    ];
    for (key, _, example) in missing.iter().filter(|it| it.1) {
        section.wrong(key, "is missing or nothing", &format!("write {example}"));
    }
    if wait >= ends_after {
        let advice = "give the ticket time to be asked for several times";
        section.wrong("ends_after", "is not longer than wait", advice);
    }
    let request = RequestRule::read(section, Of::Ticket);
    Some(TicketRule {
        request: request?,
        id,
        wait: wait?,
        ends_after: ends_after?,
        not_ready,
        gone,
    })
}

impl TicketRule {
    /// The ticket that an answer names; `None` if it names none.
    pub fn named(&self, value: &Value) -> Option<Ticket> {
        let id = first_text(&self.id, value);
        let chars = id.chars().count();
        (1..=NAME_CHARS_MAX)
            .contains(&chars)
            .then(|| self.again(id))
    }

    /// A known ticket that is asked for again.
    pub fn again(&self, id: String) -> Ticket {
        Ticket {
            id,
            wait: self.wait.get(),
            ends_after: self.ends_after.get(),
        }
    }

    /// Whether an answer says that the ticket is not ready.
    pub fn is_not_ready(&self, subject: Subject<'_>) -> bool {
        any(&self.not_ready, subject)
    }

    /// The carrier's words for a ticket that it no longer knows; `None` if the answer does not say so.
    pub fn gone(&self, subject: Subject<'_>, key: &str) -> Option<String> {
        let rule = first(&self.gone, subject)?;
        let said = rule.says.as_ref().map(|path| path.text(subject.value));
        let said = said.or_else(|| subject.words.map(str::to_owned));
        let said = said.and_then(|said| words_of_error(&said, key));
        Some(said.unwrap_or_else(|| "in no words".to_owned()))
    }
}
