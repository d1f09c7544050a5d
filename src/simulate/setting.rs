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

/// The setting of a run.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Calls a day for each parcel.
    pub load: f64,
    pub seed: u64,
    pub days: f64,
    /// The first day whose events count, and the day at whose start they cease to.
    pub from: f64,
    pub to: f64,
    /// Calls are limited by day instead of by minute.
    pub quota: bool,
    /// Hours until the carrier shows an event.
    pub lag: f64,
    /// The share of calls that fail.
    pub failing: f64,
    /// Whether what was learned is forgotten.
    pub forgets: bool,
}

/// An event that counts, and how many minutes it stayed unseen.
#[derive(Clone, Copy, Debug)]
pub struct Stale {
    pub minutes: f64,
    pub weight: f64,
    pub day: usize,
}

/// The events and calls of a run that count.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub stale: Vec<Stale>,
    /// How many events were never seen.
    pub unseen: usize,
    /// Calls in the days that count, and the sum over these days of the parcels under way.
    pub calls: f64,
    pub parcel_days: f64,
    pub longest_gap: f64,
    /// The largest number of calls in a day, as a share of the quota; 0 without a quota.
    pub busiest_day: f64,
    pub decisions: u64,
}

impl Tally {
    /// Adds the tally of another carrier.
    pub fn add(&mut self, other: Self) {
        self.stale.extend(other.stale);
        self.unseen += other.unseen;
        self.calls += other.calls;
        self.parcel_days += other.parcel_days;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        self.busiest_day = self.busiest_day.max(other.busiest_day);
        self.decisions += other.decisions;
    }
}
