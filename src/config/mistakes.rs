//! The mistakes in a configuration: each with its place and what to do, all reported at once.

use std::fmt::{self, Display};

/// The most mistakes reported at once.
const SHOWN_MAX: usize = 50;

/// Why a configuration was rejected.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub mistakes: Vec<Mistake>,
}

/// One mistake in a configuration. No part of it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, with the key.
    pub what: String,
    /// The file and key, or the variable.
    pub place: String,
    /// What the user should do.
    pub advice: String,
}

impl Mistake {
    pub fn new(
        what: impl Into<String>,
        place: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (what, place, advice) = (what.into(), place.into(), advice.into());
        Self {
            what,
            place,
            advice,
        }
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => write!(f, "the configuration has a mistake:")?,
            count => write!(f, "the configuration has {count} mistakes:")?,
        }
        for mistake in self.mistakes.iter().take(SHOWN_MAX) {
            write!(f, "\n\n{mistake}")?;
        }
        match self.mistakes.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl fmt::Debug for ConfigError {
    /// As `Display`: `main` and `expect` show errors this way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {}\n    where: {}\n    to do: {}",
            self.what, self.place, self.advice
        )
    }
}
