//! Carriers as files: one reader for every carrier whose API is requests and answers of a plain form.
//!
//! A file (`carriers/*.toml`, compiled in, or a user's own) says what to send and where in the answer things stand, and
//! maps the carrier's codes to ours. It has no code, no loops and no regular expressions, so that what it may do is plain and
//! the work bounded by the answer's size. docs/carriers.md describes the form.

mod body;
mod condition;
mod event;
mod facts;
pub mod file;
mod item;
mod items;
mod kept;
pub mod map;
mod path;
mod push;
mod request;
mod template;
#[cfg(test)]
mod tests;
mod toml;
mod when;
pub mod xml;

use std::sync::Arc;

use serde_json::Value;

use crate::carriers::declared::condition::{Subject, any, first};
use crate::carriers::declared::file::{File, Format, LoginRule};
use crate::carriers::declared::item::Context;
use crate::carriers::declared::items::items;
use crate::carriers::login::oauth_token;
use crate::carriers::push::{Pushed, Signature};
use crate::carriers::reading::complaint::{refused, words_of_error};
use crate::carriers::reading::number::another;
use crate::carriers::{
    Access, Answer, Asked, Auth, Carrier, CarrierError, Login, State, Step, Verdict, reading,
};
use crate::clock::Time;
use crate::model::Event;
use crate::model::token::Token;

/// An account at a carrier that a file describes.
pub struct Declared {
    name: &'static str,
    file: Arc<File>,
    access: Access,
    /// What no error may show, one a line.
    secrets: String,
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

    /// What a whole answer says of the account.
    fn of_account(&self, http: u16, value: &Value, words: Option<&str>) -> Option<CarrierError> {
        let rules = &self.file.answer;
        let subject = Subject { http, value, words };
        let said = |rules: &[condition::Condition]| {
            let rule = first(rules, subject)?;
            let said = rule.says.as_ref().map(|path| path.text(value));
            let said = said
                .or_else(|| words.map(str::to_owned))
                .unwrap_or_default();
            let said = words_of_error(&said, &self.secrets);
            Some(said.unwrap_or_else(|| "in words not shown here".to_owned()))
        };
        if any(&rules.rate, subject) && http == 429 {
            return Some(CarrierError::RateLimited {
                status: http,
                retry_after: None,
            });
        }
        if let Some(said) = said(&rules.rate) {
            return Some(CarrierError::UsedUp { said });
        }
        if let Some(said) = said(&rules.auth) {
            return Some(CarrierError::KeyRefused { said });
        }
        said(&rules.not_served).map(|said| CarrierError::NotServed { said })
    }

    /// What an answer with a status other than success says of its numbers.
    fn refusal(
        &self,
        state: State,
        http: u16,
        body: &Result<Value, CarrierError>,
    ) -> Result<Step, CarrierError> {
        let item = &self.file.item;
        let value = body.as_ref().ok();
        let words = value.and_then(|value| item.said(value));
        let is_single = self.file.request.numbers == 1;
        if let Some(value) = value.filter(|_| is_single)
            && let Some(verdict) = item.ruled(Subject { http, value, words }, &self.secrets)
        {
            return Ok(Step::Done(state.all(&verdict)));
        }
        // SOAP says everything with the status 500.
        if let Some(value) = value.filter(|_| is_single && http == 500)
            && let Some(complaint) = item.complaint(Subject { http, value, words }, &self.secrets)
        {
            return Ok(Step::Done(state.all(&complaint?)));
        }
        let is_unknown =
            |said: &str| is_single && value.is_some_and(|value| item.is_unknown(said, http, value));
        let verdict = refused(http, body, words, &self.secrets, is_unknown)?;
        Ok(Step::Done(state.all(&verdict)))
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

    fn start(&self, asked: &[Asked]) -> Step {
        let asked = &asked[..asked.len().min(self.numbers_per_call())];
        let state = State::first(asked);
        let auth = match self.login_rule() {
            Some(_) => Auth::Token,
            None => Auth::None,
        };
        match self.file.request.request(&self.access, asked, auth) {
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
        rule.pushed(&self.file, &body, self.context(200, now))
    }

    fn resume(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        let http = answer.status;
        let body = self.body(answer);
        let value = body.as_ref().unwrap_or(&Value::Null);
        if let Some(error) = self.of_account(http, value, self.file.item.said(value)) {
            return Err(error);
        }
        if !(200..=299).contains(&http) {
            return self.refusal(state, http, &body);
        }
        let body = body?;
        let context = self.context(http, now);
        if !self.file.answer.items.is_empty() {
            return items(&self.file, state, &body, context);
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

    fn login(&self) -> Option<Login> {
        let rule = self.login_rule()?;
        Some(Login {
            request: rule.request.request(&self.access, &[], Auth::None)?,
            secret: self.access.secret.clone(),
            counts: rule.counts,
        })
    }

    fn read_token(&self, _: &Login, answer: &Answer, now: Time) -> Result<Token, CarrierError> {
        oauth_token(answer, now, &self.secrets)
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
