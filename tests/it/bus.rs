//! What the bus promises, in memory and on Kafka; and what only a broker can do to it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use trackbox::clock::Clock;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::{BrokerSettings, Mechanism, Sasl};
use trackbox::kafka::memory::MemoryBus;
use trackbox::kafka::{Bus, BusError, Fetched, Outgoing, partition_of};
use uuid::Uuid;

use crate::fixture::{install_tls, server};
use crate::private::kafka::PrivateKafka;

const NO_WAIT: Duration = Duration::ZERO;
const WAIT: Duration = Duration::from_secs(2);

pub fn new_topic() -> String {
    format!("test.{}", Uuid::now_v7().simple())
}

fn settings(brokers: &str, topic: &str) -> BrokerSettings {
    BrokerSettings {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        topic: topic.to_owned(),
        partitions: 4,
        tls: None,
        sasl: None,
    }
}

pub fn on(brokers: &str, topic: &str) -> Bus {
    let broker = Broker::new(settings(brokers, topic), Clock::system());
    Bus::Kafka(Arc::new(broker))
}

/// A bus of four partitions on the tests' broker.
async fn on_kafka() -> Bus {
    let bus = on(&server("TRACKBOX_TEST_KAFKA"), &new_topic());
    bus.prepare().await.expect("connects");
    bus
}

/// Runs one contract on every kind of bus, with four partitions.
async fn on_every_bus<F: Future<Output = ()>>(contract: impl Fn(Bus) -> F) {
    let memory = MemoryBus::new(Clock::system(), &[0; 4], 64 << 20);
    contract(Bus::Memory(Arc::new(memory))).await;
    contract(on_kafka().await).await;
}

fn record(key: impl ToString, value: impl Into<Vec<u8>>) -> Outgoing {
    Outgoing {
        key: key.to_string().into_bytes(),
        value: value.into(),
    }
}

async fn fetch(bus: &Bus, partition: i32, offset: i64) -> Fetched {
    bus.fetch(partition, offset, WAIT).await.expect("fetches")
}

/// All records of a partition, fetched to its end.
async fn read_all(bus: &Bus, partition: i32) -> Vec<(String, Option<String>)> {
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

/// Publishes so many records of 50 keys in one go, and holds that each key's came back once and in order.
async fn publish_and_hold_the_order(bus: &Bus, count: usize) {
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
async fn what_was_published_comes_back_in_order_in_its_keys_partition() {
    on_every_bus(async |bus| publish_and_hold_the_order(&bus, 2_000).await).await;
}

/// A broker answers that it leads a partition a moment before it takes the first record: of a whole batch under way at
/// once the first requests were refused, sent again, and overtaken.
#[tokio::test]
async fn what_is_published_to_a_topic_made_a_moment_ago_keeps_its_order() {
    let topics =
        (0..20).map(|_| async { publish_and_hold_the_order(&on_kafka().await, 1_000).await });
    futures_util::future::join_all(topics).await;
}

#[tokio::test]
async fn a_fetch_begins_where_it_is_told_to_and_knows_the_end() {
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
async fn a_fetch_brings_about_a_megabyte_and_a_larger_record_whole() {
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
async fn a_fetch_at_the_end_wakes_when_something_is_published() {
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
            "long before its time is over"
        );
    })
    .await;
}

#[tokio::test]
async fn too_large_a_record_is_refused_and_holds_nothing_back() {
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
async fn a_missing_topic_is_made_once_by_all_who_need_it() {
    let topic = new_topic();
    let brokers = server("TRACKBOX_TEST_KAFKA");
    let buses: Vec<Bus> = (0..5).map(|_| on(&brokers, &topic)).collect();
    let prepared = futures_util::future::join_all(buses.iter().map(Bus::prepare)).await;
    for (bus, prepared) in buses.iter().zip(prepared) {
        prepared.expect("connects");
        assert_eq!(bus.partitions(), [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn records_of_other_clients_are_read_whatever_they_are_packed_in() {
    let bus = on_kafka().await;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bus/OtherClient.java");
    let other = Command::new("java")
        .args(["-cp", &format!("{}/*", server("TRACKBOX_TEST_KAFKA_LIBS"))])
        .arg(source)
        .args([&server("TRACKBOX_TEST_KAFKA"), bus.topic()])
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

/// Publishes until it works again; answers how long that took. No try may hang.
async fn publish_until_it_works(bus: &Bus, value: &str) -> Duration {
    let began = Instant::now();
    loop {
        let publishing = bus.publish(vec![record("7", value)]);
        let published = tokio::time::timeout(Duration::from_secs(15), publishing).await;
        match published.expect("has a deadline") {
            Ok(()) => return began.elapsed(),
            Err(BusError::Away { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it works again");
    }
}

/// Kafka 4 refuses records from a clock that is more than an hour ahead (its default): it answers all else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_nothing_though_it_answers_is_tried_ever_more_seldom() {
    let clock = Clock::manual(Clock::system().now() + TimeDelta::days(1_000));
    let settings = settings(&server("TRACKBOX_TEST_KAFKA"), &new_topic());
    let bus = Bus::Kafka(Arc::new(Broker::new(settings, clock)));
    bus.prepare().await.expect("connects");
    assert!(bus.may_publish().await);
    let refused = bus.publish(vec![record("7", "x")]).await;
    let reason = refused.expect_err("is refused").to_string();
    assert!(reason.contains("InvalidTimestamp"), "{reason}");
    let began = Instant::now();
    let mut tries = Vec::new();
    while tries.len() < 3 {
        // Many workers ask, at any time.
        if bus.may_publish().await {
            tries.push(began.elapsed().as_secs());
        }
        assert!(bus.is_ready().await, "it does answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        tries[1] - tries[0] >= 2 && tries[2] - tries[1] >= 4,
        "{tries:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_or_dies_holds_nobody_for_ever_and_loses_nothing() {
    let mut kafka = PrivateKafka::start();
    let bus = on(&kafka.address(), "t");
    bus.prepare().await.expect("connects");
    bus.publish(vec![record("7", "first")])
        .await
        .expect("publishes");
    let partition = partition_of(b"7", 4);

    kafka.signal("-STOP");
    let began = Instant::now();
    let hung = bus.publish(vec![record("7", "while it hangs")]).await;
    assert!(matches!(hung, Err(BusError::Away { .. })), "{hung:?}");
    let hung = bus.fetch(partition, 1, NO_WAIT).await;
    assert!(matches!(hung, Err(BusError::Away { .. })), "{hung:?}");
    assert!(!bus.is_ready().await);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    kafka.signal("-CONT");
    publish_until_it_works(&bus, "after it hung").await;
    assert!(bus.is_ready().await && bus.may_publish().await);
    assert!(bus.may_publish().await, "again, after a success");

    kafka.kill();
    let dead = bus.publish(vec![record("7", "while it is dead")]).await;
    assert!(matches!(dead, Err(BusError::Away { .. })), "{dead:?}");
    assert!(!bus.is_ready().await);
    kafka.start_again();
    publish_until_it_works(&bus, "after it died").await;
    let values: Vec<_> = read_all(&bus, partition)
        .await
        .into_iter()
        .filter_map(|(_, v)| v)
        .collect();
    for value in ["first", "after it hung", "after it died"] {
        assert!(values.contains(&value.to_owned()), "{value} of {values:?}");
    }
}

#[tokio::test]
async fn records_that_are_gone_are_passed_over_and_a_topic_made_anew_is_read_from_its_beginning() {
    let topic = new_topic();
    let brokers = server("TRACKBOX_TEST_KAFKA");
    let bus = on(&brokers, &topic);
    bus.prepare().await.expect("connects");
    let records = (0..10).map(|n| record("7", format!("{n}"))).collect();
    bus.publish(records).await.expect("publishes");
    let partition = partition_of(b"7", 4);
    let client = rskafka::client::ClientBuilder::new(vec![brokers.clone()])
        .build()
        .await
        .expect("connects");
    let direct = client
        .partition_client(
            &topic,
            partition,
            rskafka::client::partition::UnknownTopicHandling::Error,
        )
        .await
        .expect("connects");
    direct.delete_records(6, 5_000).await.expect("deletes");
    let fetched = fetch(&bus, partition, 2).await;
    assert_eq!(
        (fetched.from, fetched.records.len(), fetched.high_watermark),
        (6, 4, 10)
    );

    let controller = client.controller_client().expect("has one");
    controller
        .delete_topic(&topic, 5_000)
        .await
        .expect("deletes");
    let began = Instant::now();
    loop {
        // Until the deletion is through, calls fail one way or the other.
        let again = on(&brokers, &topic);
        let made = again.prepare().await;
        if made.is_ok() && again.publish(vec![record("7", "anew")]).await.is_ok() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    let fetched = loop {
        match bus.fetch(partition, 10, WAIT).await {
            Ok(fetched) if !fetched.records.is_empty() => break fetched,
            Ok(_) | Err(BusError::Away { .. }) => {
                assert!(began.elapsed() < Duration::from_secs(40))
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((fetched.from, fetched.records.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_lose_their_leader_go_on_with_another_and_lose_nothing() {
    let mut nodes = PrivateKafka::cluster(3, "PLAINTEXT", "", &[]);
    let all: Vec<String> = nodes.iter().map(PrivateKafka::address).collect();
    let bus = on(&all.join(","), "t");
    let began = Instant::now();
    while bus.prepare().await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the cluster is formed"
        );
    }
    // Keys of all four partitions, whose leaders the three brokers share.
    let publish = async |round: usize| {
        let began = Instant::now();
        loop {
            let records = (0..40).map(|key| record(key, format!("{round}"))).collect();
            match bus.publish(records).await {
                Ok(()) => return,
                Err(BusError::Away { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(began.elapsed() < Duration::from_secs(90), "it works again");
        }
    };
    publish(0).await;
    nodes[0].kill();
    publish(1).await;
    nodes[0].start_again();
    publish(2).await;
    let mut rounds: BTreeMap<String, usize> = BTreeMap::new();
    for partition in 0..4 {
        let mut keys: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
        for entry in read_all(&bus, partition).await {
            *keys.entry(entry).or_default() += 1;
        }
        for (_, round) in keys.into_keys() {
            *rounds.entry(round.expect("has a value")).or_default() += 1;
        }
    }
    assert_eq!(rounds.into_values().collect::<Vec<_>>(), [40, 40, 40]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_asks_who_we_are_is_told_over_tls_and_a_wrong_password_is_never_shown() {
    install_tls();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("signs");
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let (store, ca) = (
        folder.path().join("store.pem"),
        folder.path().join("ca.pem"),
    );
    std::fs::write(&store, format!("{key}{certificate}")).expect("writes");
    std::fs::write(&ca, certificate).expect("writes");
    let more = format!(
        "sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN\nssl.keystore.type=PEM\nssl.keystore.location={}\n\
         listener.name.clients.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.clients.scram-sha-256.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.clients.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_trackbox=\"hunter2\";",
        store.display()
    );
    let format = [
        "--add-scram",
        "SCRAM-SHA-512=[name=trackbox,password=hunter2]",
        "--add-scram",
        "SCRAM-SHA-256=[name=trackbox,password=hunter2]",
    ];
    let kafka = PrivateKafka::cluster(1, "SASL_SSL", &more, &format).remove(0);
    let tls = trackbox::tls::client_config(&ca.display().to_string()).expect("reads the CA");
    let tls = Arc::new(tls);
    let as_user = |mechanism: Mechanism, password: &str| {
        let sasl = Sasl {
            mechanism,
            user: "trackbox".to_owned(),
            password: password.to_owned(),
        };
        let settings = BrokerSettings {
            sasl: Some(sasl),
            tls: Some(Arc::clone(&tls)),
            ..settings(&kafka.address(), "t")
        };
        Bus::Kafka(Arc::new(Broker::new(settings, Clock::system())))
    };
    for mechanism in [
        Mechanism::ScramSha512,
        Mechanism::ScramSha256,
        Mechanism::Plain,
    ] {
        let bus = as_user(mechanism, "hunter2");
        bus.prepare()
            .await
            .unwrap_or_else(|error| panic!("{mechanism:?}: {error}"));
        bus.publish(vec![record("7", "in")])
            .await
            .expect("publishes");
        let wrong = as_user(mechanism, "hunter3");
        let refused = wrong.prepare().await.expect_err("is not let in");
        let shown = format!("{refused} {refused:?} {wrong:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
    let untrusting = BrokerSettings {
        tls: Some(Arc::new(
            trackbox::tls::client_config("").expect("reads the machine's CAs"),
        )),
        ..settings(&kafka.address(), "t")
    };
    let refused = Broker::new(untrusting, Clock::system()).prepare().await;
    assert!(matches!(refused, Err(BusError::Away { .. })), "{refused:?}");
}
