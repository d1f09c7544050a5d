//! What carriers push: who may push to a section, and what shows that a body is the carrier's own.
//!
//! A secret in the address keeps strangers out, also where a carrier signs nothing. Secrets are compared by their HMAC under
//! a key that lives as long as the process: how long that takes tells nothing of them, and none of them is kept.

use std::fmt;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key, Tag, sign, verify};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use crate::carriers::Carrier;
use crate::carriers::Observation;
use crate::config::CarrierSection;

/// The most parcels that are read of one body.
pub const PARCELS_MAX: usize = 100;

/// What a body tells of one parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// As the carrier writes it.
    pub number: String,
    /// `None` if the body names the number and nothing else that can be read.
    pub told: Option<Observation>,
}

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
struct Secrets(Vec<Tag>);

impl Secrets {
    fn of<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let known = secrets.into_iter().filter(|secret| !secret.is_empty());
        Self(known.map(|secret| sign(&COMPARED_BY, secret)).collect())
    }

    /// In the same time for any text of this length.
    fn have(&self, given: &[u8]) -> bool {
        let is_one = |known: &Tag| verify(&COMPARED_BY, given, known.as_ref()).is_ok();
        self.0.iter().fold(false, |any, known| any | is_one(known))
    }
}

/// How a section takes what its carrier pushes.
pub struct Door {
    address: Secrets,
    /// The carrier's signature, with the keys that it may be made with.
    signature: Option<(Signature, Vec<Vec<u8>>)>,
    is_trusted: bool,
}

impl fmt::Debug for Door {
    /// Without anything secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    /// That of a section; `None` if it takes no pushes.
    pub fn of(section: &CarrierSection, carrier: &dyn Carrier) -> Option<Self> {
        let signature = carrier.push_signature()?;
        if section.push_secret.is_empty() {
            return None;
        }
        let now_and_before = [&section.push_secret, &section.push_secret_before];
        let address = now_and_before.map(|secret| secret.expose().as_bytes());
        let key = |signature: &Signature| match section.push_key.is_empty() {
            true if signature.by_api_key => &section.api_key,
            _ => &section.push_key,
        };
        let keys = |signature: &Signature| {
            let keys = [key(signature), &section.push_key_before];
            let keys = keys.into_iter().filter(|key| !key.is_empty());
            keys.map(|key| key.expose().as_bytes().to_vec()).collect()
        };
        let signature = signature.map(|it| (it.clone(), keys(it)));
        Some(Self {
            address: Secrets::of(address),
            is_trusted: signature.is_some() || section.push_trust,
            signature,
        })
    }

    /// Whether an address with this secret leads here.
    pub fn opens_to(&self, secret: &str) -> bool {
        self.address.have(secret.as_bytes())
    }

    /// Whether a body is the carrier's own, as far as it signs its bodies. `header` gives the bytes of a header.
    pub fn proves<'h>(&self, header: impl Fn(&str) -> Option<&'h [u8]>, body: &[u8]) -> bool {
        let Some((signature, keys)) = &self.signature else {
            return true;
        };
        let given = header(&signature.header)
            .and_then(|given| given.strip_prefix(signature.starts.as_bytes()));
        let Some(given) = given.map(<[u8]>::trim_ascii) else {
            return false;
        };
        let is_of = |key: &Vec<u8>| signature.method.is(given, key, body);
        keys.iter().fold(false, |any, key| any | is_of(key))
    }

    /// Whether what comes in is published. If not, it only makes parcels due, and their checks decide.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }
}

impl SignatureMethod {
    /// Whether `given` is the signature of a body.
    fn is(self, given: &[u8], key: &[u8], body: &[u8]) -> bool {
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
