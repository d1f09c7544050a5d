//! How the emulator is set up.

use std::collections::BTreeMap;

/// What makes a parcel move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Progress {
    /// A call does: one step on when its time has passed, or by chance.
    #[default]
    Ask,
    /// Time does: each step's moment is fixed when the parcel is seeded, asked or not.
    Clock,
}

/// Settings of an emulator.
#[derive(Clone, Debug)]
pub struct Options {
    pub progress: Progress,
    /// Fixes all that is left to chance.
    pub seed: u64,
    /// Calls a minute by carrier, in place of the built-in limits; 0 is none.
    pub limits: BTreeMap<String, u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            progress: Progress::Ask,
            seed: 1,
            limits: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Calls that a carrier allows in a calendar minute; 0 is no limit. Built in: CDEK 60, POST_RU 20.
    pub fn limit_per_minute(&self, carrier: &str) -> u32 {
        let built_in = match carrier {
            "CDEK" => 60,
            "POST_RU" => 20,
            _ => 0,
        };
        self.limits.get(carrier).copied().unwrap_or(built_in)
    }
}
