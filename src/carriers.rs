//! Carriers: the adapters that ask them, and which carrier code uses which.
//!
//! An adapter does no input or output: [`Carrier::start`] says what to send and [`Carrier::resume`] reads the answer.
//! Sending, deadlines, size limits and permits are the scheduler's task. A new carrier is one file of `carriers/`, which
//! [`declared`] reads, its line in [`adapters`], and its recorded answers in a folder of `tests/carriers/`.

pub mod adapters;
pub mod blanked;
pub mod declared;
pub mod door;
mod error;
#[cfg(test)]
mod fixture;
pub mod login;
pub mod offer;
pub mod push;
pub mod reading;
pub mod recorded;
pub mod routes;
mod sections;
pub mod subscription;
#[cfg(test)]
mod tests;
pub mod texts;
pub mod words;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono_tz::Tz;
use reqwest::Url;

pub use crate::carriers::error::{ANSWER_BYTES_MAX, CarrierError, FailureOf, STEPS_MAX};
use crate::carriers::push::Signature;
use crate::carriers::subscription::{Callback, Subscription};
use crate::clock::Time;
use crate::model::extra::{Extra, Wants};
use crate::model::facts::Facts;
use crate::model::number::Spelling;
use crate::model::token::Token;
use crate::model::{CarrierCode, Event, TrackNumber, Unreadable};

/// The most events taken from one answer for one parcel; the newest are kept.
pub const EVENTS_MAX: usize = 20_000;

/// What a carrier's section tells its adapter. Keys that the adapter does not need may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    pub base_url: Url,
    /// Where it logs in, if that is not where the adapter's file says.
    pub login_url: Option<Url>,
    pub api_key: String,
    /// The name and the secret that the account logs in with.
    pub user: String,
    pub secret: String,
    /// The domain that the key is registered for.
    pub domain: String,
    /// The zone of times without an offset.
    pub zone: Tz,
    /// Whether numbers may be registered, which may cost money.
    pub registers: bool,
}

/// What a carrier wants that makes nothing of what shops tell.
static NOTHING: Wants = Wants {
    uses: Vec::new(),
    needs: Vec::new(),
};

/// A carrier's API as pure functions: from numbers to requests, from answers to sightings.
pub trait Carrier: Send + Sync {
    /// The adapter's name in the configuration, in messages and in metrics.
    fn name(&self) -> &'static str;

    /// How many numbers one call takes; at least 1.
    fn numbers_per_call(&self) -> usize {
        1
    }

    /// Whether one call may ask for numbers of several carrier codes.
    fn mixes_carriers(&self) -> bool {
        true
    }

    /// What it minds in the spelling of its numbers. Spellings that differ only by what it does not mind are one parcel, and
    /// it is asked for their folded form.
    fn spelling(&self) -> Spelling {
        Spelling::default()
    }

    /// What it makes of what shops tell beside a number.
    fn wants(&self) -> &Wants {
        &NOTHING
    }

    /// Begins a check of `asked` (at least one, at most [`Carrier::numbers_per_call`]).
    fn start(&self, asked: &[Asked]) -> Step;

    /// Reads the answer to the request that came with `state`.
    ///
    /// `now` is the time of sending. The adapter gets the status too, since "not found" may be a 200, a 400 or a 404.
    ///
    /// # Errors
    /// [`CarrierError`] if the call failed for all its numbers.
    fn resume(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError>;

    /// Whether it may answer with a [`Ticket`].
    fn gives_tickets(&self) -> bool {
        false
    }

    /// Begins to ask for what the carrier gave this ticket for: the numbers of `asked`, or those of them that still wait.
    fn redeem(&self, _ticket: &str, _asked: &[Asked]) -> Step {
        Step::Done(Vec::new())
    }

    /// How its account gets the token that [`Auth::Token`] asks for; `None` if it needs none.
    fn login(&self) -> Option<Login> {
        None
    }

    /// Reads the answer to a login that was sent at `now`, mostly by [`login::oauth_token`]. No error shows the secret.
    ///
    /// # Errors
    /// [`CarrierError`] if it holds no token.
    fn read_token(&self, _: &Login, _: &Answer, _now: Time) -> Result<Token, CarrierError> {
        Err(CarrierError::NoLogin)
    }

    /// What its carrier signs pushed bodies with, if it signs them; `None` if it pushes none that can be read.
    fn push_signature(&self) -> Option<Option<&Signature>> {
        None
    }

    /// What a pushed body of the carrier's own tells; nothing if it is not about parcels.
    ///
    /// # Errors
    /// [`CarrierError`] if it cannot be read, or names no number.
    fn read_push(&self, _: Vec<u8>, _now: Time) -> Result<Vec<Pushed>, CarrierError> {
        Ok(Vec::new())
    }

    /// How its carrier is subscribed to; `None` if it is told on its own pages where to push, or pushes nothing.
    fn subscription(&self) -> Option<Subscription> {
        None
    }

    /// The request for a subscription; `asked` are its numbers, none of an account as a whole. The same for the same numbers,
    /// address and credentials.
    fn subscribe(&self, _: &Callback, _asked: &[Asked]) -> Option<Request> {
        None
    }

    /// Reads the answer to a subscription: those of `asked` that the carrier does not take. No error shows what is secret.
    ///
    /// # Errors
    /// [`CarrierError`] if nothing is subscribed.
    fn read_subscription(
        &self,
        _: &Callback,
        asked: &[Asked],
        _: &Answer,
    ) -> Result<Vec<Asked>, CarrierError> {
        Ok(asked.to_vec())
    }

    /// The body of an answer as it may be kept for each of `asked`: [`Carrier::resume`] reads the same of that number from it.
    /// Without `names` no name of a person is kept. `None` if nothing may be.
    fn kept(&self, asked: &[Asked], answer: &Answer, _names: bool) -> Vec<Option<Vec<u8>>> {
        vec![Some(answer.body.clone()); asked.len()]
    }

    /// Says where what identifies an event comes from: the same text as long as a known event is read as the same one.
    fn identity(&self) -> String {
        String::new()
    }

    /// A known event as it would be read today: the same event, with the meaning and the edition of today's mapping.
    fn reread(&self, event: Event) -> Event {
        event
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this request; each costs a permit.
    Send(Request, State),
    /// One sighting for each number of the check; a number without one counts as failed.
    Done(Vec<Sighting>),
    /// The carrier answers later, or not yet: the check ends for now.
    Wait(Ticket),
}

/// A carrier's word that it has taken the numbers of a check and answers later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The carrier's own name for it.
    pub id: String,
    /// How long to wait before the answer is asked for, each time.
    pub wait: Duration,
    /// How long the numbers wait for the answer; then they are asked for anew.
    pub ends_after: Duration,
}

/// A number to ask for, as its carrier spells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub carrier: CarrierCode,
    pub number: TrackNumber,
    /// What a shop told beside it.
    pub extra: Extra,
}

impl Asked {
    /// A number with nothing told beside it.
    pub fn of(carrier: CarrierCode, number: TrackNumber) -> Self {
        Self {
            carrier,
            number,
            extra: Extra::default(),
        }
    }
}

/// What an adapter remembers between a request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub asked: Vec<Asked>,
    /// Which request of the check this is; only the adapter interprets it.
    pub stage: u32,
    /// The ticket whose answer is asked for.
    pub ticket: Option<String>,
    /// What earlier answers of the check said of others of its numbers.
    pub told: Vec<Sighting>,
}

impl Request {
    /// A GET without further headers.
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::Get,
            url,
            headers: Vec::new(),
            auth: Auth::None,
            body: Body::None,
        }
    }
}

impl fmt::Debug for Request {
    /// Without anything that may hold a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "{:?} to {host}", self.method)
    }
}

impl State {
    /// The state of a check's first request.
    pub fn first(asked: &[Asked]) -> Self {
        Self {
            asked: asked.to_vec(),
            stage: 0,
            ticket: None,
            told: Vec::new(),
        }
    }

    /// The same verdict for every number of the check.
    pub fn all(self, verdict: &Verdict) -> Vec<Sighting> {
        self.asked
            .into_iter()
            .map(|asked| Sighting {
                asked,
                verdict: verdict.clone(),
            })
            .collect()
    }
}

/// A request as an adapter describes it. Each part may hold a credential, so none of them must reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub auth: Auth,
    pub body: Body,
}

/// How a request shows who asks, besides what its other parts hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    /// `Authorization: Bearer` and the account's token, which the scheduler gets, keeps, shares and renews.
    Token,
    /// The account's token in the place of [`TOKEN_MARK`], in headers and in a body of text, which is XML.
    TokenInside,
}

/// Stands in a request where the account's token is to stand. No text from outside can hold it there: it has characters that
/// neither headers nor XML have.
pub const TOKEN_MARK: &str = "\u{1}token\u{1}";

/// How an account gets its token.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The same for the same credentials, whenever it is made: the token is kept under its hash.
    pub request: Request,
    /// The secret in it, which also encrypts the token.
    pub secret: String,
    /// Whether the carrier counts it among the account's calls.
    pub counts: bool,
}

/// A request's body; its content type is sent with it.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    None,
    Json(serde_json::Value),
    /// As an HTML form sends it.
    Form(Vec<(String, String)>),
    Text {
        content_type: Cow<'static, str>,
        text: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// A carrier's whole answer, at most [`ANSWER_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// What a carrier said about one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub asked: Asked,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Seen(Observation),
    /// The carrier does not know the number, or not yet: it is checked again at growing intervals.
    NotFoundYet,
    /// The carrier says that the number cannot be one of its own.
    Invalid {
        reason: String,
    },
    /// The check of this number failed; others of the same call may have succeeded.
    Failed {
        reason: String,
    },
    /// The number was not asked for, since its shop has to tell something first.
    Unasked {
        reason: String,
    },
}

/// A parcel's history as a carrier gave it, in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Oldest first, each with the meaning of its own words.
    pub events: Vec<Event>,
    pub unreadable: Unreadable,
    /// What it says beside its events.
    pub facts: Option<Facts>,
    /// The version of the adapter's mapping; it grows when a code changes its meaning.
    pub mapping_version: i32,
}

/// A number, as the carrier writes it, and what a pushed body tells of it; `None` if that cannot be read.
pub type Pushed = (String, Option<Observation>);
