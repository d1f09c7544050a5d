//! Texts that must not reach a screen, a log or an error: keys, and the passwords in URLs.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Secret, SecretUrl};

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// A query parameter whose name has one of these parts holds a secret.
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

    /// The whole URL, with its password.
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

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": "secret"})
            }
        }
    };
}
hidden!(Secret);
hidden!(SecretUrl);

/// Whether a text holds what [`MASK`] hides, as in a configuration that was shown and then loaded again.
pub fn is_masked(text: &str) -> bool {
    let marks = [format!(":{MASK}@"), format!("/{MASK}@"), format!("={MASK}")];
    text == MASK || marks.iter().any(|mark| text.contains(mark))
}

/// A URL with its password and its secret parameters hidden, even if it is not a valid URL.
///
/// Hides too much rather than too little: a password may contain an `@` or a `/` that should have been encoded.
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
        // The @ may belong to a parameter, so the end of a password cannot be told.
        let open = user.split([':', '?']).next().unwrap_or_default();
        return format!("{scheme}{open}:{MASK}");
    }
    let user = match user.split_once(':') {
        Some((name, _)) => format!("{name}:{MASK}"),
        // In an HTTP URL a user name without a password is a token.
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
