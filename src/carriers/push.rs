//! What shows that a pushed body is the carrier's own.
//!
//! Secrets are compared by their HMAC under a key that lives as long as the process: how long that takes tells nothing of
//! them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key, Tag, sign, verify};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

/// The most parcels that are read of one body.
pub const PARCELS_MAX: usize = 100;

/// What a carrier sends to show that a body is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The header that holds it, in small letters.
    pub header: String,
    pub method: SignatureMethod,
    /// What stands before it in the header.
    pub starts: String,
    /// Whether it is made with the account's `api_key` instead of `push_key`.
    pub by_api_key: bool,
}

/// How a signature is made of the body's bytes and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum SignatureMethod {
    /// HMAC-SHA256 of the body, in hexadecimal.
    HmacSha256Hex,
    /// The same in base64.
    HmacSha256Base64,
    /// SHA-256 of the body, a slash and the key, in hexadecimal.
    Sha256SlashKeyHex,
    /// The key itself.
    Key,
}

/// The key that secrets are compared under.
static COMPARED_BY: LazyLock<Key> = LazyLock::new(|| {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the machine has randomness: TLS needs it too");
    Key::new(HMAC_SHA256, &bytes)
});

/// Secrets of which any one counts.
pub struct Secrets(Vec<Tag>);

impl Secrets {
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let known = secrets.into_iter().filter(|secret| !secret.is_empty());
        Self(known.map(|secret| sign(&COMPARED_BY, secret)).collect())
    }

    /// In the same time for any text of this length.
    pub fn have(&self, given: &[u8]) -> bool {
        let is_one = |known: &Tag| verify(&COMPARED_BY, given, known.as_ref()).is_ok();
        self.0.iter().fold(false, |any, known| any | is_one(known))
    }
}

impl SignatureMethod {
    /// Whether `given` is the signature of a body.
    pub fn is(self, given: &[u8], key: &[u8], body: &[u8]) -> bool {
        let hmac = |tag: Option<Vec<u8>>| {
            let key = Key::new(HMAC_SHA256, key);
            tag.is_some_and(|tag| verify(&key, body, &tag).is_ok())
        };
        match self {
            Self::HmacSha256Hex => hmac(unhex(given)),
            Self::HmacSha256Base64 => hmac(STANDARD.decode(given).ok()),
            Self::Sha256SlashKeyHex => {
                let mut hash = Sha256::new();
                for part in [body, b"/", key] {
                    hash.update(part);
                }
                unhex(given)
                    .is_some_and(|given| Secrets::of([hash.finalize().as_slice()]).have(&given))
            }
            Self::Key => Secrets::of([key]).have(given),
        }
    }
}

/// The bytes of a hexadecimal text in any case.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    };
    text.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests;
