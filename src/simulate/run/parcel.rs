//! What the worker of a simulation knows of a parcel.

use crate::simulate::queue::Group;
use crate::simulate::trace::Origin;

/// A parcel as the worker knows it.
pub struct KnownParcel {
    pub stage: usize,
    pub since: f64,
    /// The time of the last good answer.
    pub last_ok: Option<f64>,
    /// When the worker learned of the parcel.
    pub entered: f64,
    /// The time of the check that last showed news; for the oracle also that of the last failure.
    pub changed: f64,
    /// Failures in a row.
    pub fails: u32,
    /// The index of the next unseen event.
    pub next: usize,
    pub active: bool,
    /// The oracle's sums: the probability of no news, the unseen weight, and its cost.
    pub quiet: f64,
    pub unseen: f64,
    pub cost: f64,
}

impl KnownParcel {
    /// A parcel without an answer, known by its first event from `entered` on.
    pub fn new((since, stage): (f64, usize), entered: f64) -> Self {
        Self {
            stage,
            since,
            last_ok: None,
            entered,
            changed: since,
            fails: 0,
            next: 1,
            active: true,
            quiet: 1.0,
            unseen: 0.0,
            cost: 0.0,
        }
    }

    /// A parcel whose last event, of `next` events, was seen at the start.
    pub fn answered(last: (f64, usize), next: usize, active: bool) -> Self {
        Self {
            last_ok: Some(0.0),
            next,
            active,
            ..Self::new(last, 0.0)
        }
    }

    /// The group in which a claim takes it.
    pub fn group(&self) -> Group {
        match self.last_ok {
            Some(_) => Group::Known,
            None => Group::Unanswered,
        }
    }

    /// Whether its events and checks do not count: it never has an answer, or was imported and has none yet.
    pub fn left_out(&self, origin: Origin) -> bool {
        match origin {
            Origin::Created => false,
            Origin::Imported => self.last_ok.is_none(),
            Origin::Failing => true,
        }
    }
}
