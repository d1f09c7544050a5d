//! The consumer on a real Kafka: records take effect once, and those that cannot be read do not stop it.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};
use trackbox::cache::Cache;
use trackbox::consumer::{Consumed, Consumer};
use trackbox::kafka::Bus;
use trackbox::kafka::partition::partition_of;
use trackbox::model::status::Status;

use crate::support::bus::{new_topic, on, shared_kafka};
use crate::support::consumers::{KEY, parts, publish};
use crate::support::engines::kafka::PrivateKafka;
use crate::support::fixture::{TestStore, create, events, on_every_store, read, sqlite};
use crate::support::messages::delivered;

/// A consumer that has acquired all partitions of `bus` at `at(secs)`, and the partition of [`KEY`].
async fn consumer(test: &TestStore, bus: &Bus, secs: i64) -> (Consumer, i32) {
    let parts = parts(test, bus.clone(), Cache::None, secs);
    let consumer = Consumer::new(parts, 500, Duration::from_secs(2));
    consumer.balance().await.expect("takes its share");
    (consumer, partition_of(KEY, 4))
}

/// Steps until no record is left; returns how many took effect.
async fn consume(consumer: &Consumer, partition: i32) -> usize {
    let mut count = 0;
    loop {
        match consumer.step(partition).await.expect("steps") {
            Consumed::Applied(some) => count += some,
            Consumed::Idle => return count,
            step @ (Consumed::Lost | Consumed::NotOwned) => panic!("{step:?}"),
        }
    }
}

#[tokio::test]
async fn garbage_becomes_a_dead_letter_and_a_second_consumer_goes_on() {
    on_every_store(async |test: TestStore| {
        let rows = create(&test.store, "CDEK", 2).await;
        let bus = on(&shared_kafka(), &new_topic());
        let (first, partition) = consumer(&test, &bus, 100).await;
        let garbage = b"\xff\x00 not JSON".to_vec();
        publish(&bus, vec![garbage.clone(), delivered(rows[0].id, 5, "4")]).await;
        assert_eq!(consume(&first, partition).await, 2);
        publish(
            &bus,
            vec![delivered(rows[0].id, 5, "4"), delivered(rows[1].id, 5, "4")],
        )
        .await;
        // The first one sends no more heartbeats.
        let (second, partition) = consumer(&test, &bus, 200).await;
        assert_eq!(consume(&second, partition).await, 2);
        for row in &rows {
            assert_eq!(read(&test.store, row.id).await.status, Status::Delivered);
            assert_eq!(events(&test.store, row.id).await.len(), 1);
        }
        let letters = test.store.dead_letters(None, 10).await.expect("lists");
        assert_eq!(letters.len(), 1);
        let place = (
            letters[0].topic.as_str(),
            letters[0].partition,
            letters[0].offset,
        );
        assert_eq!(place, (bus.topic(), partition, 0));
        assert_eq!(
            (&letters[0].value, letters[0].key.as_deref()),
            (&garbage, Some(KEY))
        );
    })
    .await;
}

/// The file of a partition's first records on the broker's disk.
fn segment(kafka: &PrivateKafka, topic: &str, partition: i32) -> PathBuf {
    let folder = kafka.folder().join(format!("log/{topic}-{partition}"));
    folder.join("00000000000000000000.log")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_spoiled_on_the_brokers_disk_is_set_aside_and_no_other() {
    let kafka = PrivateKafka::start();
    let test = sqlite().await;
    let rows = create(&test.store, "CDEK", 3).await;
    let bus = on(&kafka.address(), "t");
    let (consumer, partition) = consumer(&test, &bus, 100).await;
    for row in &rows {
        // A batch for each record.
        publish(&bus, vec![delivered(row.id, 5, "4")]).await;
    }
    let path = segment(&kafka, "t", partition);
    let bytes = std::fs::read(&path).expect("reads");
    let text = b"Omsk";
    let places: Vec<usize> = (0..bytes.len() - text.len())
        .filter(|place| bytes[*place..].starts_with(text))
        .collect();
    assert_eq!(places.len(), 3);
    let file = std::fs::File::options().write(true).open(&path);
    let spoiling = file.expect("opens").write_at(b"U", places[1] as u64);
    assert_eq!(spoiling.expect("writes"), 1);

    assert_eq!(consume(&consumer, partition).await, 2);
    let mut statuses = Vec::new();
    for row in &rows {
        statuses.push(read(&test.store, row.id).await.status);
    }
    assert_eq!(
        statuses,
        [Status::Delivered, Status::Unknown, Status::Delivered]
    );
    let letters = test.store.dead_letters(None, 10).await.expect("lists");
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].partition, letters[0].offset), (partition, 1));
    assert!(
        letters[0]
            .error
            .contains("from offset 1 to 1 cannot be decoded"),
        "{}",
        letters[0].error
    );
}

/// A topic that was deleted and created with fewer partitions leaves rows of partitions that no longer exist, here owned
/// by us.
#[tokio::test]
async fn partitions_that_no_longer_exist_count_for_no_share() {
    let test = sqlite().await;
    let bus = on(&shared_kafka(), &new_topic());
    let (consumer, _) = consumer(&test, &bus, 100).await;
    let database = Database::connect(&test.url).await.expect("connects");
    for sql in [
        "INSERT INTO consumer_partitions (group_name, topic, partition, next_offset, epoch, owner, lease_until, updated_at) \
         SELECT group_name, topic, partition + 4, 7, epoch, owner, lease_until, updated_at FROM consumer_partitions",
        "UPDATE consumer_partitions SET owner = NULL, lease_until = NULL WHERE partition < 4",
    ] {
        database.execute_unprepared(sql).await.expect("is written");
    }
    consumer.balance().await.expect("releases and acquires");
    assert_eq!(consumer.partitions(), [0, 1, 2, 3]);
    let states = test
        .store
        .partition_states(bus.topic())
        .await
        .expect("reads");
    let owned: Vec<bool> = states.iter().map(|state| state.owner.is_some()).collect();
    assert_eq!(owned, [true, true, true, true, false, false, false, false]);
}
