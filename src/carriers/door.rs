//! Who may push to a section, and whether it is believed.
//!
//! A secret in the address keeps strangers out, even if the carrier signs nothing.

use std::fmt;

use crate::carriers::Carrier;
use crate::carriers::push::{Secrets, Signature};
use crate::config::CarrierSection;

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
