//! Texts that must not reach a screen, a log or an error: keys, and the passwords in addresses.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Secret, SecretUrl};

/// What stands where a secret is hidden.
pub const MASK: &str = "***";

/// Parts of a query parameter's name that make its value a secret.
const SECRET_PARAMETERS: &[&str] = &["pass", "pwd", "secret", "token", "key", "auth"];

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SecretUrl {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole address, with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.0.is_empty() { "" } else { MASK })
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hide_password(&self.0))
    }
}

macro_rules! hidden {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.to_string())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self)
            }
        }
    };
}
hidden!(Secret);
hidden!(SecretUrl);

/// Writes an address without its password.
pub fn serialize_url<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hide_password(url))
}

/// An address fit to be shown: password and secret parameters hidden, also where it is no valid address.
///
/// Hides rather too much than too little: a password may hold an `@` or a `/` that should have been encoded.
pub fn hide_password(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    let Some(at) = rest.rfind('@') else {
        return format!("{scheme}{}", hide_parameters(rest));
    };
    let (user, rest) = rest.split_at(at);
    if user.contains('?') {
        // The @ may belong to a parameter, so nothing tells where a password ends.
        let open = user.split([':', '?']).next().unwrap_or_default();
        return format!("{scheme}{open}:{MASK}");
    }
    let user = match user.split_once(':') {
        Some((name, _)) => format!("{name}:{MASK}"),
        // With HTTP a name alone is a token.
        None if scheme.starts_with("http") => MASK.to_owned(),
        None => user.to_owned(),
    };
    format!("{scheme}{user}{}", hide_parameters(rest))
}

fn hide_parameters(rest: &str) -> String {
    let Some((path, query)) = rest.split_once('?') else {
        return rest.to_owned();
    };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{path}?{}", parameters.join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_PARAMETERS.iter().any(|part| name.contains(part))
}
