//! What is simulated, and what came of it.

/// How a worker decides whom to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Policy {
    /// Whoever was asked longest ago.
    Fixed,
    /// An interval for each status.
    Table,
    /// An interval that grows while nothing changes.
    Backoff,
    /// As fixed, but not within two hours of a change.
    Karrio,
    /// What TrackBox does with work.policy = "learned".
    Learned,
    /// The same, told the true rates.
    True,
    /// The parcel with the largest cost, by the true rates, every minute.
    Oracle,
    /// Told what has changed.
    Clairvoyant,
}

impl Policy {
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

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Calls a parcel and day.
    pub load: f64,
    pub seed: u64,
    pub days: f64,
    /// The days whose events count.
    pub from: f64,
    pub to: f64,
    /// Calls are limited by day instead of by minute.
    pub quota: bool,
    /// Hours until an event is shown.
    pub lag: f64,
    /// The share of calls that fail.
    pub failing: f64,
    /// Whether what was learned is forgotten.
    pub forgets: bool,
}

/// An event that counts: how long it stayed unseen in minutes, and what it was.
#[derive(Clone, Copy, Debug)]
pub struct Stale {
    pub minutes: f64,
    pub weight: f64,
    pub day: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub stale: Vec<Stale>,
    /// Events that count and were never seen.
    pub unseen: usize,
    /// Calls within the days that count, and parcels under way in them, by day.
    pub calls: f64,
    pub parcel_days: f64,
    pub longest_gap: f64,
    /// The most calls of any day of a quota, as a share of it.
    pub busiest_day: f64,
    pub decisions: u64,
}

impl Outcome {
    /// Adds what came of another carrier.
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
