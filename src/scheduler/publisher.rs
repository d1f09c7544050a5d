//! Publishing the answers of many calls together: what comes in while a publication is under way goes out with the next.
//!
//! A call's own few records would fill a request to a broker badly, and a request of each call costs the brokers more than
//! the records in it.

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::kafka::Bus;
use crate::kafka::record::{BusError, Outgoing};

/// How many publications are under way at once.
const TURNS: usize = 2;

/// The most records of one publication; one call's are never parted.
const RECORDS_MAX: usize = 2_000;

/// The records of one call, and who waits for them.
struct Waiting {
    records: Vec<Outgoing>,
    done: oneshot::Sender<Result<(), BusError>>,
}

/// Publishes for all calls of a worker.
pub struct Publisher {
    bus: Bus,
    waiting: Mutex<Vec<Waiting>>,
    turns: Semaphore,
}

impl Publisher {
    pub fn new(bus: Bus) -> Self {
        Self {
            bus,
            waiting: Mutex::default(),
            turns: Semaphore::new(TURNS),
        }
    }

    /// Publishes `records` in order, as [`Bus::publish`] does. After `Ok` all of them are in the log.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        if !self.bus.is_shared() {
            // Nothing would be saved.
            return self.bus.publish(records).await;
        }
        let (done, mut told) = oneshot::channel();
        self.waiting.lock().push(Waiting { records, done });
        let turn = self.turns.acquire().await;
        // Meanwhile another call may have published these too.
        if let Ok(result) = told.try_recv() {
            return result;
        }
        let group = self.next_group();
        self.publish_all(group).await;
        drop(turn);
        told.await.unwrap_or_else(|_| {
            Err(BusError::Away {
                doing: "publish",
                reason: "the call that published it was stopped".to_owned(),
            })
        })
    }

    fn next_group(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock();
        let mut records = 0;
        let fits = |one: &&Waiting| {
            let first = records == 0;
            records += one.records.len();
            first || records <= RECORDS_MAX
        };
        let count = waiting.iter().take_while(fits).count();
        waiting.drain(..count).collect()
    }

    async fn publish_all(&self, mut group: Vec<Waiting>) {
        let records = match group.as_mut_slice() {
            [] => return,
            [one] => std::mem::take(&mut one.records),
            many => many.iter().flat_map(|one| one.records.clone()).collect(),
        };
        let result = self.bus.publish(records).await;
        let is_of_one_record = matches!(result, Err(BusError::TooLarge { .. }));
        let many = group.len() > 1;
        for one in group {
            let result = if is_of_one_record && many {
                // One of them has it; the others are in the log already, and consumers ignore the repetition.
                self.bus.publish(one.records).await
            } else {
                result.clone()
            };
            // A call that was stopped waits no more.
            drop(one.done.send(result));
        }
    }
}
