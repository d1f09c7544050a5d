//! The bus: the topic that every update travels on, from `work` to `consume` and to other systems.
//!
//! A record's key is the tracking id in decimal, so that one parcel stays in one partition. [`Bus::Memory`] is the same
//! log of bytes inside one process.

pub mod broker;
pub mod memory;
pub mod message;
pub mod partition;
pub mod record;

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::broker::Broker;
use crate::kafka::memory::MemoryBus;
use crate::kafka::record::{BusError, Fetched, Outgoing};

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
