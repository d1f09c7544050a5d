//! A burst of pushes beside polling, on Kafka, with serve, work and consume as processes of their own.

use std::time::{Duration, Instant};

use trackbox_emulator::pushes::{FORGED, Pushed, Pushing};

use crate::support::fleet::Fleet;
use crate::support::process::pause;
use crate::support::truth;

const SECRET: &str = "kN3dP0r8mZ1bT6cYw9aQxV2s";
const KEY: &str = "the key that the carrier signs with";

/// A fleet of one process of each role. CDEK pushes, and is asked so seldom that only pushes can tell in time; POST_RU is
/// polled.
async fn fleet() -> Fleet {
    let mut fleet = Fleet::new(&[("CDEK", 20), ("POST_RU", 1_200)], "emulator").await;
    fleet
        .world
        .set("CARRIERS__CDEK__PUSH_SECRET", SECRET.to_owned());
    fleet.world.set("CARRIERS__CDEK__PUSH_KEY", KEY.to_owned());
    fleet
}

fn pushing(api: &str, repeated: f64, forged: f64) -> Pushing {
    Pushing {
        carrier: "CDEK".to_owned(),
        to: format!("{api}/push/CDEK/{SECRET}"),
        key: KEY.to_owned(),
        repeated,
        forged,
        at_once: 64,
        seed: 7,
    }
}

async fn wait_until_ready(api: &str, log: impl Fn() -> String) {
    let began = Instant::now();
    loop {
        let ready = reqwest::get(format!("{api}/readyz")).await;
        if ready.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{}", log());
        pause(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_half_forged_or_repeated_ends_in_the_truth() {
    let mut fleet = fleet().await;
    fleet.world.create("CDEK", 700, 1).await;
    fleet.world.create("POST_RU", 300, 10).await;
    fleet.start_serve("serve-1");
    fleet.start("work-1", &[]);
    fleet.start("consume-1", &[]);
    let api = fleet.apis[0].clone();
    wait_until_ready(&api, || fleet.world.log()).await;
    // All of them have arrived by then, each by a way of its own.
    let all_happened = async || {
        let truths = fleet.world.emulator.truths(0, 10_000).items;
        truths
            .iter()
            .filter(|it| it.carrier == "CDEK")
            .all(|it| it.done)
    };
    let began = Instant::now();
    while !all_happened().await {
        assert!(began.elapsed() < Duration::from_secs(120));
        pause(Duration::from_millis(200)).await;
    }
    let pushed = fleet.world.emulator.push(&pushing(&api, 0.6, 0.6)).await;
    println!("{pushed:?}");
    let Pushed {
        genuine,
        repeated,
        forged,
        answers,
        ..
    } = &pushed;
    assert!(genuine + repeated + forged > 5_000, "{pushed:?}");
    assert_eq!(answers.get(&200), Some(&(genuine + repeated)), "{pushed:?}");
    let refused = [403, 404].map(|status| answers.get(&status).copied().unwrap_or(0));
    assert_eq!(refused.iter().sum::<usize>(), *forged, "{pushed:?}");
    assert!(refused.iter().all(|count| *count > 100), "{pushed:?}");
    fleet
        .world
        .wait_until_arrived(Duration::from_secs(200))
        .await;
    let metrics = reqwest::get(format!("{api}/metrics"))
        .await
        .expect("answers");
    let metrics = metrics.text().await.expect("is text");
    assert!(!metrics.contains(SECRET) && !metrics.contains(KEY));
    truth::assert_limits(&fleet.world.emulator);
    let (world, _postgres) = fleet.stop().await;
    world.assert_truth().await;
    let log = world.log();
    for hidden in [SECRET, KEY, FORGED] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}
