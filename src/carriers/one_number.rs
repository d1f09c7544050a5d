//! Carriers that are asked for one number by one GET, as most are.

use reqwest::Url;
use serde_json::Value;

use crate::carriers::reading::complaint::{beside_no_events, refused};
use crate::carriers::reading::number::another;
use crate::carriers::{
    Answer, Asked, Carrier, CarrierError, Request, State, Step, Verdict, reading,
};
use crate::clock::Time;
use crate::model::Event;
use crate::model::number::Spelling;

/// What such a carrier's adapter has to say; the rest of [`Carrier`] follows.
pub trait OneNumber: Send + Sync {
    /// As [`Carrier::name`].
    const NAME: &'static str;

    /// The fields of an answer that may hold the words of an error.
    const ERROR_FIELDS: &'static [&'static str];

    /// As [`Carrier::spelling`].
    const SPELLING: Spelling = Spelling {
        blanks_matter: false,
        case_matters: false,
    };

    /// The account's key, which no error may show.
    fn key(&self) -> &str;

    /// The URL that answers for `number`.
    fn url(&self, number: &str) -> Url;

    /// Whether these words of an error are the ones that the carrier documents for a number that it does not know.
    fn is_unknown(said: &str) -> bool;

    /// The fields of a successful answer that may name its number, or the one that the carrier changed it to.
    fn named_numbers(body: &Value) -> Vec<&Value>;

    /// What the JSON of a successful answer says of the number.
    ///
    /// # Errors
    /// If it does not have the agreed form, or says that the account is not served.
    fn verdict(&self, body: &Value) -> Result<Verdict, CarrierError>;

    /// As [`Carrier::reread`].
    fn reread(&self, event: Event) -> Event;
}

impl<T: OneNumber> Carrier for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn spelling(&self) -> Spelling {
        T::SPELLING
    }

    fn start(&self, asked: &[Asked]) -> Step {
        let state = State::first(&asked[..asked.len().min(1)]);
        let number = asked.first().map_or("", |asked| asked.number.as_str());
        Step::Send(Request::get(self.url(number)), state)
    }

    fn resume(&self, state: State, answer: &Answer, _now: Time) -> Result<Step, CarrierError> {
        let body = reading::json(answer, self.key());
        let verdict = match answer.status {
            200..=299 => {
                let body = body?;
                let verdict = self.verdict(&body)?;
                if verdict == Verdict::NotFoundYet
                    && let Some(error) = beside_no_events(&body, self.key())
                {
                    return Err(error);
                }
                let named = Self::named_numbers(&body);
                let other = |asked: &Asked| another(&asked.number, &named, self.key());
                state.asked.first().and_then(other).unwrap_or(verdict)
            }
            status => refused(
                status,
                &body,
                Self::ERROR_FIELDS,
                self.key(),
                Self::is_unknown,
            )?,
        };
        Ok(Step::Done(state.all(&verdict)))
    }

    fn reread(&self, event: Event) -> Event {
        OneNumber::reread(self, event)
    }
}
