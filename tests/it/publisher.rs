//! What calls that publish at the same time can rely on, on a real Kafka.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use trackbox::kafka::record::BusError;
use trackbox::scheduler::publisher::Publisher;

use crate::support::bus::{new_topic, on, read_all, record, shared_kafka};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_calls_is_told_when_its_own_records_are_in_the_log() {
    let bus = on(&shared_kafka(), &new_topic());
    bus.prepare().await.expect("connects");
    let publisher = Arc::new(Publisher::new(bus.clone()));
    let calls = (0..300).map(|call| {
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move {
            let records = (0..1 + call % 4).map(|n| record(call, format!("{call}/{n}")));
            // One of them is larger than a broker takes.
            let huge = (call == 77).then(|| record("77", "x".repeat(2 << 20)));
            let result = publisher.publish(records.chain(huge).collect()).await;
            (call, result)
        })
    });
    for told in join_all(calls).await {
        let (call, result) = told.expect("ends");
        match result {
            Ok(()) => assert_ne!(call, 77),
            Err(error) => {
                assert!(
                    matches!(error, BusError::TooLarge { .. }),
                    "{call}: {error}"
                );
                assert_eq!(call, 77, "only the call with that record fails");
            }
        }
    }
    let mut values = BTreeSet::new();
    for partition in bus.partitions() {
        let read = read_all(&bus, partition).await;
        values.extend(read.into_iter().filter_map(|(_, value)| value));
    }
    for call in (0..300).filter(|call| *call != 77) {
        for n in 0..1 + call % 4 {
            assert!(
                values.contains(&format!("{call}/{n}")),
                "{call}/{n} is in the log"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_stopped_while_it_publishes_takes_no_other_with_it() {
    let bus = on(&shared_kafka(), &new_topic());
    bus.prepare().await.expect("connects");
    let publisher = Arc::new(Publisher::new(bus.clone()));
    let calls: Vec<_> = (0..60)
        .map(|call| {
            let publisher = Arc::clone(&publisher);
            tokio::spawn(async move { publisher.publish(vec![record(call, "x")]).await })
        })
        .collect();
    for (nth, call) in calls.iter().enumerate() {
        if nth % 3 == 0 {
            call.abort();
        }
    }
    let told = join_all(calls).await;
    let stopped = told.iter().filter(|told| told.is_err()).count();
    assert!(stopped <= 20);
    // All others were told, and nothing waits for ever: a later call goes through.
    publisher
        .publish(vec![record("last", "y")])
        .await
        .expect("publishes");
}
