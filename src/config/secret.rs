//! Texts that must not reach a screen, a log or an error: keys, and the passwords in URLs.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::config::{Secret, SecretUrl};

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// A query parameter whose name has one of these parts holds a secret.
const SECRET_PARAMETERS: &[&str] = &["pass", "pwd", "secret", "token", "key", "auth"];

macro_rules! hidden {
    ($name:ident, $shown:expr) => {
        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The whole text, with what is secret in it.
            pub fn expose(&self) -> &str {
                &self.0
            }

            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let shown: fn(&str) -> String = $shown;
                f.pad(&shown(&self.0))
            }
        }

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
    };
}
hidden!(Secret, |text| if text.is_empty() { "" } else { MASK }
    .to_owned());
hidden!(SecretUrl, hide_password);

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
