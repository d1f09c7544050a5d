//! What the worker of a simulation knows of a parcel.

/// A parcel as the worker knows it.
pub struct KnownParcel {
    pub stage: usize,
    pub since: f64,
    /// The time of the last good answer.
    pub last_ok: f64,
    /// When the worker learned of the parcel.
    pub entered: f64,
    /// The time of the check that last showed news; for the oracle also that of the last failure.
    pub changed: f64,
    /// Failures in a row.
    pub fails: i32,
    /// The index of the next unseen event.
    pub next: usize,
    pub active: bool,
    /// The oracle's sums: the probability of no news, the unseen weight, and its cost.
    pub quiet: f64,
    pub unseen: f64,
    pub cost: f64,
}

impl KnownParcel {
    /// A parcel whose last event, `stage` at `since`, is known when it is `entered`.
    pub fn new((since, stage): (f64, usize), entered: f64, next: usize, active: bool) -> Self {
        Self {
            stage,
            since,
            last_ok: entered,
            entered,
            changed: since,
            fails: 0,
            next,
            active,
            quiet: 1.0,
            unseen: 0.0,
            cost: 0.0,
        }
    }
}
