//! Real processes against carriers that fail by number, by call and by account, as `failures` shows in virtual time.

use std::time::{Duration, Instant};

use serde_json::Value;
use trackbox::model::Tracking;
use trackbox_emulator::faults::{Fault, Rule};

use crate::support::process::{World, pause, stop};

/// CDEK answers this number, or all, with an error in its own form.
fn complain(world: &World, number: Option<&str>, code: u16, words: &str) {
    let rule = Rule {
        carrier: "CDEK".to_owned(),
        track_number: number.map(str::to_owned),
        share: 1.0,
        calls: None,
        fault: Fault::Complaint {
            code,
            words: words.to_owned(),
        },
    };
    world.emulator.set_fault("CDEK", Some(rule));
}

/// Looks at all parcels until they are as wanted; answers how long that took.
async fn wait_until(
    world: &World,
    within: Duration,
    wanted: impl Fn(&[Tracking]) -> bool,
) -> Duration {
    let store = world.store().await;
    let began = Instant::now();
    loop {
        let rows = store.trackings_after(0, 100).await.expect("reads");
        if wanted(&rows) {
            store.close().await;
            return began.elapsed();
        }
        assert!(
            began.elapsed() < within,
            "not within {within:?}: {rows:#?}\n{}",
            world.log()
        );
        pause(Duration::from_millis(100)).await;
    }
}

fn is_answered(row: &Tracking) -> bool {
    row.last_ok_at.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_number_behind_thirty_refused_ones_is_answered_within_seconds() {
    let mut world = World::new(&[("CDEK", 1_200)]).await;
    // As for real parcels; the demo's would ask all again within seconds.
    world.set("WORK__CADENCE", "normal".to_owned());
    for n in 0..30 {
        let number = format!("CDEK{n}");
        complain(
            &world,
            Some(&number),
            400,
            &format!("{number} is malformed"),
        );
    }
    world.create("CDEK", 31, 864_000).await;
    let child = world.start();
    let is_good = |row: &Tracking| row.track_number.as_str() == "CDEK30";
    let good = |rows: &[Tracking]| rows.iter().any(|row| is_good(row) && is_answered(row));
    wait_until(&world, Duration::from_secs(20), good).await;
    stop(child, || world.log()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_quota_costs_few_calls_and_is_shown() {
    let world = World::new(&[("CDEK", 1_200)]).await;
    complain(&world, None, 200, "quota used up");
    world.create("CDEK", 40, 864_000).await;
    let child = world.start();
    pause(Duration::from_secs(30)).await;
    let calls = world.emulator.ledger().carriers["CDEK"].calls;
    assert!((1..=15).contains(&calls), "{calls} calls");
    let answer = reqwest::get(format!("{}/carriers", world.api)).await;
    let body = answer.expect("answers").text().await.expect("a body");
    let body: Value = serde_json::from_str(&body).expect("is JSON");
    let mut carriers = body["carriers"].as_array().expect("a list").iter();
    let account = carriers.find(|carrier| carrier["account"] == "CDEK");
    let account = account.expect("is listed");
    assert!(account["pausedUntil"].is_string(), "{account}");
    let reason = "the carrier says that our calls are used up: quota used up";
    assert_eq!(account["pauseReason"], reason);
    stop(child, || world.log()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_number_of_a_call_leaves_the_others_theirs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store_url = format!("sqlite://{}/trackbox.db", folder.path().display());
    let mut world = World::with(folder, store_url, &[("CDEK", 60)], "emulator-batch").await;
    world.set("WORK__CADENCE", "normal".to_owned());
    complain(&world, Some("CDEK17"), 400, "a number is malformed");
    world.create("CDEK", 30, 864_000).await;
    let child = world.start();
    let spared = |rows: &[Tracking]| {
        let failed = rows.iter().filter(|row| row.check_fail_count > 0);
        assert!(failed.count() <= 1, "{rows:#?}");
        rows.iter().filter(|row| is_answered(row)).count() == 29
    };
    wait_until(&world, Duration::from_secs(60), spared).await;
    let calls = world.emulator.ledger().carriers["CDEK"].calls;
    assert!((2..=12).contains(&calls), "{calls} calls");
    stop(child, || world.log()).await;
}
