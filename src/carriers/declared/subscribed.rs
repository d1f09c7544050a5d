//! What the answer to a subscription says.

use serde_json::Value;

use crate::carriers::declared::Declared;
use crate::carriers::declared::condition::{Subject, first};
use crate::carriers::declared::subscribe::SubscribeRule;
use crate::carriers::reading::complaint::{refused, words_of_error};
use crate::carriers::subscription::Callback;
use crate::carriers::{Answer, Asked, CarrierError};

impl Declared {
    /// What an answer to a subscription says.
    pub(super) fn subscribed(
        &self,
        rule: &SubscribeRule,
        callback: &Callback,
        asked: &[Asked],
        answer: &Answer,
    ) -> Result<Vec<Asked>, CarrierError> {
        let http = answer.status;
        let answer = Answer {
            status: http,
            body: callback.hidden_in(&answer.body),
        };
        let body = self.body(&answer);
        let value = body.as_ref().unwrap_or(&Value::Null);
        let words = self.file.item.said(value);
        if let Some(error) = self.of_account(http, value, words) {
            return Err(error);
        }
        let not_taken = rule.not_taken(asked, value);
        // Some carriers refuse a call none of whose numbers they take.
        if !asked.is_empty() && not_taken.len() == asked.len() {
            return Ok(not_taken);
        }
        if let Some(failed) = first(&rule.failed, Subject { http, value, words }) {
            let said = failed.says.as_ref().map(|path| path.text(value));
            let said = said.and_then(|said| words_of_error(&said, &self.secrets));
            let said = said.unwrap_or_else(|| "the subscription, in no words".to_owned());
            return Err(CarrierError::Refused { status: http, said });
        }
        if !(200..=299).contains(&http) {
            refused(http, &body, words, &self.secrets, |_| false)?;
            return Err(CarrierError::Status { status: http });
        }
        if !answer.body.trim_ascii().is_empty() {
            body?;
        }
        Ok(not_taken)
    }
}
