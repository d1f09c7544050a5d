//! A server of tokens, as carriers with OAuth 2.0 have one: it issues tokens that expire, counts log-ins, and locks the
//! account out after wrong secrets.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::chance::hash;

/// So many wrong secrets within [`WRONG_WITHIN`] are forgiven.
const WRONG_MAX: usize = 6;
const WRONG_WITHIN: TimeDelta = TimeDelta::hours(24);

/// How long an account is locked out.
const LOCKED_FOR: TimeDelta = TimeDelta::hours(24);

/// Upper limit of the tokens that are remembered.
const TOKENS_MAX: usize = 10_000;

/// The credentials that it takes, and the tokens that it gives for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    pub client: String,
    pub secret: String,
    /// How long a token lives.
    pub life: Duration,
}

/// What it has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Log-ins that were given a token.
    pub logins: u64,
    /// Log-ins with wrong credentials.
    pub wrong: u64,
    /// Log-ins, right or wrong, while the account was locked out.
    pub locked_out: u64,
    /// Calls with a valid token.
    pub calls: u64,
    /// Calls with a token that has expired.
    pub expired: u64,
    /// Calls with a token that was revoked or never issued, or with none.
    pub unknown: u64,
}

/// What it knows.
#[derive(Debug, Default)]
pub struct Issued {
    /// When each token expires.
    tokens: HashMap<String, DateTime<Utc>>,
    wrong_at: Vec<DateTime<Utc>>,
    locked_until: Option<DateTime<Utc>>,
    counts: Counts,
}

impl Issued {
    /// A token for these credentials.
    ///
    /// # Errors
    /// The error's name in RFC 6749.
    pub fn log_in(
        &mut self,
        oauth: &OAuth,
        (client, secret): (&str, &str),
        now: DateTime<Utc>,
    ) -> Result<String, &'static str> {
        if self.locked_until.is_some_and(|until| now < until) {
            self.counts.locked_out += 1;
            return Err("access_denied");
        }
        if (client, secret) != (oauth.client.as_str(), oauth.secret.as_str()) {
            self.counts.wrong += 1;
            self.wrong_at.retain(|at| now - *at < WRONG_WITHIN);
            self.wrong_at.push(now);
            if self.wrong_at.len() > WRONG_MAX {
                self.locked_until = Some(now + LOCKED_FOR);
            }
            return Err("invalid_client");
        }
        self.counts.logins += 1;
        let place = (client, now.timestamp_micros(), self.counts.logins);
        let token = format!("tok-{:016x}", hash(&place));
        self.tokens.retain(|_, until| now < *until + WRONG_WITHIN);
        if self.tokens.len() < TOKENS_MAX {
            self.tokens.insert(token.clone(), now + oauth.life);
        }
        Ok(token)
    }

    /// Whether a call with this token is answered.
    ///
    /// # Errors
    /// What is wrong with the token.
    pub fn admit(&mut self, token: Option<&str>, now: DateTime<Utc>) -> Result<(), &'static str> {
        match token.and_then(|token| self.tokens.get(token)) {
            Some(until) if now < *until => {
                self.counts.calls += 1;
                Ok(())
            }
            Some(_) => {
                self.counts.expired += 1;
                Err("the token has expired")
            }
            None => {
                self.counts.unknown += 1;
                Err("the token is not known")
            }
        }
    }

    /// Forgets all tokens.
    pub fn revoke(&mut self) {
        self.tokens.clear();
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }
}
