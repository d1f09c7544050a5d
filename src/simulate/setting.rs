//! The setting of a run, and the tally of its events and calls.

/// A policy that a simulation compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Contender {
    /// Check the parcel that was checked longest ago
    Fixed,
    /// An interval for each status
    Table,
    /// An interval that grows while nothing changes
    Backoff,
    /// As fixed, but not within two hours after a change
    Karrio,
    /// The policy of TrackBox with work.policy = "learned"
    Learned,
    /// As learned, but with the true rates
    True,
    /// Every minute, check the parcels with the largest cost by the true rates
    Oracle,
    /// Knows which parcels have changed
    Clairvoyant,
}

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Table => "table",
            Self::Backoff => "backoff",
            Self::Karrio => "karrio",
            Self::Learned => "learned",
            Self::True => "true",
            Self::Oracle => "oracle",
            Self::Clairvoyant => "clairvoyant",
        }
    }
}

/// Parcels that become known at once, while they are under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Import {
    /// How many, over all carriers in proportion to their parcels.
    pub parcels: f64,
    /// When, in hours since the start.
    pub at: f64,
}

/// The setting of a run.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Checks a day for each parcel.
    pub load: f64,
    pub seed: u64,
    pub days: f64,
    /// The first day whose events count, and the day at whose start they cease to.
    pub from: f64,
    pub to: f64,
    /// Calls are limited by day instead of by minute.
    pub quota: bool,
    /// How many numbers a call takes.
    pub numbers: usize,
    /// Hours until the carrier shows an event.
    pub lag: f64,
    /// The share of calls that fail.
    pub failing_calls: f64,
    /// The numbers that always fail, as a share of the other parcels.
    pub failing_numbers: f64,
    pub import: Option<Import>,
    /// Each parcel's lane is faster or slower than others.
    pub own_lanes: bool,
    /// Whether what was learned is forgotten.
    pub forgets: bool,
}

impl Setting {
    /// Whether what happens at `time` counts.
    pub fn counts(&self, time: f64) -> bool {
        (self.from * 24.0..self.to * 24.0).contains(&time)
    }
}
