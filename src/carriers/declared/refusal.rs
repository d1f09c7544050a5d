//! What an answer refuses: the account, its numbers, or a request of several numbers as a whole.

use serde_json::Value;

use crate::carriers::declared::Declared;
use crate::carriers::declared::condition::{Condition, Subject, any, first};
use crate::carriers::reading::complaint::{refused, words_of_error};
use crate::carriers::{CarrierError, State, Step, Verdict};

impl Declared {
    /// What a whole answer says of the account.
    pub(super) fn of_account(
        &self,
        http: u16,
        value: &Value,
        words: Option<&str>,
    ) -> Option<CarrierError> {
        let rules = &self.file.answer;
        let subject = Subject { http, value, words };
        let said = |rules: &[Condition]| {
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
    pub(super) fn refusal(
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

    /// The carrier's own error for a request of several numbers, which says nothing of each.
    pub(super) fn refused_as_a_whole(
        &self,
        state: &State,
        subject: Subject<'_>,
    ) -> Result<(), CarrierError> {
        let Some(complaint) = self.file.item.complaint(subject, &self.secrets) else {
            return Ok(());
        };
        let said = match complaint? {
            Verdict::Failed { reason }
            | Verdict::Invalid { reason }
            | Verdict::Unasked { reason } => reason,
            Verdict::NotFoundYet | Verdict::Seen(_) => "nothing is known of them".to_owned(),
        };
        let numbers = state.asked.len();
        Err(CarrierError::Refused {
            status: subject.http,
            said: format!("{said} (of all {numbers} numbers)"),
        })
    }
}
