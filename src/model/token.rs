//! A token: what an account was given when it logged in, until when it may be sent, and when it is renewed. Pure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Time, delta};

/// The longest life that is believed.
const LIFE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// A call may be on its way for this long, and the token must be valid when it arrives; of a short life, a tenth.
const TRANSIT_MAX: Duration = Duration::from_secs(10);

/// How much the clocks of two workers may differ.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// The longest token that is taken, in bytes: servers refuse longer headers.
const BYTES_MAX: usize = 6_000;

/// A token, which only [`Token::expose`] shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    secret: String,
    /// When it was asked for.
    since: Time,
    life: Duration,
}

impl Token {
    /// A token that was asked for at `since` and lives for `life` from then on; `None` if it cannot be sent in a header.
    pub fn new(secret: &str, since: Time, life: Duration) -> Option<Self> {
        let is_sendable = (1..=BYTES_MAX).contains(&secret.len());
        let is_sendable = is_sendable && secret.bytes().all(|byte| byte.is_ascii_graphic());
        is_sendable.then(|| Self {
            secret: secret.to_owned(),
            since,
            life: life.min(LIFE_MAX),
        })
    }

    /// The token itself, to be sent to its carrier.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// How long it lives from the moment at which it was asked for.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// Whether a call that is sent now arrives while it is valid.
    pub fn is_valid(&self, now: Time) -> bool {
        let transit = (self.life / 10).min(TRANSIT_MAX);
        self.since <= now + SKEW_MAX && now < self.since + delta(self.life - transit)
    }

    /// Whether it is valid, and no more than four fifths of its life have passed: after that it is renewed.
    pub fn is_fresh(&self, now: Time) -> bool {
        self.is_valid(now) && now < self.since + delta(self.life / 5 * 4)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a token of {} s since {}",
            self.life.as_secs(),
            self.since
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::Token;
    use crate::clock::delta;
    use crate::model::fixture::at;

    fn token(secs: u64) -> Token {
        Token::new("hunter2", at(0), Duration::from_secs(secs)).expect("a token")
    }

    #[test]
    fn a_token_is_renewed_after_four_fifths_of_its_life_and_used_a_little_longer() {
        let token = token(60);
        assert!(token.is_fresh(at(0)) && token.is_fresh(at(47)));
        assert!(!token.is_fresh(at(48)) && token.is_valid(at(53)));
        assert!(!token.is_valid(at(54)), "a call may be on its way for 6 s");
    }

    #[test]
    fn a_call_with_a_long_lived_token_may_be_on_its_way_for_ten_seconds() {
        let token = token(3_599);
        assert!(token.is_valid(at(3_588)) && !token.is_valid(at(3_589)));
    }

    #[test]
    fn a_token_of_the_future_is_not_believed() {
        assert!(
            token(60).is_valid(at(-1)),
            "another worker's clock is ahead"
        );
        assert!(!token(60).is_valid(at(-61)));
    }

    #[test]
    fn a_text_that_no_header_can_hold_is_no_token() {
        let life = Duration::from_secs(60);
        for text in ["", "a b", "a\r\nb: c", "é", "a\0", &"x".repeat(6_001)] {
            assert_eq!(Token::new(text, at(0), life), None, "{text:?}");
        }
    }

    #[test]
    fn debug_does_not_show_it() {
        assert!(!format!("{:?}", token(60)).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn whatever_its_life_a_fresh_token_is_valid_and_a_valid_one_has_not_ended(
            life in any::<u64>(), after in 0..3_000_000_u64
        ) {
            let life = Duration::from_secs(life);
            let token = Token::new("t", at(0), life).expect("a token");
            let now = at(0) + delta(Duration::from_secs(after));
            assert!(!token.is_fresh(now) || token.is_valid(now));
            assert!(!token.is_valid(now) || Duration::from_secs(after) < life);
        }
    }
}
