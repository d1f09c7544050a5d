//! What a refused configuration says: every mistake, its place, and what to do.

use std::fmt;

use crate::config::{ConfigError, Problem};

/// The most mistakes told of at once.
const SHOWN_MAX: usize = 50;

impl ConfigError {
    pub fn one(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "the configuration has a mistake:")?,
            count => write!(f, "the configuration has {count} mistakes:")?,
        }
        for problem in self.problems.iter().take(SHOWN_MAX) {
            write!(f, "\n\n{problem}")?;
        }
        match self.problems.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl fmt::Debug for ConfigError {
    /// As `Display`, since `main` and `expect` show errors this way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            place,
            advice,
        } = self;
        write!(f, "  {what}\n    where: {place}\n    to do: {advice}")
    }
}
