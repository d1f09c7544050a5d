//! The program as a process: killed, stopped, and started a second time.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use crate::support::process::{World, pause, signal, stop};
use crate::support::reader::read_all_along;
use crate::support::truth;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_it_loses_doubles_and_takes_back_nothing() {
    const PARCELS: usize = 2_000;
    let seed = std::env::var("TRACKBOX_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("TRACKBOX_TEST_SEED={seed} repeats the moments of this run");
    let mut chance = StdRng::seed_from_u64(seed);
    let world = World::new(&[("CDEK", 0), ("POST_RU", 0)]).await;
    world.create("CDEK", PARCELS / 2, 7).await;
    world.create("POST_RU", PARCELS / 2, 7).await;
    let stop_reading = CancellationToken::new();
    let reader = tokio::spawn(read_all_along(
        vec![world.api.clone()],
        (1..=PARCELS as i64).collect(),
        stop_reading.clone(),
    ));
    let mut offset = 0;
    for _ in 0..20 {
        let mut child = world.start();
        let lives = Duration::from_millis(chance.random_range(100..3_500));
        assert!(
            tokio::time::timeout(lives, child.wait()).await.is_err(),
            "ended by itself\n{}",
            world.log()
        );
        child.kill().await.expect("is killed");
        let store = world.store().await;
        let states = store.partition_states("in-process").await.expect("reads");
        let now = states.first().map_or(0, |state| state.next_offset);
        assert!(now >= offset, "the offset went back from {offset} to {now}");
        offset = now;
        store.close().await;
    }
    let child = world.start();
    world.wait_until_arrived(Duration::from_secs(120)).await;
    stop_reading.cancel();
    assert!(reader.await.expect("saw nothing go back") > 20);
    stop(child, || world.log()).await;
    world.assert_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_for_thirty_seconds_it_goes_on_within_the_limits() {
    let world = World::new(&[("CDEK", 600), ("POST_RU", 120)]).await;
    world.create("CDEK", 300, 10).await;
    world.create("POST_RU", 60, 10).await;
    let child = world.start();
    pause(Duration::from_secs(8)).await;
    signal(&child, "-STOP");
    pause(Duration::from_secs(30)).await;
    signal(&child, "-CONT");
    world.wait_until_arrived(Duration::from_secs(120)).await;
    stop(child, || world.log()).await;
    world.assert_truth().await;
    truth::assert_limits(&world.emulator);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_that_could_not_share_its_data_is_refused() {
    let world = World::new(&[("CDEK", 600)]).await;
    world.create("CDEK", 1, 1).await;
    let first = world.start();
    world.wait_until_arrived(Duration::from_secs(60)).await;
    for (role, reason) in [
        ("all", "another TrackBox works on sqlite://"),
        ("serve", "another TrackBox works on sqlite://"),
        (
            "work",
            "`trackbox work` alone needs kafka.brokers and redis.url",
        ),
        (
            "consume",
            "`trackbox consume` alone needs kafka.brokers and redis.url",
        ),
    ] {
        let before = world.log().len();
        let mut second = world.start_role(role);
        let ended = tokio::time::timeout(Duration::from_secs(10), second.wait()).await;
        let status = ended.expect("ends at once").expect("is waited for");
        assert!(!status.success());
        let log = world.log().split_off(before);
        assert!(log.contains(&format!("error: {reason}")), "{role}: {log}");
    }
    stop(first, || world.log()).await;
}
