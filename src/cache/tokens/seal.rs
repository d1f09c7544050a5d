//! What a token is kept under, and how it is encrypted for Redis.
//!
//! Both follow from the credentials that it was got with: with others it is not even looked for, and could not be read. A
//! reader of Redis or the database could guess a short secret, but not the long ones that carriers issue.

use std::fmt::{self, Write as _};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use crate::model::token::Token;

/// The form of what is sealed; another one is not read.
const FORMAT: u8 = 1;

/// How many bytes of a hash name the credentials.
const NAME_BYTES: usize = 16;

/// An account, the credentials that it logs in with, and the key that follows from them.
pub struct Credentials {
    pub account: String,
    /// Tells these credentials from others of the account, and shows nothing of them.
    pub name: String,
    key: LessSafeKey,
}

impl Credentials {
    /// `login` is the whole request that is made with `secret`.
    pub fn new(account: &str, login: &[u8], secret: &str) -> Self {
        let mut name = String::new();
        for byte in Sha256::digest(login).iter().take(NAME_BYTES) {
            write!(name, "{byte:02x}").expect("a String takes any text");
        }
        let salt = Salt::new(HKDF_SHA256, b"trackbox token");
        let info = [account.as_bytes(), &[0], name.as_bytes()];
        let derived = salt.extract(secret.as_bytes());
        let derived = derived
            .expand(&info, &CHACHA20_POLY1305)
            .expect("HKDF gives a key of 32 bytes");
        let key = LessSafeKey::new(UnboundKey::from(derived));
        Self {
            account: account.to_owned(),
            name,
            key,
        }
    }

    /// The token, readable only with these credentials; `None` if the machine has no randomness.
    pub fn seal(&self, token: &Token) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut text = serde_json::to_vec(token).ok()?;
        let aad = Aad::from(self.name.as_bytes());
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(sealing, aad, &mut text)
            .ok()?;
        Some([&[FORMAT], nonce.as_slice(), &text].concat())
    }

    /// What [`Credentials::seal`] was given; `None` for anything else.
    pub fn open(&self, sealed: &[u8]) -> Option<Token> {
        let sealed = sealed.strip_prefix(&[FORMAT])?;
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let aad = Aad::from(self.name.as_bytes());
        let text = self.key.open_in_place(nonce, aad, &mut text).ok()?;
        serde_json::from_slice(text).ok()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credentials {} of {}", self.name, self.account)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::Credentials;
    use crate::model::fixture::at;
    use crate::model::token::Token;

    fn credentials(account: &str, login: &[u8], secret: &str) -> Credentials {
        Credentials::new(account, login, secret)
    }

    fn token() -> Token {
        Token::new("t0ken", at(0), Duration::from_secs(60)).expect("a token")
    }

    #[test]
    fn a_token_is_readable_with_its_own_credentials_only() {
        let own = credentials("CDEK", b"POST id=a secret=b", "b");
        let sealed = own.seal(&token()).expect("seals");
        assert_eq!(own.open(&sealed), Some(token()));
        let again = credentials("CDEK", b"POST id=a secret=b", "b");
        assert_eq!(again.open(&sealed), Some(token()));
        for (account, login, secret) in [
            ("UPS", "POST id=a secret=b", "b"),
            ("CDEK", "POST id=a secret=c", "b"),
            ("CDEK", "POST id=a secret=b", "c"),
        ] {
            let other = credentials(account, login.as_bytes(), secret);
            assert_eq!(other.open(&sealed), None, "{account} {login} {secret}");
        }
    }

    #[test]
    fn what_is_sealed_shows_nothing_and_is_never_the_same() {
        let own = credentials("CDEK", b"POST", "b");
        let [first, second] = [(); 2].map(|()| own.seal(&token()).expect("seals"));
        assert_ne!(first, second);
        let shown = String::from_utf8_lossy(&first).into_owned() + &format!("{own:?}");
        assert!(!shown.contains("t0ken"), "{shown}");
    }

    #[test]
    fn a_changed_byte_makes_it_unreadable() {
        let own = credentials("CDEK", b"POST", "b");
        let sealed = own.seal(&token()).expect("seals");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(own.open(&changed), None, "byte {place}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_miss(bytes in any::<Vec<u8>>()) {
            let own = credentials("CDEK", b"POST", "b");
            assert_eq!(own.open(&bytes), None);
            assert_eq!(own.open(&[&[1], bytes.as_slice()].concat()), None);
        }
    }
}
