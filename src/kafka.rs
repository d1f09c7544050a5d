//! The bus: the topic that carries every update from `work` to `consume` and to other systems.
//!
//! A record's key is the tracking id in decimal, so that all updates of a parcel are in one partition. [`Bus::Memory`]
//! is the same log of bytes inside one process.

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

/// The topic. A clone is the same topic.
#[derive(Clone, Debug)]
pub enum Bus {
    Memory(Arc<MemoryBus>),
    Kafka(Arc<Broker>),
}

impl Bus {
    /// The topic's name, under which its offsets and dead letters are stored.
    pub fn topic(&self) -> &str {
        match self {
            Self::Memory(_) => memory::TOPIC,
            Self::Kafka(broker) => broker.topic(),
        }
    }

    /// Whether other processes read and write it.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Kafka(_) => true,
        }
    }

    /// Whether to publish now. After the bus refused records, this returns true once per pause, which doubles: a caller
    /// that gets true must publish, as the attempt that shows whether the bus takes records again.
    pub async fn may_publish(&self) -> bool {
        match self {
            Self::Memory(bus) => bus.has_room(),
            Self::Kafka(broker) => broker.may_publish().await,
        }
    }

    /// Whether the bus answers, as far as is known. Brokers that are unreachable are asked once a second at most.
    pub async fn is_ready(&self) -> bool {
        match self {
            Self::Memory(bus) => bus.has_room(),
            Self::Kafka(broker) => broker.is_ready().await,
        }
    }

    /// Creates the topic if it is missing, and counts its partitions. Cheap if that was done lately.
    ///
    /// # Errors
    /// [`BusError::Away`].
    pub async fn prepare(&self) -> Result<(), BusError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Kafka(broker) => broker.prepare().await,
        }
    }

    /// The partitions of the topic as last counted.
    pub fn partitions(&self) -> Vec<i32> {
        match self {
            Self::Memory(bus) => bus.partitions(),
            Self::Kafka(broker) => broker.partitions(),
        }
    }

    /// Publishes `records` in order. After `Ok` all of them are in the log.
    ///
    /// After an error some of them may be in the log. They can be published again: consumers ignore repetitions.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        match self {
            Self::Memory(bus) => bus.publish(records).await,
            Self::Kafka(broker) => broker.publish(records).await,
        }
    }

    /// Records of `partition` from `offset` on, about 1 MB at most. Waits up to `wait` for the first.
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

    /// Notes that everything below `next_offset` has been applied.
    pub fn applied(&self, partition: i32, next_offset: i64) {
        match self {
            Self::Memory(bus) => bus.forget_below(partition, next_offset),
            Self::Kafka(_) => {}
        }
    }

    /// Waits until everything that this process published has been applied. Returns at once on Kafka, where other
    /// processes apply it.
    pub async fn drained(&self) {
        match self {
            Self::Memory(bus) => bus.drained().await,
            Self::Kafka(_) => {}
        }
    }
}
