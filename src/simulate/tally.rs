//! The tally of a run: its events, calls and checks that count.

/// The kinds of events that have figures of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Delivered,
    OutForDelivery,
    Other,
}

/// An event that counts, and how many minutes it stayed unseen.
#[derive(Clone, Copy, Debug)]
pub struct Stale {
    pub minutes: f64,
    pub weight: f64,
    pub day: usize,
    pub news: News,
}

/// What happened from an import until all of its parcels were answered.
#[derive(Clone, Debug, Default)]
pub struct ImportTally {
    pub answered_at: f64,
    /// All checks, and those of parcels that were answered before.
    pub checks: f64,
    pub known_checks: f64,
    /// At any time, the good checks of parcels out for delivery, each with the hours since the one before.
    pub gaps: Vec<(f64, f64)>,
}

/// The events and calls of a run that count.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub stale: Vec<Stale>,
    /// How many events were never seen.
    pub unseen: usize,
    /// Calls in the days that count, the numbers asked for, and the sum over these days of the parcels under way.
    pub calls: f64,
    pub checks: f64,
    pub parcel_days: f64,
    pub longest_gap: f64,
    /// The largest number of calls in a day, as a share of the quota; 0 without a quota.
    pub busiest_day: f64,
    pub decisions: u64,
    pub import: ImportTally,
}

impl Tally {
    /// Notes the calls of a day, as a share of its quota.
    pub fn note_day(&mut self, spent: f64, calls: f64) {
        self.busiest_day = self.busiest_day.max(spent / calls.floor().max(1.0));
    }

    /// Adds the tally of another account.
    pub fn add(&mut self, other: Self) {
        self.stale.extend(other.stale);
        self.unseen += other.unseen;
        self.calls += other.calls;
        self.checks += other.checks;
        self.parcel_days += other.parcel_days;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        self.busiest_day = self.busiest_day.max(other.busiest_day);
        self.decisions += other.decisions;
        self.import.answered_at = self.import.answered_at.max(other.import.answered_at);
        self.import.checks += other.import.checks;
        self.import.known_checks += other.import.known_checks;
        self.import.gaps.extend(other.import.gaps);
    }
}
