//! The answer to a log-in whose token the file shows, instead of one in the form of OAuth 2.0.

use std::time::Duration;

use serde_json::Value;

use crate::carriers::declared::Declared;
use crate::carriers::declared::file::LoginRule;
use crate::carriers::declared::path::first_text;
use crate::carriers::login::LIFE_UNSAID;
use crate::carriers::reading::complaint::{not_in_form, refused};
use crate::carriers::{Answer, CarrierError};
use crate::clock::Time;
use crate::model::token::Token;

impl Declared {
    /// The token in an answer that came at `now`.
    pub(super) fn token(
        &self,
        rule: &LoginRule,
        answer: &Answer,
        now: Time,
    ) -> Result<Token, CarrierError> {
        let (http, body) = (answer.status, self.body(answer));
        let value = body.as_ref().unwrap_or(&Value::Null);
        let words = self.file.item.said(value);
        if let Some(error) = self.of_account(http, value, words) {
            return Err(error);
        }
        if !(200..=299).contains(&http) {
            refused(http, &body, words, &self.secrets, |_| false)?;
            return Err(CarrierError::Status { status: http });
        }
        let value = &body?;
        let ends = rule.ends.as_ref();
        let ends = ends.and_then(|ends| ends.when(value, self.access.zone).ok());
        // One that has ended already is none; the caller refuses it.
        let life = ends.map(|ends| (ends.at - now).to_std().unwrap_or(Duration::ZERO));
        let token = first_text(&rule.token, value);
        let token = Token::new(&token, now, life.unwrap_or(LIFE_UNSAID));
        token.ok_or_else(|| not_in_form(value, &self.secrets, "it holds no token"))
    }
}
