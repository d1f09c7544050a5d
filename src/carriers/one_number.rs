//! Carriers that are asked for one number by one GET, as most are.

use reqwest::Url;
use serde_json::Value;

use crate::carriers::{Answer, Carrier, CarrierError, Request, State, Step, Verdict, reading};
use crate::clock::Time;
use crate::model::{CarrierCode, TrackNumber};

/// What such a carrier's adapter has to say; the rest of [`Carrier`] follows.
pub trait OneNumber: Send + Sync {
    /// As [`Carrier::name`].
    const NAME: &'static str;

    /// The fields of an answer that may hold the words of an error.
    const ERROR_FIELDS: &'static [&'static str];

    /// The account's key, which no error may show.
    fn key(&self) -> &str;

    /// The URL that answers for `number`.
    fn url(&self, number: &str) -> Url;

    /// What the JSON of a successful answer says of the number.
    ///
    /// # Errors
    /// [`CarrierError::Unreadable`] if it does not have the agreed form.
    fn verdict(&self, body: &Value) -> Result<Verdict, CarrierError>;
}

impl<T: OneNumber> Carrier for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn start(&self, carrier: &CarrierCode, numbers: &[TrackNumber]) -> Step {
        let state = State::first(carrier, &numbers[..numbers.len().min(1)]);
        let number = numbers.first().map_or("", TrackNumber::as_str);
        Step::Send(Request::get(self.url(number)), state)
    }

    fn resume(&self, state: State, answer: &Answer, _now: Time) -> Result<Step, CarrierError> {
        let verdict = match answer.status {
            200..=299 => self.verdict(&reading::json(&answer.body)?)?,
            status => match (
                status,
                reading::own_words(&answer.body, Self::ERROR_FIELDS, self.key()),
            ) {
                (404, Some(_)) => Verdict::NotFoundYet,
                (status, words) => return Err(reading::refusal(status, words)),
            },
        };
        Ok(Step::Done(state.all(&verdict)))
    }
}
