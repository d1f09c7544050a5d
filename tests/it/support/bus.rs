//! Buses for tests: in memory and on a broker, with four partitions.

use std::sync::Arc;
use std::time::Duration;

use trackbox::clock::Clock;
use trackbox::kafka::Bus;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::BrokerSettings;
use trackbox::kafka::memory::MemoryBus;
use trackbox::kafka::record::{Fetched, Outgoing};
use uuid::Uuid;

use crate::support::engines::server;

pub const NO_WAIT: Duration = Duration::ZERO;
pub const WAIT: Duration = Duration::from_secs(2);

/// The address of the shared broker.
pub fn shared_kafka() -> String {
    server("TRACKBOX_TEST_KAFKA")
}

pub fn new_topic() -> String {
    format!("test.{}", Uuid::now_v7().simple())
}

pub fn settings(brokers: &str, topic: &str) -> BrokerSettings {
    BrokerSettings {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        topic: topic.to_owned(),
        partitions: 4,
        tls: None,
        sasl: None,
    }
}

/// A bus that is not yet connected.
pub fn on(brokers: &str, topic: &str) -> Bus {
    let broker = Broker::new(settings(brokers, topic), Clock::system());
    Bus::Kafka(Arc::new(broker))
}

/// A bus of its own on the shared broker.
pub async fn on_kafka() -> Bus {
    let bus = on(&shared_kafka(), &new_topic());
    bus.prepare().await.expect("connects");
    bus
}

/// Runs one contract on every kind of bus.
pub async fn on_every_bus<F: Future<Output = ()>>(contract: impl Fn(Bus) -> F) {
    let memory = MemoryBus::new(Clock::system(), &[0; 4], 64 << 20);
    contract(Bus::Memory(Arc::new(memory))).await;
    contract(on_kafka().await).await;
}

pub fn record(key: impl ToString, value: impl Into<Vec<u8>>) -> Outgoing {
    Outgoing {
        key: key.to_string().into_bytes(),
        value: value.into(),
    }
}

pub async fn fetch(bus: &Bus, partition: i32, offset: i64) -> Fetched {
    bus.fetch(partition, offset, WAIT).await.expect("fetches")
}

/// Keys and values of all records of a partition, fetched to its end.
pub async fn read_all(bus: &Bus, partition: i32) -> Vec<(String, Option<String>)> {
    let (mut read, mut offset) = (Vec::new(), 0);
    loop {
        let fetched = bus
            .fetch(partition, offset, Duration::from_millis(300))
            .await;
        let fetched = fetched.expect("fetches");
        assert_eq!(fetched.unreadable, None);
        let Some(last) = fetched.records.last() else {
            assert_eq!(fetched.from, fetched.high_watermark, "read to its end");
            return read;
        };
        offset = last.offset + 1;
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        read.extend(fetched.records.iter().map(|r| {
            (
                r.key.as_ref().map(text).unwrap_or_default(),
                r.value.as_ref().map(text),
            )
        }));
    }
}
