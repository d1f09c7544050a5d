//! What only a broker does to the bus: it hangs, dies, refuses, forgets, loses its leader, and authenticates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use trackbox::clock::Clock;
use trackbox::kafka::Bus;
use trackbox::kafka::broker::Broker;
use trackbox::kafka::broker::settings::{BrokerSettings, Mechanism, Sasl};
use trackbox::kafka::partition::partition_of;
use trackbox::kafka::record::BusError;

use crate::support::bus::{
    NO_WAIT, WAIT, fetch, new_topic, on, read_all, record, settings, shared_kafka,
};
use crate::support::engines::install_tls;
use crate::support::engines::kafka::PrivateKafka;

#[tokio::test]
async fn a_missing_partition_is_an_outage_and_no_unreadable_record() {
    let bus = on(&shared_kafka(), &new_topic());
    bus.prepare().await.expect("connects");
    let fetched = bus.fetch(4, 0, NO_WAIT).await;
    assert!(matches!(fetched, Err(BusError::Away { .. })), "{fetched:?}");
}

/// Publishes until it succeeds; returns how long that took. No try may hang.
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

/// Kafka 4 refuses records whose time is more than an hour ahead (its default), and answers everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_records_while_it_answers_is_tried_more_rarely() {
    let clock = Clock::manual(Clock::system().now() + TimeDelta::days(1_000));
    let settings = settings(&shared_kafka(), &new_topic());
    let bus = Bus::Kafka(Arc::new(Broker::new(settings, clock)));
    bus.prepare().await.expect("connects");
    assert!(bus.may_publish().await);
    let refused = bus.publish(vec![record("7", "x")]).await;
    let reason = refused.expect_err("is refused").to_string();
    assert!(reason.contains("InvalidTimestamp"), "{reason}");
    let began = Instant::now();
    let mut tries = Vec::new();
    while tries.len() < 3 {
        // Workers ask at any time.
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
async fn a_broker_that_hangs_or_dies_blocks_no_caller_and_loses_nothing() {
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
async fn a_fetch_whose_offset_is_gone_goes_on_at_the_first_record() {
    let topic = new_topic();
    let brokers = shared_kafka();
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
        // Calls fail in several ways until the deletion is done.
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
async fn partitions_that_lose_their_leader_lose_no_record() {
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
    // The keys spread over all four partitions, and their leaders over the three brokers.
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
async fn a_broker_is_authenticated_to_over_tls_and_no_password_is_ever_shown() {
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
