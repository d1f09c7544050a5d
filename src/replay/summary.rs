//! What reading archived answers again would change, in numbers: by carrier, and each change of a status.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::CarrierCode;
use crate::replay::{Difference, LeftAlone, Replay};
use crate::reread::words;

/// What was found of all parcels.
#[derive(Debug, Default)]
pub struct Summary {
    /// Parcels looked at.
    pub parcels: u64,
    pub differ: u64,
    pub left: u64,
    carriers: BTreeMap<CarrierCode, OfCarrier>,
}

/// What was found of a carrier's parcels.
#[derive(Debug, Default)]
struct OfCarrier {
    parcels: u64,
    differ: u64,
    new_events: u64,
    changed_events: u64,
    gone_events: u64,
    statuses: BTreeMap<(String, String), u64>,
    left: BTreeMap<LeftAlone, u64>,
}

impl Summary {
    pub fn note(&mut self, carrier: &CarrierCode, replay: &Replay) {
        self.parcels += 1;
        let own = self.carriers.entry(carrier.clone()).or_default();
        own.parcels += 1;
        match replay {
            Replay::Same => {}
            Replay::Left(why) => {
                self.left += 1;
                *own.left.entry(*why).or_default() += 1;
            }
            Replay::Differs(difference) => {
                self.differ += 1;
                own.add(difference);
            }
        }
    }

    /// The lines of each carrier, the most frequent changes first.
    pub fn lines(&self) -> Vec<String> {
        let carriers = self.carriers.iter();
        let lines = carriers.flat_map(|(carrier, own)| own.lines(carrier));
        lines.collect()
    }
}

impl OfCarrier {
    fn add(&mut self, difference: &Difference) {
        self.differ += 1;
        self.new_events += difference.new_events as u64;
        self.changed_events += difference.changed_events as u64;
        self.gone_events += difference.gone_events as u64;
        let words = (words(&difference.old), words(&difference.new));
        if words.0 != words.1 {
            *self.statuses.entry(words).or_default() += 1;
        }
    }

    fn lines(&self, carrier: &CarrierCode) -> Vec<String> {
        let mut lines = vec![format!(
            "{carrier}: {} of {} parcels differ, by {} events new, {} changed, {} superseded",
            self.differ, self.parcels, self.new_events, self.changed_events, self.gone_events
        )];
        let mut statuses: Vec<_> = self.statuses.iter().collect();
        statuses.sort_by_key(|(_, count)| Reverse(**count));
        for ((old, new), count) in statuses {
            lines.push(format!("{count:>9}  {old} -> {new}"));
        }
        for (why, count) in &self.left {
            lines.push(format!("{count:>9}  left alone: {why}"));
        }
        lines
    }
}
