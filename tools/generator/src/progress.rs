//! What a run reports while it goes on, and its summary.

use std::fmt;

/// Something that happened in a run.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// A line to show: the seed, an outage, a refusal.
    Note(String),
    /// The emulator has the journeys of `done` parcels out of `total`.
    Seeded { done: usize, total: usize },
    /// A batch is done, or the first one is about to be sent.
    Created(&'a Summary),
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many trackings were asked for.
    pub total: usize,
    /// Trackings that this run created.
    pub created: usize,
    /// Trackings that existed before this run.
    pub already_there: usize,
    /// Items that the API refused.
    pub refused: usize,
    /// Seconds since the start of the run, including the seeding of the emulator.
    pub seconds: f64,
    /// Trackings a second, measured from the answer to the first batch to the answer to the last. `None` until there are
    /// two.
    pub rate: Option<f64>,
    /// The seed that makes the same numbers again.
    pub seed: u64,
}

impl Summary {
    /// How many of the trackings asked for are created, found or refused.
    pub fn done(&self) -> usize {
        self.created + self.already_there + self.refused
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} trackings in {:.1} s: {} created, {} already there, {} refused",
            self.done(),
            self.total,
            self.seconds,
            self.created,
            self.already_there,
            self.refused
        )?;
        if let Some(rate) = self.rate {
            write!(f, "; {rate:.1} a second")?;
        }
        write!(f, " (seed {})", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn a_summary_reads_as_one_line() {
        let summary = Summary {
            total: 1_000,
            created: 900,
            already_there: 40,
            refused: 60,
            seconds: 40.26,
            rate: Some(20.0),
            seed: 7,
        };
        assert_eq!(
            summary.to_string(),
            "1000 of 1000 trackings in 40.3 s: 900 created, 40 already there, 60 refused; 20.0 a second (seed 7)"
        );
    }
}
