//! A carrier's file: what it says of itself, and the rules of its requests and answers.

use std::collections::BTreeSet;

use reqwest::Url;
use serde_json::Value;

use crate::carriers::declared::condition::Condition;
use crate::carriers::declared::context::Context;
use crate::carriers::declared::facts::FactsRule;
use crate::carriers::declared::item::ItemRule;
use crate::carriers::declared::path::Path;
use crate::carriers::declared::push::PushRule;
use crate::carriers::declared::request::{Of, RequestRule};
use crate::carriers::declared::template::Name;
use crate::carriers::declared::ticket::{TicketRule, ticket};
use crate::carriers::declared::toml::{Section, read};
use crate::carriers::declared::when::TimeRule;
use crate::carriers::{CarrierError, Verdict};
use crate::config::format::is_safe;
use crate::config::mistakes::Mistake;
use crate::config::{Limit, Per, Span};
use crate::model::extra::Wants;

/// The most bytes of a file.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What may stand in a carrier's name.
const NAME_CHARS_MAX: usize = 40;

/// A carrier's file that was checked whole.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub about: About,
    pub defaults: Defaults,
    pub login: Option<LoginRule>,
    pub request: RequestRule,
    pub ticket: Option<TicketRule>,
    pub register: Option<RegisterRule>,
    pub answer: AnswerRule,
    pub item: ItemRule,
    pub facts: FactsRule,
    /// How what the carrier pushes is read; `None` if it is not.
    pub push: Option<PushRule>,
    /// The built-in file whose codes it has instead of some of its own.
    pub map_of: Option<String>,
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name in the configuration.
    pub name: String,
    /// The carrier's name for people.
    pub title: String,
    /// Where its facts are from, with the date.
    pub source: String,
    /// What the carrier allows, in a sentence.
    pub terms: String,
    /// Whether it takes the place of a built-in file of this name.
    pub replaces: bool,
}

/// What a section of the configuration has if it says nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    pub base_url: Option<Url>,
    pub limits: Vec<Limit>,
    pub min_interval: Span,
}

/// How an account gets its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRule {
    pub request: RequestRule,
    /// Whether the carrier counts it among the account's calls.
    pub counts: bool,
    /// Where the token stands in the answer; if nowhere, it is in the form of OAuth 2.0.
    pub token: Vec<Path>,
    /// When it ends, beside `token`.
    pub ends: Option<TimeRule>,
}

/// How numbers are made known to a carrier that has to be told them once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRule {
    /// The parts of an answer whose numbers are not known.
    pub when: Vec<Condition>,
    pub request: RequestRule,
}

/// How a whole answer is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRule {
    pub format: Format,
    /// The account's calls are used up.
    pub rate: Vec<Condition>,
    /// The key is refused.
    pub auth: Vec<Condition>,
    /// The account is not served.
    pub not_served: Vec<Condition>,
    /// The parts that are about one number each, at the first path that leads to any; the whole answer if there is none.
    pub items: Vec<Path>,
    /// Further parts: about numbers that the carrier refuses.
    pub refused: Vec<Path>,
    /// Where such a part names its carrier code.
    pub carrier: Option<Path>,
    /// The list in a part of which one member counts: several parcels had the number.
    pub choices: Option<Path>,
    /// Of several parts about one number, or choices in one, the one that is newest by this.
    pub newest: Option<TimeRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

impl File {
    /// Reads a file whose name is `name`.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Mistake>> {
        read(name, text, |root| {
            let version = root.number("version", 1..1_000_000);
            if version.is_none() && !root.has("version") {
                let advice = "write version = 1, and raise it when a code gets another meaning";
                root.wrong("version", "is missing", advice);
            }
            let version = i32::try_from(version.unwrap_or(1)).unwrap_or(1);
            let about = about(root);
            let defaults = defaults(&root.section("defaults"));
            let request = RequestRule::read(&root.section("request"), Of::Numbers);
            let login = login(&root.section("login"));
            let ticket = ticket(&root.section("ticket"));
            let answer = answer(&root.section("answer"));
            let map = root.section("map");
            let section = root.section("item");
            let has_others = root.has("map_of");
            let event = root.section("event");
            let item = ItemRule::read(&section, &event, &map, has_others, version);
            if item.as_ref().is_some_and(|item| !item.reads_status()) && map.has("status") {
                let what = "is missing, but there is [map.status]";
                section.wrong("status", what, "write [item.status]");
            }
            let push = PushRule::read(root, &map, version);
            map.done_with_tables();
            let file = Self {
                about: about?,
                defaults,
                login,
                request: request?,
                ticket,
                register: register(&root.section("register")),
                answer,
                item: item?,
                facts: FactsRule::read(&root.section("facts")),
                push,
                map_of: root.text("map_of"),
            };
            let has_token = file.request.templates().any(|it| it.has(Name::Token));
            if file.login.is_none() && has_token {
                let advice = "write [login], which gets the token";
                root.wrong("login", "is missing, but the request names a token", advice);
            }
            if file.request.numbers > 1 && file.answer.items.is_empty() {
                let what = "needs items, since one call takes several numbers";
                root.wrong(
                    "answer",
                    what,
                    "write items = \"the path to them\" under [answer]",
                );
            }
            if file.answer.items.is_empty() && file.register.is_some() {
                let what = "needs items, since some of the numbers may have to be registered";
                root.wrong("answer", what, "write items = \"the path to them\"");
            }
            if !file.answer.items.is_empty() && file.item.number.is_empty() {
                let what = "needs number, since an answer has several items";
                root.wrong(
                    "item",
                    what,
                    "write number = \"the path to it\" under [item]",
                );
            }
            Some(file)
        })
    }

    /// What a part of a successful answer says of its number.
    ///
    /// # Errors
    /// As [`ItemRule::verdict`].
    pub fn verdict(&self, value: &Value, context: Context<'_>) -> Result<Verdict, CarrierError> {
        let mut verdict = self.item.verdict(value, context)?;
        if let Verdict::Seen(seen) = &mut verdict {
            seen.facts = self.facts.facts(context.http, value, context.zone);
        }
        Ok(verdict)
    }

    /// What it makes of what shops tell beside a number.
    pub fn wants(&self) -> Wants {
        let mut wants = self.request.wants();
        let register = self.register.as_ref().map(|it| it.request.wants());
        let register = register.unwrap_or_default();
        for (names, more) in [
            (&mut wants.uses, register.uses),
            (&mut wants.needs, register.needs),
        ] {
            for name in more {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        wants
    }

    /// The keys of a section that must be set.
    pub fn needs(&self) -> Vec<&'static str> {
        let login = self
            .login
            .iter()
            .flat_map(|login| login.request.templates());
        let ticket = self.ticket.iter();
        let ticket = ticket.flat_map(|ticket| ticket.request.templates());
        let register = self.register.iter();
        let register = register.flat_map(|register| register.request.templates());
        let templates = self.request.templates();
        let templates = templates.chain(login).chain(ticket).chain(register);
        let names = templates.flat_map(|it| it.names());
        let needed = names.filter(|(_, may_be_empty)| !may_be_empty);
        let needs: BTreeSet<&str> = needed.filter_map(|(name, _)| name.key()).collect();
        needs.into_iter().collect()
    }
}

fn about(root: &Section<'_>) -> Option<About> {
    let name = root.needed("name", "my-carrier");
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if let Some(name) = &name
        && (name.is_empty()
            || name.len() > NAME_CHARS_MAX
            || !name.chars().all(of_name)
            || name == "none")
    {
        let what = format!("is \"{name}\", which cannot be an adapter's name");
        root.wrong(
            "name",
            &what,
            "use small letters, digits and -, as in my-carrier",
        );
    }
    let about = (
        name,
        root.needed("title", "My Carrier"),
        root.needed("source", "https://… \"Tracking API\", read 2026-11-30"),
        root.needed("terms", "250 calls a day"),
    );
    Some(About {
        name: about.0?,
        title: about.1?,
        source: about.2?,
        terms: about.3?,
        replaces: root.flag("replaces").unwrap_or(false),
    })
}

/// The address that a section's requests go to.
fn base_url(section: &Section<'_>) -> Option<Url> {
    section.read("base_url", |text| match Url::parse(text) {
        // It is printed, and a key belongs into a section.
        Ok(url)
            if url.has_authority() && (url.password().is_some() || !url.username().is_empty()) =>
        {
            Err("an address with credentials, which no file may hold".to_owned())
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Err("an address with a query, which belongs under request.query".to_owned())
        }
        Ok(url) if is_safe(&url) => Ok(url),
        Ok(_) => Err("neither https nor an address of this machine".to_owned()),
        Err(error) => Err(format!("no address: {error}")),
    })
}

fn defaults(section: &Section<'_>) -> Defaults {
    let base_url = base_url(section);
    let mut limits = Vec::new();
    for table in section.sections("limits") {
        let calls = table.number("calls", 1..1_000_000_001);
        let per = table.read("per", |text| text.parse::<Per>().map_err(str::to_owned));
        let zone = table.read("zone", |text| {
            text.parse().map_err(|_| "no time zone".to_owned())
        });
        match calls.zip(per) {
            Some((calls, per)) => limits.push(Limit {
                calls: u32::try_from(calls).unwrap_or(u32::MAX),
                per,
                zone,
            }),
            None => table.wrong(
                "calls",
                "and per are needed",
                "write { calls = 1, per = \"5s\" }",
            ),
        }
        table.done();
    }
    let span = |text: &str| text.parse::<Span>().map_err(|error| error.to_string());
    let min_interval = section.read("min_interval", span);
    section.done();
    Defaults {
        base_url,
        limits,
        min_interval: min_interval.unwrap_or(Span::from_millis(0)),
    }
}

fn login(section: &Section<'_>) -> Option<LoginRule> {
    if !section.is_there() {
        return None;
    }
    let counts = section.flag("counts").unwrap_or(false);
    let base_url = base_url(section);
    let token: Vec<Path> = section.read_all("token", str::parse);
    let ends = section.has("ends").then(|| TimeRule::read(section, "ends"));
    if ends.is_some() && token.is_empty() {
        let advice = "write token = \"the path to it\", or leave ends out";
        section.wrong("ends", "is given without token", advice);
    }
    let mut request = RequestRule::read(section, Of::Login)?;
    request.base_url = base_url;
    Some(LoginRule {
        request,
        counts,
        token,
        ends: ends.flatten(),
    })
}

fn register(section: &Section<'_>) -> Option<RegisterRule> {
    if !section.is_there() {
        return None;
    }
    let when = Condition::list(section, "when");
    if when.is_empty() {
        let advice =
            "write when = { path = …, is = … } with what a part about an unregistered number has";
        section.wrong("when", "is missing", advice);
    }
    let request = RequestRule::read(section, Of::Numbers)?;
    Some(RegisterRule { when, request })
}

fn answer(section: &Section<'_>) -> AnswerRule {
    let format = section.read("format", |text| match text {
        "json" => Ok(Format::Json),
        "xml" => Ok(Format::Xml),
        _ => Err("neither json nor xml".to_owned()),
    });
    let newest = section
        .has("newest")
        .then(|| TimeRule::read(section, "newest"));
    let rule = AnswerRule {
        format: format.unwrap_or(Format::Json),
        rate: Condition::list(section, "rate"),
        auth: Condition::list(section, "auth"),
        not_served: Condition::list(section, "not_served"),
        items: section.read_all("items", str::parse),
        refused: section.read_all("refused", str::parse),
        carrier: section.read("carrier", str::parse),
        choices: section.read("choices", str::parse),
        newest: newest.flatten(),
    };
    if rule.choices.is_some() && (rule.newest.is_none() || rule.items.is_empty()) {
        let advice = "write items and newest too: the newest choice in a part of items counts";
        section.wrong("choices", "needs items and newest", advice);
    }
    section.done();
    rule
}
