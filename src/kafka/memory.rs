//! The bus inside one process: a bounded log of bytes for each partition.
//!
//! It starts at the store's next offset. It is lost with the process; trackings whose updates were in it are checked
//! again when their leases end. A publisher waits while the log is full.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::kafka::partition::partition_of;
use crate::kafka::record::{BusError, FETCH_BYTES_MAX, Fetched, Outgoing, Record};

/// Its topic's name in offsets and dead letters: no Kafka topic's, so that a store that moves to Kafka skips nothing.
pub const TOPIC: &str = "in-process";

/// How many partitions it has in `trackbox all`. The consumer's transactions are the bottleneck, and SQLite writes one
/// at a time.
pub const PARTITIONS: i32 = 1;

/// How long a publisher waits for room.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The size of a record besides its key and value.
const RECORD_BYTES: usize = 96;

/// The log.
#[derive(Debug)]
pub struct MemoryBus {
    clock: Clock,
    bytes_max: usize,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    log: Mutex<Log>,
    published: Notify,
    forgotten: Notify,
}

#[derive(Debug)]
struct Log {
    /// The offset of the first record that is kept.
    first: i64,
    records: VecDeque<Record>,
    bytes: usize,
}

impl MemoryBus {
    /// A log with one partition for each of `next_offsets`, which starts at that offset. The partitions share
    /// `bytes_max` equally.
    pub fn new(clock: Clock, next_offsets: &[i64], bytes_max: usize) -> Self {
        let partitions = next_offsets
            .iter()
            .map(|first| Partition {
                log: Mutex::new(Log {
                    first: *first,
                    records: VecDeque::new(),
                    bytes: 0,
                }),
                published: Notify::new(),
                forgotten: Notify::new(),
            })
            .collect();
        Self {
            clock,
            bytes_max: bytes_max / next_offsets.len().max(1),
            partitions,
        }
    }

    pub fn partitions(&self) -> Vec<i32> {
        (0..self.count()).collect()
    }

    /// `Bus::ends`, in this process.
    pub fn ends(&self) -> Vec<(i32, i64)> {
        let ends = self
            .partitions
            .iter()
            .map(|partition| partition.lock().end());
        (0..).zip(ends).collect()
    }

    /// Whether every partition's log is less than three quarters full.
    pub fn has_room(&self) -> bool {
        let full = self.bytes_max / 4 * 3;
        self.partitions
            .iter()
            .all(|partition| partition.lock().bytes < full)
    }

    fn count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    fn partition(&self, partition: i32) -> Result<&Partition, BusError> {
        usize::try_from(partition)
            .ok()
            .and_then(|place| self.partitions.get(place))
            .ok_or(BusError::NoPartition { partition })
    }

    /// `Bus::publish`, in this process.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        for record in records {
            let partition = self.partition(partition_of(&record.key, self.count()))?;
            self.append(partition, record, deadline).await?;
        }
        Ok(())
    }

    async fn append(
        &self,
        partition: &Partition,
        record: Outgoing,
        deadline: Instant,
    ) -> Result<(), BusError> {
        let size = record.key.len() + record.value.len() + RECORD_BYTES;
        if size > self.bytes_max {
            return Err(BusError::TooLarge {
                size_bytes: size,
                limit_bytes: self.bytes_max,
            });
        }
        loop {
            // Listens before it looks, so that no wake-up is lost.
            let forgotten = partition.forgotten.notified();
            {
                let mut log = partition.lock();
                if log.bytes + size <= self.bytes_max {
                    let offset = log.end();
                    log.bytes += size;
                    log.records.push_back(Record {
                        offset,
                        key: Some(record.key),
                        value: Some(record.value),
                        timestamp: self.clock.now(),
                    });
                    partition.published.notify_waiters();
                    return Ok(());
                }
            }
            timeout_at(deadline, forgotten)
                .await
                .map_err(|_| BusError::Full {
                    waited: PUBLISH_TIMEOUT,
                })?;
        }
    }

    /// `Bus::fetch`, in this process.
    pub async fn fetch(
        &self,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> Result<Fetched, BusError> {
        let partition = self.partition(partition)?;
        let deadline = Instant::now() + wait;
        loop {
            let published = partition.published.notified();
            let fetched = partition.lock().from(offset);
            if !fetched.records.is_empty() || wait.is_zero() {
                return Ok(fetched);
            }
            if timeout_at(deadline, published).await.is_err() {
                return Ok(fetched);
            }
        }
    }

    /// Drops the records below `next_offset`, which makes room.
    pub fn forget_below(&self, partition: i32, next_offset: i64) {
        let Ok(partition) = self.partition(partition) else {
            return;
        };
        {
            let mut log = partition.lock();
            while log
                .records
                .front()
                .is_some_and(|record| record.offset < next_offset)
            {
                if let Some(record) = log.records.pop_front() {
                    log.bytes = log.bytes.saturating_sub(size_of_record(&record));
                    log.first = record.offset + 1;
                }
            }
        }
        partition.forgotten.notify_waiters();
    }

    /// `Bus::drained`, in this process.
    pub async fn drained(&self) {
        for partition in &self.partitions {
            loop {
                let forgotten = partition.forgotten.notified();
                if partition.lock().records.is_empty() {
                    break;
                }
                forgotten.await;
            }
        }
    }
}

fn size_of_record(record: &Record) -> usize {
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    bytes(&record.key) + bytes(&record.value) + RECORD_BYTES
}

impl Partition {
    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }
}

impl Log {
    fn end(&self) -> i64 {
        self.first + i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }

    fn from(&self, offset: i64) -> Fetched {
        let mut room = FETCH_BYTES_MAX;
        let skip = usize::try_from(offset.saturating_sub(self.first)).unwrap_or(0);
        Fetched {
            from: offset,
            records: self
                .records
                .iter()
                .skip(skip)
                .take_while(|record| {
                    let fits = room > 0;
                    room = room.saturating_sub(size_of_record(record));
                    fits
                })
                .cloned()
                .collect(),
            unreadable: None,
            high_watermark: self.end(),
        }
    }
}
