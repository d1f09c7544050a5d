//! The bus: the topic that every update travels on, from `work` to `consume` and to other systems.
//!
//! A record's key is the tracking id in decimal, so that one parcel stays in one partition. [`Bus::Memory`] is the same
//! log of bytes inside one process.

pub mod broker;
pub mod memory;
pub mod message;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::kafka::broker::Broker;
use crate::kafka::memory::MemoryBus;

/// A record to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// A record of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// `None` for what Kafka calls a tombstone.
    pub value: Option<Vec<u8>>,
    /// When it was published, by the publisher's or the broker's clock.
    pub timestamp: Time,
}

/// The most bytes of records in one fetch, but for a larger record, or on Kafka a larger batch, which comes whole.
const FETCH_BYTES_MAX: usize = 1_000_000;

/// What a fetch gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The offset that was really read from. It differs from the one asked for where nothing can be had there: what lay
    /// between is gone or unreadable, which the bus logs.
    pub from: i64,
    /// In the order of their offsets, which may have gaps; none lies below `from`.
    pub records: Vec<Record>,
    /// Why the offsets between the one asked for and `from` could not be read, where they are there.
    pub unreadable: Option<String>,
    /// The offset that the partition's next record gets.
    pub high_watermark: i64,
}

/// Why the bus did not take or give records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    #[error("the bus is full: nothing has been consumed for {} s", waited.as_secs())]
    Full { waited: Duration },
    #[error("a record of {size_bytes} bytes is larger than the bus takes ({limit_bytes})")]
    TooLarge {
        size_bytes: usize,
        limit_bytes: usize,
    },
    #[error("there is no partition {partition}")]
    NoPartition { partition: i32 },
    #[error("cannot {doing}: {reason}")]
    Away { doing: &'static str, reason: String },
}

/// The topic, wherever it lives. A clone is the same topic.
#[derive(Clone, Debug)]
pub enum Bus {
    Memory(Arc<MemoryBus>),
    Kafka(Arc<Broker>),
}

impl Bus {
    /// The name under which offsets and dead letters of this topic are kept.
    pub fn topic(&self) -> &str {
        match self {
            Self::Memory(_) => memory::TOPIC,
            Self::Kafka(broker) => broker.topic(),
        }
    }

    /// Whether other processes read and write it too.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Kafka(_) => true,
        }
    }

    /// Whether something should be published now: the bus takes records, or may do so again and this is the one try for
    /// a while. Who gets a yes publishes.
    pub async fn may_publish(&self) -> bool {
        match self {
            Self::Memory(bus) => bus.has_room(),
            Self::Kafka(broker) => broker.may_publish().await,
        }
    }

    /// Whether it answers now, as far as is known; asks at most once in a while, and for a short time.
    pub async fn is_ready(&self) -> bool {
        match self {
            Self::Memory(bus) => bus.has_room(),
            Self::Kafka(broker) => broker.is_ready().await,
        }
    }

    /// Makes sure that the topic is there and its partitions are counted; cheap where that was done lately.
    ///
    /// # Errors
    /// [`BusError::Away`].
    pub async fn prepare(&self) -> Result<(), BusError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Kafka(broker) => broker.prepare().await,
        }
    }

    /// The partitions of the topic, as far as they are known.
    pub fn partitions(&self) -> Vec<i32> {
        match self {
            Self::Memory(bus) => bus.partitions(),
            Self::Kafka(broker) => broker.partitions(),
        }
    }

    /// Publishes `records` in order; all of them are in the log when this answers `Ok`.
    ///
    /// After an error some may be in the log: consumers take a repeated record for what it is.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        match self {
            Self::Memory(bus) => bus.publish(records).await,
            Self::Kafka(broker) => broker.publish(records).await,
        }
    }

    /// Records of `partition` from `offset` on, about 1 MB at most; waits up to `wait` for the first.
    pub async fn fetch(
        &self,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> Result<Fetched, BusError> {
        match self {
            Self::Memory(bus) => bus.fetch(partition, offset, wait).await,
            Self::Kafka(broker) => broker.fetch(partition, offset, wait).await,
        }
    }

    /// The end of every partition: the offset that its next record gets.
    ///
    /// # Errors
    /// [`BusError::Away`].
    pub async fn ends(&self) -> Result<Vec<(i32, i64)>, BusError> {
        match self {
            Self::Memory(bus) => Ok(bus.ends()),
            Self::Kafka(broker) => broker.ends().await,
        }
    }

    /// Says that everything below `next_offset` has taken effect.
    pub fn applied(&self, partition: i32, next_offset: i64) {
        match self {
            Self::Memory(bus) => bus.forget_below(partition, next_offset),
            Self::Kafka(_) => {}
        }
    }

    /// Returns when everything published by this process has been applied; at once where others apply it.
    pub async fn drained(&self) {
        match self {
            Self::Memory(bus) => bus.drained().await,
            Self::Kafka(_) => {}
        }
    }
}

/// The partition of a key among `partitions`, as Kafka's own clients choose it (murmur2, sign bit dropped).
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = (murmur2(key) & 0x7fff_ffff).cast_signed();
    positive % partitions.max(1)
}

/// MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2, Kafka 4.1, read November 2026).
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::{murmur2, partition_of};

    /// The vectors of Kafka's own test (UtilsTest.testMurmur2).
    #[test]
    fn a_key_goes_where_other_kafka_clients_put_it() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert_eq!(partition_of(b"abc", 12), 479_470_107 % 12);
    }
}
