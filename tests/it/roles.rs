//! Several processes of each role on PostgreSQL, Kafka and Redis, some of them killed, stopped, emptied or with a wrong
//! clock: everything arrives once, nothing goes back, no lease is stolen, and no carrier is called too often.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait as _;
use tokio_util::sync::CancellationToken;
use trackbox::kafka::Bus;
use trackbox::kafka::record::Outgoing;
use uuid::Uuid;

use crate::support::fleet::{Fleet, TOPIC};
use crate::support::follower::{assert_adds_up, follow};
use crate::support::process::{pause, signal};
use crate::support::reader::read_all_along;
use crate::support::truth;

fn clock_wrong_by(secs: i64) -> [(&'static str, String); 1] {
    [("TEST_CLOCK_OFFSET", secs.to_string())]
}

/// Publishes the topic's records again, the newest first and with garbage between; returns how many of them are garbage.
async fn publish_again(bus: &Bus) -> usize {
    let mut again = Vec::new();
    for partition in bus.partitions() {
        let fetched = bus.fetch(partition, 0, Duration::from_secs(2)).await;
        for record in fetched.expect("fetches").records.into_iter().take(200) {
            again.push(Outgoing {
                key: record.key.expect("has a key"),
                value: record.value.expect("has a value"),
            });
        }
    }
    assert!(again.len() > 100, "something was published");
    again.reverse();
    let garbage = [
        &b"\xff\xfe no JSON"[..],
        b"",
        b"{}",
        b"[1,2",
        b"{\"tracking_id\":\"x\"}",
    ];
    let count = garbage.len();
    for (place, value) in garbage.into_iter().enumerate() {
        let bad = Outgoing {
            key: format!("bad{place}").into_bytes(),
            value: value.to_vec(),
        };
        again.insert(place * 20, bad);
    }
    bus.publish(again).await.expect("publishes");
    count
}

/// How many trackings a serving process took from the cache.
async fn cache_hits(api: &str) -> u64 {
    let metrics = reqwest::get(format!("{api}/metrics")).await;
    let text = metrics.expect("answers").text().await.expect("is text");
    let hits = text
        .lines()
        .find_map(|line| line.strip_prefix("trackbox_cache_hits_total "));
    hits.expect("is there").parse().expect("is a number")
}

/// Asserts that the program noticed one clock that was `secs` ahead and one that was `secs` behind.
fn assert_clocks_were_wrong(log: &str, secs: i64) {
    let off: Vec<i64> = log
        .lines()
        .filter_map(|line| {
            line.split_once("this machine's clock is ")?
                .1
                .split_once(" ms off")
        })
        .map(|(millis, _)| millis.parse().expect("is a number"))
        .collect();
    let about = |wanted: i64| off.iter().any(|ms| (ms - wanted * 1_000).abs() < 5_000);
    assert!(about(secs) && about(-secs), "{off:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_processes_killed_and_misled_lose_and_double_nothing() {
    // Most databases sort aramex first, Rust sorts it last.
    let limits = [("CDEK", 600), ("POST_RU", 300), ("aramex", 60)];
    let mut fleet = Fleet::new(&limits, "emulator-batch").await;
    fleet.world.create("aramex", 200, 25).await;
    fleet.world.create("CDEK", 11_800, 25).await;
    fleet.world.create("POST_RU", 8_000, 25).await;
    let secs = Duration::from_secs;
    fleet.start_serve("serve-1");
    fleet.start_serve("serve-2");
    fleet.start("work-1", &[]);
    fleet.start("work-2", &clock_wrong_by(600));
    fleet.start("work-3", &clock_wrong_by(-600));
    fleet.start("work-4", &[]);
    for name in ["consume-1", "consume-2", "consume-3"] {
        fleet.start(name, &[]);
    }
    let reading = CancellationToken::new();
    let reader = tokio::spawn(read_all_along(
        fleet.apis.clone(),
        (1..=20_000).step_by(10).collect(),
        reading.clone(),
    ));
    let following = CancellationToken::new();
    let follower = tokio::spawn(follow(fleet.apis.clone(), following.clone()));
    fleet.wait_until_shared(3).await;

    signal(&fleet.processes["work-1"], "-STOP");
    let stopped = Instant::now();
    pause(secs(5)).await;
    fleet.kill("consume-1").await;
    let taken_over = fleet.wait_until_shared(2).await;
    println!("the partitions of a killed consumer were taken over in {taken_over:?}");
    fleet.redis.empty();
    fleet.start_again("consume-1");
    fleet.wait_until_shared(3).await;
    fleet.kill("work-2").await;
    let garbage = publish_again(&fleet.bus).await;
    fleet.start_again("work-2");
    fleet.redis.kill();
    pause(secs(3)).await;
    fleet.redis.start_again();
    fleet.kill("serve-2").await;
    pause(secs(30).saturating_sub(stopped.elapsed())).await;
    signal(&fleet.processes["work-1"], "-CONT");
    fleet.kill("consume-2").await;
    fleet.kill("work-3").await;
    fleet.start_again("work-3");
    fleet.start_again("consume-2");
    fleet.kill_at_random(20).await;

    // The parcels that a killed worker held are due again when their leases end.
    fleet.world.wait_until_arrived(secs(400)).await;
    reading.cancel();
    assert!(reader.await.expect("saw nothing go back") > 20);
    truth::assert_limits(&fleet.world.emulator);
    assert!(
        cache_hits(&fleet.apis[0]).await > 1_000,
        "the cache was in use"
    );
    fleet.wait_until_shared(3).await;
    let lag = fleet.world.output_of("lag").await;
    let nothing = format!("\n0 records of {TOPIC} are not yet applied\n");
    assert!(lag.ends_with(&nothing), "{lag}");
    let owner = |line: &&str| line.split_whitespace().last().map(Uuid::try_parse);
    let owned = lag
        .lines()
        .filter(|line| matches!(owner(line), Some(Ok(_))));
    assert_eq!(owned.count(), 12, "{lag}");
    assert_clocks_were_wrong(&fleet.world.log(), 600);
    assert_eq!(fleet.stolen_leases().await, 0);
    assert_the_judge_can_say_no(&fleet).await;
    following.cancel();
    let told = follower.await.expect("was told in order");
    let (world, _postgres) = fleet.stop().await;
    world.assert_truth().await;
    assert_adds_up(&told, &world).await;
    let store = world.store().await;
    let letters = store.dead_letters(None, 100).await.expect("lists");
    assert_eq!(letters.len(), garbage, "{letters:?}");
    for letter in letters {
        assert_eq!(letter.topic, TOPIC);
        assert!((0..12).contains(&letter.partition));
        assert!(letter.offset > 0, "it came after the first ones");
    }
    store.close().await;
}

/// Gives two leases on one parcel, the second long before the first ends.
async fn assert_the_judge_can_say_no(fleet: &Fleet) {
    for n in 1..=2 {
        let lease = format!(
            "UPDATE trackings SET lease_until = now() + interval '1 h', lease_id = '{}' WHERE id = 1",
            Uuid::from_u128(n)
        );
        let given = fleet.judge.execute_unprepared(&lease).await;
        given.expect("gives a lease");
    }
    assert_eq!(fleet.stolen_leases().await, 1);
}
