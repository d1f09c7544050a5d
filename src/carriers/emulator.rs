//! The carrier emulator's own API (`tools/emulator`, v1; read November 2026): one number a call, or thirty in a batch.
//!
//! Its status words are ours, so nothing is mapped; any other word becomes UNKNOWN and is kept raw. Only the sub-status
//! is read from an event's Russian text, if that agrees with the word. Numbers are free text and part of the path: each
//! is escaped whole, and "." and "..", which no URL can hold as a segment, are rejected without a call.

use std::sync::Arc;

use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::carriers::login::oauth_token;
use crate::carriers::reading;
use crate::carriers::reading::complaint::{complaint, not_in_form, refused, said};
use crate::carriers::reading::number::{Told, another};
use crate::carriers::reading::order::in_order;
use crate::carriers::reading::time::{When, when};
use crate::carriers::words::meaning_of_two;
use crate::carriers::{
    Access, Adapter, Answer, Asked, Auth, Body, Carrier, CarrierError, EVENTS_MAX, FailureOf,
    Login, Method, Observation, Request, Sighting, State, Step, Verdict, path,
};
use crate::clock::Time;
use crate::model::number::fold;
use crate::model::status::{Status, SubStatus};
use crate::model::token::Token;
use crate::model::{Event, clean_payload};

const PATH: &[&str] = &["v1", "tracking"];

const TOKEN_PATH: &[&str] = &["v1", "oauth", "token"];

/// How many numbers the batch call takes.
const BATCH: usize = 30;

/// The edition of the mapping.
const MAPPING_VERSION: i32 = 2;

/// The emulator's words for an unknown number. A framework before it writes "Not Found".
const UNKNOWN_NUMBER: &str = "not found";

/// The fields that may hold the words of an error.
const ERROR_FIELDS: &[&str] = &["error", "detail"];

/// The emulator, asked for one number a call.
pub const ADAPTER: Adapter = Adapter {
    name: "emulator",
    needs: &[],
    path: PATH,
    make: |access| {
        Arc::new(Emulator {
            access,
            batch: false,
        })
    },
};

/// The emulator, asked for up to [`BATCH`] numbers a call.
pub const BATCH_ADAPTER: Adapter = Adapter {
    name: "emulator-batch",
    needs: &[],
    path: PATH,
    make: |access| {
        Arc::new(Emulator {
            access,
            batch: true,
        })
    },
};

/// An account at the emulator.
struct Emulator {
    access: Access,
    batch: bool,
}

impl Emulator {
    fn request(&self, asked: &[Asked]) -> Request {
        let (method, mut url, body) = if self.batch {
            let items: Vec<Value> = asked
                .iter()
                .map(|it| json!({"carrier": it.carrier, "trackNumber": it.number}))
                .collect();
            let url = path(&self.access.base_url, &[PATH, &["batch"]].concat());
            (Method::Post, url, Body::Json(json!({"items": items})))
        } else {
            let names = asked.first();
            let names = names.map_or(["", ""], |it| [it.carrier.as_str(), it.number.as_str()]);
            let url = path(&self.access.base_url, &[PATH, &names].concat());
            (Method::Get, url, Body::None)
        };
        if !self.access.api_key.is_empty() {
            url.query_pairs_mut()
                .append_pair("apiKey", &self.access.api_key);
        }
        let auth = match self.access.secret.is_empty() {
            true => Auth::None,
            false => Auth::Token,
        };
        Request {
            method,
            url,
            headers: Vec::new(),
            auth,
            body,
        }
    }

    /// Reads a batch. A result belongs to the number that it names, in another spelling only if no other number of the
    /// batch can be meant; a number without a result gets no sighting.
    fn batch(&self, state: State, body: &Value, now: Time) -> Result<Step, CarrierError> {
        let results = body.get("results").and_then(reading::list);
        let Some(results) = results else {
            let key = &self.access.api_key;
            return Err(not_in_form(body, key, "it has no list of results"));
        };
        let carrier = state.asked.first().map(|asked| asked.carrier.clone());
        let of_carrier = |result: &&Value| {
            let (of, carrier) = (&result["carrier"], carrier.as_ref());
            let named = of.as_str().zip(carrier);
            of.is_null() || named.is_some_and(|(of, it)| of.eq_ignore_ascii_case(it.as_str()))
        };
        let results: Vec<&Value> = results.into_iter().filter(of_carrier).collect();
        let folded = |asked: &Asked| fold(asked.number.as_str());
        let numbers: Vec<String> = state.asked.iter().map(folded).collect();
        let is_only = |told: &Told| numbers.iter().filter(|it| told.is(it)).count() == 1;
        let told = |result: &&Value| Told::of(&result["track_number"]).filter(is_only);
        let told: Vec<Option<Told>> = results.iter().map(told).collect();
        let places = state.asked.into_iter().zip(&numbers);
        let sightings = places.filter_map(|(asked, folded)| {
            let exact = |result: &&Value| result["track_number"] == asked.number.as_str();
            let spelt = |told: &Option<Told>| told.as_ref().is_some_and(|told| told.is(folded));
            let place = results.iter().position(exact);
            let result = results[place.or_else(|| told.iter().position(spelt))?];
            let verdict = match self.verdict(result, now) {
                Err(error) if error.failure_of() == FailureOf::Number => Verdict::Failed {
                    reason: error.to_string(),
                },
                Err(error) => return Some(Err(error)),
                Ok(verdict) => verdict,
            };
            Some(Ok(Sighting { asked, verdict }))
        });
        let sightings: Result<Vec<Sighting>, CarrierError> = sightings.collect();
        Ok(Step::Done(sightings?))
    }

    fn verdict(&self, parcel: &Value, now: Time) -> Result<Verdict, CarrierError> {
        let key = &self.access.api_key;
        let is_parcel = parcel["status"].is_string() && parcel["status"] != "error";
        // A parcel has no words of an error but those of a batch's error.
        let fields = if is_parcel { &["error"] } else { ERROR_FIELDS };
        if let Some(said) = said(parcel, fields) {
            // A record with a number was not written by a framework, so the case of its words tells nothing.
            let is_own = parcel.get("track_number").is_some();
            let is_unknown =
                |said: &str| is_unknown(said) || (is_own && is_unknown(&said.to_lowercase()));
            return complaint(said, key, is_unknown);
        }
        if !is_parcel {
            return Err(not_in_form(parcel, key, "it has no status"));
        }
        let Some(records) = reading::list(&parcel["events"]) else {
            return Err(reading::misshapen("its events are no list"));
        };
        let zone = self.access.zone;
        let (dated, unreadable) = reading::each(&records, key, |it| event(it, zone))?;
        let placed = in_order(dated).into_iter().map(|placed| Event {
            order_at: placed.order_at,
            ..placed.record
        });
        let mut events: Vec<Event> = placed.collect();
        events.drain(..events.len().saturating_sub(EVENTS_MAX));
        let word = reading::text(parcel, "status");
        let raw = reading::text(parcel, "status_raw");
        let (status, status_raw) = status_and_raw(&word, raw);
        let newest = events.last().filter(|event| event.status == status);
        let meant = (status, newest.and_then(|event| event.sub_status));
        let at = when(&parcel["status_at"], zone).ok().map(|when| when.at);
        events.extend(Event::stated(meant, &status_raw, at, &events, now));
        Ok(Verdict::Seen(Observation {
            events,
            unreadable,
            mapping_version: MAPPING_VERSION,
        }))
    }
}

impl Carrier for Emulator {
    fn name(&self) -> &'static str {
        if self.batch {
            BATCH_ADAPTER.name
        } else {
            ADAPTER.name
        }
    }

    fn numbers_per_call(&self) -> usize {
        if self.batch { BATCH } else { 1 }
    }

    fn mixes_carriers(&self) -> bool {
        false
    }

    /// For an emulator that was started with `--oauth`. It counts no log-in, but its tokens may live for seconds, so its
    /// log-ins take permits instead of the ten an hour.
    fn login(&self) -> Option<Login> {
        let Access { user, secret, .. } = &self.access;
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let form = vec![
            field("grant_type", "client_credentials"),
            field("client_id", user),
            field("client_secret", secret),
        ];
        (!secret.is_empty()).then(|| Login {
            request: Request {
                method: Method::Post,
                url: path(&self.access.base_url, TOKEN_PATH),
                headers: Vec::new(),
                auth: Auth::None,
                body: Body::Form(form),
            },
            secret: secret.clone(),
            counts: true,
        })
    }

    fn read_token(&self, login: &Login, answer: &Answer, now: Time) -> Result<Token, CarrierError> {
        oauth_token(answer, now, &login.secret)
    }

    fn start(&self, asked: &[Asked]) -> Step {
        let asked = &asked[..asked.len().min(self.numbers_per_call())];
        let state = State::first(asked);
        let mut names = asked
            .iter()
            .flat_map(|it| [it.carrier.as_str(), it.number.as_str()]);
        // The URL would lead to the parent folder, even with the dots escaped.
        if !self.batch && names.any(|name| matches!(name, "." | "..")) {
            return Step::Done(state.all(&Verdict::Invalid {
                reason: "a URL cannot hold a name of only dots".to_owned(),
            }));
        }
        Step::Send(self.request(asked), state)
    }

    fn resume(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        let key = &self.access.api_key;
        let body = reading::json(answer, key);
        let verdict = match answer.status {
            200..=299 => {
                let body = body?;
                if self.batch {
                    return self.batch(state, &body, now);
                }
                let verdict = self.verdict(&body, now)?;
                let named = [&body["track_number"]];
                let other = |asked: &Asked| another(&asked.number, &named, key);
                state.asked.first().and_then(other).unwrap_or(verdict)
            }
            status => {
                let is_unknown = |said: &str| !self.batch && is_unknown(said);
                refused(status, &body, ERROR_FIELDS, key, is_unknown)?
            }
        };
        Ok(Step::Done(state.all(&verdict)))
    }

    fn reread(&self, event: Event) -> Event {
        let (status, _) = event.own();
        Event {
            own: Some((
                status,
                sub_status(status, &event.status_raw, &event.message),
            )),
            mapping_version: MAPPING_VERSION,
            ..event
        }
    }
}

fn is_unknown(said: &str) -> bool {
    said == UNKNOWN_NUMBER
}

/// One event, or why it cannot be read: without a time its repetition would look like a new one.
fn event(record: &Value, zone: Tz) -> Result<(When, Event), String> {
    let when = when(&record["event_time"], zone)?;
    let word = reading::main_text(record, "status")?;
    let raw = reading::main_text(record, "status_raw")?;
    let (status, status_raw) = status_and_raw(&word, raw);
    let message = reading::text(record, "message");
    let event = Event {
        status,
        sub_status: sub_status(status, &status_raw, &message),
        status_raw,
        event_time: when.at,
        location: reading::text(record, "location"),
        message,
        payload_json: clean_payload(&record["payload"]),
        mapping_version: MAPPING_VERSION,
        order_at: None,
        taken_back: false,
        own: None,
        stated: false,
    };
    Ok((when, event))
}

/// The status of a word. An unknown word becomes the raw text, if that is empty.
fn status_and_raw(word: &str, raw: String) -> (Status, String) {
    match Status::parse(word) {
        Some(status) => (status, raw),
        None if raw.is_empty() => (Status::Unknown, word.to_owned()),
        None => (Status::Unknown, raw),
    }
}

fn sub_status(status: Status, raw: &str, message: &str) -> Option<SubStatus> {
    let meaning = meaning_of_two(raw, message).filter(|meaning| meaning.status == status)?;
    meaning.sub_status
}

#[cfg(test)]
mod tests;
