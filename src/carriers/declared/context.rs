//! What is the same for a whole answer.

use chrono_tz::Tz;

use crate::clock::Time;

/// What is the same for a whole answer.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub http: u16,
    /// The account's secrets, which no error shows.
    pub key: &'a str,
    pub zone: Tz,
    pub now: Time,
}
