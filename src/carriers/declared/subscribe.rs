//! What a carrier's file says of subscriptions: how the carrier is asked to push.

use serde_json::Value;

use crate::carriers::Asked;
use crate::carriers::declared::condition::Condition;
use crate::carriers::declared::path::{Path, text_of};
use crate::carriers::declared::request::{Of, RequestRule};
use crate::carriers::declared::toml::Section;
use crate::carriers::subscription::Subscription;
use crate::config::Span;

/// How subscriptions are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRule {
    pub request: RequestRule,
    /// Whether it is of numbers, rather than of the account as a whole.
    of_numbers: bool,
    lasts: Option<Span>,
    /// An answer that means that nothing is subscribed, although it has the status of a success.
    pub failed: Vec<Condition>,
    /// The numbers that the carrier does not take.
    refused: Vec<Path>,
}

/// Reads the rule; `None` if the carrier is told on its own pages.
pub fn subscribe(section: &Section<'_>) -> Option<SubscribeRule> {
    if !section.is_there() {
        return None;
    }
    let lasts = section.read("lasts", |text| {
        text.parse::<Span>().map_err(|error| error.to_string())
    });
    let failed = Condition::list(section, "failed");
    let refused: Vec<Path> = section.read_all("refused", str::parse);
    if lasts.is_some_and(|lasts| lasts.get().is_zero()) {
        section.wrong("lasts", "is nothing", "leave it out if it does not end");
    }
    let given = section.has("refused");
    let request = RequestRule::read(section, Of::Subscription)?;
    let of_numbers = request.names_numbers();
    if given && !of_numbers {
        let advice = "leave it out, or put {number} into the request";
        section.wrong("refused", "is given, but no number is subscribed", advice);
    }
    Some(SubscribeRule {
        request,
        of_numbers,
        lasts,
        failed,
        refused,
    })
}

impl SubscribeRule {
    pub fn subscription(&self) -> Subscription {
        Subscription {
            numbers: match self.of_numbers {
                true => self.request.numbers,
                false => 0,
            },
            lasts: self.lasts.map(|lasts| lasts.get()),
        }
    }

    /// Those of `asked` that an answer names as not taken.
    pub fn not_taken(&self, asked: &[Asked], value: &Value) -> Vec<Asked> {
        let named = self.refused.iter().flat_map(|path| path.all(value));
        let named: Vec<String> = named.filter_map(text_of).collect();
        let is_named = |asked: &&Asked| {
            let number = asked.number.as_str();
            named
                .iter()
                .any(|it| it.trim().eq_ignore_ascii_case(number))
        };
        asked.iter().filter(is_named).cloned().collect()
    }
}
