//! What the bus promises, in memory and on Kafka.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use trackbox::kafka::Bus;
use trackbox::kafka::partition::partition_of;
use trackbox::kafka::record::{BusError, Outgoing};

use crate::support::bus::{
    NO_WAIT, fetch, new_topic, on, on_every_bus, on_kafka, read_all, record, shared_kafka,
};
use crate::support::engines::server;

/// Publishes `count` records of 50 keys at once, and asserts that those of each key come back once and in order.
async fn assert_keeps_order(bus: &Bus, count: usize) {
    let records: Vec<Outgoing> = (0..count)
        .map(|n| record(n % 50, format!("{n} {}", "x".repeat(200))))
        .collect();
    bus.publish(records).await.expect("publishes");
    let mut read = 0;
    for partition in 0..4 {
        let mut last: HashMap<String, i64> = HashMap::new();
        for (key, value) in read_all(bus, partition).await {
            assert_eq!(partition_of(key.as_bytes(), 4), partition);
            let value = value.expect("has a value");
            let n: i64 = value
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a number");
            let before = last.insert(key, n);
            assert!(before.is_none_or(|before| before < n), "in order");
            read += 1;
        }
    }
    assert_eq!(read, count);
}

#[tokio::test]
async fn published_records_come_back_in_order_in_their_keys_partition() {
    on_every_bus(async |bus| assert_keeps_order(&bus, 2_000).await).await;
}

/// A broker says that it leads a partition a moment before it accepts records. When a whole batch was sent at once, the
/// first requests were refused, retried, and overtaken by the others.
#[tokio::test]
async fn a_topic_that_was_just_created_keeps_the_order_of_its_records() {
    let topics = (0..20).map(|_| async { assert_keeps_order(&on_kafka().await, 1_000).await });
    join_all(topics).await;
}

#[tokio::test]
async fn a_fetch_begins_at_its_offset_and_knows_the_end_of_the_partition() {
    on_every_bus(async |bus| {
        let records = (0..10).map(|n| record("7", format!("{n}"))).collect();
        bus.publish(records).await.expect("publishes");
        let partition = partition_of(b"7", 4);
        let fetched = fetch(&bus, partition, 4).await;
        let offsets: Vec<i64> = fetched.records.iter().map(|r| r.offset).collect();
        assert_eq!((fetched.from, offsets), (4, (4..10).collect()));
        assert_eq!(fetched.high_watermark, 10);
        let end = bus.fetch(partition, 10, NO_WAIT).await.expect("fetches");
        assert_eq!(
            (end.from, end.records.len(), end.high_watermark),
            (10, 0, 10)
        );
    })
    .await;
}

#[tokio::test]
async fn a_fetch_returns_about_a_megabyte_and_a_larger_record_whole() {
    on_every_bus(async |bus| {
        let partition = partition_of(b"7", 4);
        let mut sizes = vec![100_000; 30];
        sizes.push(900_000);
        let records = sizes.iter().map(|size| record("7", vec![b'x'; *size]));
        bus.publish(records.collect()).await.expect("publishes");
        let mut offset = 0;
        while offset < 31 {
            let records = fetch(&bus, partition, offset).await.records;
            let bytes: usize = records.iter().flat_map(|r| &r.value).map(Vec::len).sum();
            assert!((1..2_000_000).contains(&bytes), "{bytes} bytes at {offset}");
            assert_eq!(records[0].offset, offset);
            offset += records.len() as i64;
        }
    })
    .await;
}

#[tokio::test]
async fn a_fetch_at_the_end_wakes_when_a_record_is_published() {
    on_every_bus(async |bus| {
        let partition = partition_of(b"7", 4);
        let waiting = bus.fetch(partition, 0, Duration::from_secs(20));
        let publishing = async {
            tokio::task::yield_now().await;
            bus.publish(vec![record("7", "now")])
                .await
                .expect("publishes");
        };
        let began = Instant::now();
        let (fetched, ()) = tokio::join!(waiting, publishing);
        assert_eq!(fetched.expect("fetches").records.len(), 1);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "long before its wait is over"
        );
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_delays_no_other() {
    let bus = on_kafka().await;
    let records = vec![
        record("a", "1"),
        record("a", vec![b'x'; 2 << 20]),
        record("a", "2"),
    ];
    let refused = bus.publish(records).await;
    assert!(
        matches!(refused, Err(BusError::TooLarge { .. })),
        "{refused:?}"
    );
    let read = read_all(&bus, partition_of(b"a", 4)).await;
    let mut values: Vec<_> = read.iter().map(|(_, value)| value.as_deref()).collect();
    values.sort_unstable();
    assert_eq!(values, [Some("1"), Some("2")]);
    let large = vec![b'x'; 900_000];
    bus.publish(vec![record("b", large)])
        .await
        .expect("is not too large");
}

#[tokio::test]
async fn many_processes_create_a_missing_topic_once() {
    let topic = new_topic();
    let brokers = shared_kafka();
    let buses: Vec<Bus> = (0..5).map(|_| on(&brokers, &topic)).collect();
    let prepared = join_all(buses.iter().map(Bus::prepare)).await;
    for (bus, prepared) in buses.iter().zip(prepared) {
        prepared.expect("connects");
        assert_eq!(bus.partitions(), [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn records_of_other_clients_are_read_in_every_compression() {
    let bus = on_kafka().await;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bus/OtherClient.java");
    let other = Command::new("java")
        .args(["-cp", &format!("{}/*", server("TRACKBOX_TEST_KAFKA_LIBS"))])
        .arg(source)
        .args([&shared_kafka(), bus.topic()])
        .output()
        .expect("java runs");
    let errors = String::from_utf8_lossy(&other.stderr);
    assert!(other.status.success(), "{errors}");
    let placed: BTreeMap<String, i32> = String::from_utf8_lossy(&other.stdout)
        .lines()
        .map(|line| {
            let (key, partition) = line.split_once(' ').expect("a key and a partition");
            (key.to_owned(), partition.parse().expect("a number"))
        })
        .collect();
    assert!(placed.len() > 90);
    for (key, partition) in &placed {
        assert_eq!(partition_of(key.as_bytes(), 4), *partition, "{key}");
    }
    let mut values = Vec::new();
    for partition in 0..4 {
        values.extend(
            read_all(&bus, partition)
                .await
                .into_iter()
                .map(|(_, value)| value),
        );
    }
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for n in 0..20 {
            assert!(
                values.contains(&Some(format!("{compression} {n}"))),
                "{compression} {n}"
            );
        }
    }
    for value in ["committed 0", "committed 1", "committed 2", "after"] {
        assert!(values.contains(&Some(value.to_owned())), "{value}");
    }
    assert!(values.contains(&None), "a tombstone");
}
