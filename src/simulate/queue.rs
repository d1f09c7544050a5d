//! The parcels of a simulation by the time of their next check, and which of them a claim takes. It takes the place of the
//! store: a test shows that both take the same parcels in the same order.

use std::collections::{BTreeSet, VecDeque};

/// Microseconds of an hour. Whole microseconds can be ordered, and the store orders parcels by them too.
const MICROS: f64 = 3.6e9;

/// A parcel by the time of its next check and its id.
pub type Entry = (i64, u32);

/// The groups of parcels that a claim takes one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Refreshed parcels.
    Urgent,
    /// Parcels that never had an answer.
    Unanswered,
    /// All others.
    Known,
}

/// What a claim may take.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub now: f64,
    pub limit: usize,
    /// How many parcels that never had an answer go before others that are due.
    pub unanswered_max: usize,
}

/// Parcels by group, then by time and id, with the earliest first.
#[derive(Debug, Default)]
pub struct Queue([BTreeSet<Entry>; 3]);

impl Queue {
    pub fn push(&mut self, group: Group, hours: f64, id: usize) {
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        self.0[group as usize].insert(((hours * MICROS) as i64, id));
    }

    pub fn earliest(&self) -> Option<f64> {
        let firsts = self.0.iter().filter_map(BTreeSet::first);
        firsts.min().map(|(time, _)| *time as f64 / MICROS)
    }

    /// Takes parcels: urgent ones that are due; those that never had an answer, up to their share; others that are due;
    /// the rest of those without an answer, each group by time and id; then those of `early` that are still here, in
    /// their order. It removes from `early` what it has tried.
    pub fn claim(&mut self, claim: Claim, early: &mut VecDeque<Entry>) -> Vec<(f64, usize)> {
        let now = (claim.now * MICROS) as i64;
        let mut taken = Vec::new();
        for (group, most) in [
            (Group::Urgent, usize::MAX),
            (Group::Unanswered, claim.unanswered_max),
            (Group::Known, usize::MAX),
            (Group::Unanswered, usize::MAX),
        ] {
            let room = (claim.limit - taken.len()).min(most);
            self.take_due(group, now, room, &mut taken);
        }
        while taken.len() < claim.limit
            && let Some(entry) = early.pop_front()
        {
            if self.0[Group::Known as usize].remove(&entry) {
                taken.push(entry);
            }
        }
        let hours = |(time, id): Entry| (time as f64 / MICROS, id as usize);
        taken.into_iter().map(hours).collect()
    }

    fn take_due(&mut self, group: Group, now: i64, room: usize, taken: &mut Vec<Entry>) {
        let queue = &mut self.0[group as usize];
        for _ in 0..room {
            match queue.first() {
                Some((time, _)) if *time <= now => taken.extend(queue.pop_first()),
                _ => return,
            }
        }
    }

    /// The next known parcels that are not due and that `may_go`, at most `limit`.
    pub fn early(&self, now: f64, limit: usize, may_go: impl Fn(usize) -> bool) -> VecDeque<Entry> {
        let now = (now * MICROS) as i64;
        let known = &self.0[Group::Known as usize];
        known
            .range((now + 1, 0)..)
            .filter(|(_, id)| may_go(*id as usize))
            .take(limit)
            .copied()
            .collect()
    }
}
