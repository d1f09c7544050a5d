//! Publishing the answers of many calls together: a call's own few records would fill a request to a broker badly, and a
//! request of each call costs the brokers more than the records in it.

use crate::kafka::Bus;
use crate::kafka::record::{BusError, Outgoing};
use crate::together::{Together, Turns};

/// How many publications are under way at once.
const TURNS: usize = 2;

/// The most records of one publication; one call's are never parted.
const RECORDS_MAX: usize = 2_000;

/// Publishes for all calls of a worker.
pub struct Publisher {
    bus: Bus,
    together: Together<Publications>,
}

impl Publisher {
    pub fn new(bus: Bus) -> Self {
        let publications = Publications(bus.clone());
        Self {
            bus,
            together: Together::new(publications, TURNS, RECORDS_MAX),
        }
    }

    /// Publishes `records` in order, as [`Bus::publish`] does. After `Ok` all of them are in the log.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        if !self.bus.is_shared() {
            // Nothing would be saved.
            return self.bus.publish(records).await;
        }
        let size = records.len();
        let published = self.together.run(records, size).await;
        published.unwrap_or_else(|stopped| {
            Err(BusError::Away {
                doing: "publish",
                reason: stopped.to_string(),
            })
        })
    }
}

/// The records of several calls, published at once.
struct Publications(Bus);

impl Turns for Publications {
    type Work = Vec<Outgoing>;
    type Result = Result<(), BusError>;

    async fn do_all(&self, mut calls: Vec<Vec<Outgoing>>) -> Vec<Result<(), BusError>> {
        let records = match calls.as_mut_slice() {
            [one] => std::mem::take(one),
            many => many.iter().flatten().cloned().collect(),
        };
        let result = self.0.publish(records).await;
        let is_of_one_record = matches!(result, Err(BusError::TooLarge { .. }));
        if !is_of_one_record || calls.len() == 1 {
            return vec![result; calls.len()];
        }
        // One of them has it; the others are in the log already, and consumers ignore the repetition.
        let mut results = Vec::with_capacity(calls.len());
        for records in calls {
            results.push(self.0.publish(records).await);
        }
        results
    }
}
