//! Carriers as files: one reader for every carrier whose API is requests and answers of a plain form.
//!
//! A file (`carriers/*.toml`, compiled in, or a user's own) says what to send and where in the answer things stand, and
//! maps the carrier's codes to ours. It has no code, no loops and no regular expressions, so that what it may do is plain and
//! the work bounded by the answer's size. docs/carriers.md describes the form.

mod body;
mod condition;
mod context;
mod event;
mod facts;
pub mod file;
mod item;
mod items;
mod kept;
pub mod map;
mod path;
mod push;
mod refusal;
mod request;
mod status;
mod subscribe;
mod subscribed;
mod template;
#[cfg(test)]
mod tests;
mod ticket;
mod token;
mod told;
mod toml;
mod when;
pub mod xml;

use std::sync::Arc;

use serde_json::Value;

use crate::carriers::declared::condition::Subject;
use crate::carriers::declared::context::Context;
use crate::carriers::declared::file::{File, Format, LoginRule};
use crate::carriers::declared::items::{Items, items};
use crate::carriers::declared::subscribe::SubscribeRule;
use crate::carriers::declared::told::{hide, needs};
use crate::carriers::login::oauth_token;
use crate::carriers::push::Signature;
use crate::carriers::reading::complaint::not_in_form;
use crate::carriers::reading::number::another;
use crate::carriers::subscription::{Callback, Subscription};
use crate::carriers::{
    Access, Answer, Asked, Auth, Carrier, CarrierError, Login, Pushed, Request, Sighting, State,
    Step, Verdict, reading,
};
use crate::clock::Time;
use crate::model::Event;
use crate::model::extra::Wants;
use crate::model::token::Token;

/// The stages of a check that ask for a ticket's answer, and that register numbers.
const REDEEMS: u32 = 1;
const REGISTERS: u32 = 2;

/// An account at a carrier that a file describes.
pub struct Declared {
    name: &'static str,
    file: Arc<File>,
    access: Access,
    /// What no error may show, one a line.
    secrets: String,
    wants: Wants,
}

impl Declared {
    pub fn new(name: &'static str, file: Arc<File>, access: Access) -> Self {
        let secrets = [&access.api_key, &access.secret];
        let secrets: Vec<&str> = secrets
            .into_iter()
            .map(String::as_str)
            .filter(|it| !it.is_empty())
            .collect();
        let secrets = secrets.join("\n");
        Self {
            wants: file.wants(),
            name,
            file,
            access,
            secrets,
        }
    }

    /// How the account logs in; `None` if it does not.
    fn login_rule(&self) -> Option<&LoginRule> {
        let rule = self.file.login.as_ref()?;
        rule.request.is_complete(&self.access).then_some(rule)
    }

    /// What the carrier wrote, as JSON.
    fn body(&self, answer: &Answer) -> Result<Value, CarrierError> {
        match self.file.answer.format {
            Format::Json => reading::json(answer, &self.secrets),
            Format::Xml => xml::read(answer, &self.secrets),
        }
    }

    fn context(&self, http: u16, now: Time) -> Context<'_> {
        Context {
            http,
            key: &self.secrets,
            zone: self.access.zone,
            now,
        }
    }

    /// Reads the answer to the request that came with `state`.
    fn read(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        let http = answer.status;
        let body = self.body(answer);
        let value = body.as_ref().unwrap_or(&Value::Null);
        if let Some(error) = self.of_account(http, value, self.file.item.said(value)) {
            return Err(error);
        }
        if let Some(step) = self.of_ticket(&state, http, &body)? {
            return Ok(step);
        }
        if !(200..=299).contains(&http) {
            return self.refusal(state, http, &body);
        }
        let body = body?;
        let context = self.context(http, now);
        if !self.file.answer.items.is_empty() {
            let items = items(&self.file, &state, &body, context);
            if let Err(CarrierError::Unreadable { .. }) = &items {
                let words = self.file.item.said(&body);
                let subject = Subject {
                    http,
                    value: &body,
                    words,
                };
                self.refused_as_a_whole(&state, subject)?;
            }
            let Items {
                sightings,
                unregistered,
            } = items?;
            return Ok(self.registering(sightings, unregistered));
        }
        let verdict = self.file.verdict(&body, context)?;
        let named = self
            .file
            .item
            .number
            .iter()
            .flat_map(|path| path.all(&body));
        let named: Vec<&Value> = named.collect();
        let other = |asked: &Asked| another(&asked.number, &named, &self.secrets);
        let verdict = state.asked.first().and_then(other).unwrap_or(verdict);
        Ok(Step::Done(state.all(&verdict)))
    }

    /// What an answer says of a ticket; `None` if it is of the numbers.
    fn of_ticket(
        &self,
        state: &State,
        http: u16,
        body: &Result<Value, CarrierError>,
    ) -> Result<Option<Step>, CarrierError> {
        let (Some(rule), Ok(value)) = (&self.file.ticket, body) else {
            return Ok(None);
        };
        let words = self.file.item.said(value);
        let subject = Subject { http, value, words };
        let is_good = (200..=299).contains(&http);
        let Some(ticket) = &state.ticket else {
            if let Some(ticket) = rule.named(value).filter(|_| is_good) {
                return Ok(Some(Step::Wait(ticket)));
            }
            self.refused_as_a_whole(state, subject)?;
            return match is_good {
                true => Err(not_in_form(value, &self.secrets, "it names no ticket")),
                false => Ok(None),
            };
        };
        if rule.is_not_ready(subject) {
            return Ok(Some(Step::Wait(rule.again(ticket.clone()))));
        }
        if let Some(said) = rule.gone(subject, &self.secrets) {
            return Err(CarrierError::TicketGone { said });
        }
        self.refused_as_a_whole(state, subject)?;
        Ok(None)
    }

    /// Adds what is said of the numbers that were not sent.
    fn with_refused(&self, asked: &[Asked], mut sightings: Vec<Sighting>) -> Vec<Sighting> {
        let refused = asked.iter().filter_map(|asked| {
            Some(Sighting {
                asked: asked.clone(),
                verdict: self.not_sent(asked)?,
            })
        });
        sightings.extend(refused);
        sightings
    }

    /// Why a number is not sent; `None` if it is.
    fn not_sent(&self, asked: &Asked) -> Option<Verdict> {
        let rule = &self.file.request;
        if let Some(max) = rule.number_chars_max.filter(|_| !rule.takes(asked)) {
            let reason = format!("its numbers have at most {max} characters");
            return Some(Verdict::Invalid { reason });
        }
        let reason = needs(self.wants.missing(&asked.extra)?);
        Some(Verdict::Unasked { reason })
    }

    /// Registers the numbers that the carrier has to be told first, if there are any.
    fn registering(&self, mut told: Vec<Sighting>, unregistered: Vec<Asked>) -> Step {
        let rule = self.file.register.as_ref();
        let Some(rule) = rule.filter(|_| !unregistered.is_empty()) else {
            return Step::Done(told);
        };
        if !self.access.registers {
            let reason = "it is not registered, and the section says register = false";
            told.extend(failed(&unregistered, reason));
            return Step::Done(told);
        }
        match rule
            .request
            .request(&self.access, &unregistered, self.auth())
        {
            Some(request) => Step::Send(
                request,
                State {
                    stage: REGISTERS,
                    told,
                    ..State::first(&unregistered)
                },
            ),
            None => Step::Done(told),
        }
    }

    fn subscribe_rule(&self) -> Option<&SubscribeRule> {
        self.file.push.as_ref()?.subscribe.as_ref()
    }

    fn auth(&self) -> Auth {
        match self.login_rule() {
            Some(_) => Auth::Token,
            None => Auth::None,
        }
    }
}

impl Carrier for Declared {
    fn name(&self) -> &'static str {
        self.name
    }

    fn numbers_per_call(&self) -> usize {
        self.file.request.numbers
    }

    fn mixes_carriers(&self) -> bool {
        self.file.request.mixes_carriers
    }

    fn wants(&self) -> &Wants {
        &self.wants
    }

    fn start(&self, asked: &[Asked]) -> Step {
        let asked = &asked[..asked.len().min(self.numbers_per_call())];
        let rule = &self.file.request;
        let taken = asked.iter().filter(|asked| self.not_sent(asked).is_none());
        let taken: Vec<Asked> = taken.cloned().collect();
        let state = State::first(asked);
        if taken.is_empty() {
            return Step::Done(self.with_refused(asked, Vec::new()));
        }
        match rule.request(&self.access, &taken, self.auth()) {
            Some(request) => Step::Send(request, state),
            None => Step::Done(state.all(&Verdict::Invalid {
                reason: "a URL cannot hold a name of only dots".to_owned(),
            })),
        }
    }

    fn push_signature(&self) -> Option<Option<&Signature>> {
        let rule = self.file.push.as_ref()?;
        Some(rule.signature.as_ref())
    }

    fn read_push(&self, body: Vec<u8>, now: Time) -> Result<Vec<Pushed>, CarrierError> {
        let Some(rule) = &self.file.push else {
            return Ok(Vec::new());
        };
        let answer = Answer { status: 200, body };
        let body = self.body(&answer)?;
        let context = self.context(200, now);
        let verdict = |value: &Value| self.file.verdict(value, context);
        rule.pushed(&self.file.item, verdict, &body, context)
    }

    fn subscription(&self) -> Option<Subscription> {
        self.subscribe_rule().map(SubscribeRule::subscription)
    }

    fn subscribe(&self, callback: &Callback, asked: &[Asked]) -> Option<Request> {
        let request = &self.subscribe_rule()?.request;
        request.request_of_subscription(&self.access, callback, asked, self.auth())
    }

    fn read_subscription(
        &self,
        callback: &Callback,
        asked: &[Asked],
        answer: &Answer,
    ) -> Result<Vec<Asked>, CarrierError> {
        match self.subscribe_rule() {
            Some(rule) => self.subscribed(rule, callback, asked, answer),
            None => Ok(asked.to_vec()),
        }
    }

    fn gives_tickets(&self) -> bool {
        self.file.ticket.is_some()
    }

    fn redeem(&self, ticket: &str, asked: &[Asked]) -> Step {
        let state = State {
            stage: REDEEMS,
            ticket: Some(ticket.to_owned()),
            ..State::first(asked)
        };
        let rule = self.file.ticket.as_ref();
        let request = rule.and_then(|rule| {
            let request = &rule.request;
            request.request_of_ticket(&self.access, ticket, self.auth())
        });
        match request {
            Some(request) => Step::Send(request, state),
            None => Step::Done(Vec::new()),
        }
    }

    fn resume(&self, mut state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        let (all, told) = (state.asked.clone(), std::mem::take(&mut state.told));
        let read = self.read(state, answer, now).map_err(|mut error| {
            if let Some(words) = error.words() {
                all.iter().for_each(|asked| hide(words, &asked.extra));
            }
            error
        });
        let step = match read {
            // What is known of other numbers is not lost.
            Err(error) if !told.is_empty() => Step::Done(failed(&all, &error.to_string())),
            step => step?,
        };
        Ok(match step {
            Step::Done(mut sightings) => {
                sightings.extend(told);
                let mut sightings = self.with_refused(&all, sightings);
                for Sighting { asked, verdict } in &mut sightings {
                    if let Verdict::Invalid { reason } | Verdict::Failed { reason } = verdict {
                        hide(reason, &asked.extra);
                    }
                }
                Step::Done(sightings)
            }
            step => step,
        })
    }

    fn login(&self) -> Option<Login> {
        let rule = self.login_rule()?;
        Some(Login {
            request: rule.request.request(&self.access, &[], Auth::None)?,
            secret: self.access.secret.clone(),
            counts: rule.counts,
        })
    }

    fn read_token(&self, _: &Login, answer: &Answer, now: Time) -> Result<Token, CarrierError> {
        let rule = self.file.login.as_ref();
        match rule.filter(|rule| !rule.token.is_empty()) {
            Some(rule) => self.token(rule, answer, now),
            None => oauth_token(answer, now, &self.secrets),
        }
    }

    fn identity(&self) -> String {
        format!("{} {}", self.file.item.identity(), self.access.zone)
    }

    fn kept(&self, asked: &[Asked], answer: &Answer, names: bool) -> Vec<Option<Vec<u8>>> {
        kept::kept(&self.file, &self.secrets, asked, answer, names)
    }

    fn reread(&self, event: Event) -> Event {
        self.file.item.reread(event)
    }
}

/// These numbers have failed.
fn failed(asked: &[Asked], reason: &str) -> Vec<Sighting> {
    let sighting = |asked: &Asked| Sighting {
        asked: asked.clone(),
        verdict: Verdict::Failed {
            reason: reason.to_owned(),
        },
    };
    asked.iter().map(sighting).collect()
}
