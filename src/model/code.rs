//! Carrier codes and track numbers, as users write them.

use serde::{Deserialize, Serialize};

use crate::model::number::Spelling;

/// The most characters of a carrier code or a track number.
pub const CODE_CHARS_MAX: usize = 64;

/// Why a text is not a carrier code or a track number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {CODE_CHARS_MAX} characters, this has {0}")]
    TooLong(usize),
    #[error("must not contain control characters")]
    Control,
}

fn check_code(text: &str) -> Result<(), CodeError> {
    let chars = text.chars().count();
    if text.is_empty() {
        Err(CodeError::Empty)
    } else if chars > CODE_CHARS_MAX {
        Err(CodeError::TooLong(chars))
    } else if text.chars().any(char::is_control) {
        Err(CodeError::Control)
    } else {
        Ok(())
    }
}

/// A carrier's code as users write it: 1 to 64 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct CarrierCode(String);

/// A track number as users write it: 1 to 64 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TrackNumber(String);

macro_rules! code {
    ($name:ident) => {
        impl $name {
            /// # Errors
            /// [`CodeError`] if the text is empty, longer than 64 characters, or has control characters.
            pub fn parse(text: impl Into<String>) -> Result<Self, CodeError> {
                let text = text.into();
                check_code(&text)?;
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = CodeError;

            fn try_from(text: String) -> Result<Self, CodeError> {
                Self::parse(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}
code!(CarrierCode);
code!(TrackNumber);

impl TrackNumber {
    /// The number as a carrier that minds this much of its spelling is asked for it.
    pub fn asked(&self, spelling: Spelling) -> Self {
        // Only one without any visible character folds to nothing; a version before took such numbers.
        Self::parse(spelling.fold(&self.0)).unwrap_or_else(|_| self.clone())
    }
}
