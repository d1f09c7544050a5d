//! The options of an emulator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::oauth::OAuth;

/// What makes a parcel move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Progress {
    /// A call moves its parcel one step on, if the time between steps has passed, and otherwise by chance.
    #[default]
    Ask,
    /// Each step happens at a time that is fixed when the parcel is seeded, without any call.
    Clock,
}

/// A way that some carriers have beside the common one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Behaviour {
    /// Takes up to 3,000 numbers at /v1/tracking/tickets, and answers later (see --ticket-secs and /v1/admin/tickets)
    Ticket,
}

/// The options of an emulator.
#[derive(Clone, Debug)]
pub struct Options {
    pub progress: Progress,
    /// Seeds everything random.
    pub seed: u64,
    /// Calls a minute by carrier, instead of the built-in limits; 0: no limit.
    pub limits: BTreeMap<String, u32>,
    /// Calls of the carriers' own API need a token, which these credentials get.
    pub oauth: Option<OAuth>,
    pub behaviours: BTreeSet<Behaviour>,
    /// How long a ticket's answer takes.
    pub ticket_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            progress: Progress::Ask,
            seed: 1,
            limits: BTreeMap::new(),
            oauth: None,
            behaviours: BTreeSet::new(),
            ticket_wait: Duration::from_secs(10),
        }
    }
}

impl Options {
    /// Calls that a carrier allows in a calendar minute; 0: no limit. Built in: CDEK 60, POST_RU 20.
    pub fn limit_per_minute(&self, carrier: &str) -> u32 {
        let built_in = match carrier {
            "CDEK" => 60,
            "POST_RU" => 20,
            _ => 0,
        };
        self.limits.get(carrier).copied().unwrap_or(built_in)
    }
}
