//! Subscriptions: a carrier is asked to push its news to an address of ours.

use std::fmt;
use std::time::Duration;

/// What a carrier is told to push to.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// The whole address, with its secret.
    pub url: String,
    /// The secret in it.
    pub secret: String,
    /// What the carrier is to prove its bodies with; empty if it signs none.
    pub key: String,
}

/// How a carrier takes subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The most numbers that one call subscribes; 0 if one call subscribes the account as a whole.
    pub numbers: usize,
    /// How long it holds; `None` if until another takes its place.
    pub lasts: Option<Duration>,
}

impl fmt::Debug for Callback {
    /// Without anything secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

impl Callback {
    /// An answer of the carrier without what is secret of ours: it may repeat the address.
    pub fn hidden_in(&self, body: &[u8]) -> Vec<u8> {
        let mut text = String::from_utf8_lossy(body).into_owned();
        for secret in [&self.secret, &self.key] {
            if !secret.is_empty() {
                text = text.replace(secret.as_str(), "***");
            }
        }
        text.into_bytes()
    }
}
