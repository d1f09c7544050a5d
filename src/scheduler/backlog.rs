//! The backlog: partitions of the topic whose records wait to be applied.
//!
//! A parcel whose answer waits there looks due again when its lease ends, and asking again would tell nothing. So its
//! partition rests until the consumers are back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::Context as _;

use crate::kafka::Bus;
use crate::kafka::message::key;
use crate::kafka::partition::partition_of;
use crate::store::Store;

/// How many times in a lease the topic's ends are read.
const LOOKS_A_LEASE: u32 = 8;

/// The ends of the topic's partitions at a time.
struct Mark {
    /// On the clock's monotonic time.
    at: Duration,
    ends: BTreeMap<i32, i64>,
}

/// What waits in the topic, as one worker sees it.
pub struct Backlog {
    lease: Duration,
    /// The oldest first; the first one is the newest of those that are older than half a lease.
    marks: VecDeque<Mark>,
    waiting: BTreeSet<i32>,
}

impl Backlog {
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            marks: VecDeque::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Whether all partitions wait, so that no parcel may be asked about.
    pub fn is_everywhere(&self) -> bool {
        let newest = self.marks.back();
        newest.is_some_and(|mark| !mark.ends.is_empty() && self.waiting.len() >= mark.ends.len())
    }

    /// Whether the records of a tracking's partition have waited for longer than half a lease.
    pub fn holds(&self, tracking_id: i64) -> bool {
        let Some(newest) = self.marks.back().filter(|_| !self.waiting.is_empty()) else {
            return false;
        };
        let partitions = i32::try_from(newest.ends.len()).unwrap_or(i32::MAX);
        let partition = partition_of(&key(tracking_id), partitions);
        self.waiting.contains(&partition)
    }

    /// Looks at the topic, if it is time.
    ///
    /// # Errors
    /// If the bus or the store does not answer. What was seen last stays.
    pub async fn look(&mut self, bus: &Bus, store: &Store, now: Duration) -> anyhow::Result<()> {
        let every = self.lease / LOOKS_A_LEASE;
        if self.marks.back().is_some_and(|mark| now < mark.at + every) {
            return Ok(());
        }
        let ends = bus.ends().await.context("cannot read the topic's ends")?;
        let states = store.partition_states(bus.topic()).await;
        let states = states.context("cannot read how far the partitions are applied")?;
        self.marks.push_back(Mark {
            at: now,
            ends: ends.into_iter().collect(),
        });
        while self
            .marks
            .get(1)
            .is_some_and(|mark| mark.at + self.lease / 2 <= now)
        {
            self.marks.pop_front();
        }
        let is_old = |mark: &&Mark| mark.at + self.lease / 2 <= now;
        let before = std::mem::take(&mut self.waiting);
        if let Some(mark) = self.marks.front().filter(is_old) {
            let applied: BTreeMap<i32, i64> = states
                .into_iter()
                .map(|state| (state.partition, state.next_offset))
                .collect();
            let ends = mark.ends.iter();
            let waiting =
                ends.filter(|(partition, end)| applied.get(partition).unwrap_or(&0) < end);
            self.waiting = waiting.map(|(partition, _)| *partition).collect();
        }
        if self.waiting != before {
            let (topic, waiting) = (bus.topic(), &self.waiting);
            if waiting.is_empty() {
                tracing::info!(
                    topic,
                    "the records of {topic} are applied again: all parcels are checked"
                );
            } else {
                tracing::warn!(
                    topic,
                    ?waiting,
                    "parcels of partitions {waiting:?} of {topic} are not checked: its records wait for a consumer"
                );
            }
        }
        Ok(())
    }
}
