//! In virtual time: whose turn it is at an account, and that its calls are full.

use std::time::Duration;

use trackbox::config::Preset;

use crate::support::fixture::read;
use crate::support::pipe::{Pipe, Setup};

const HOUR: Duration = Duration::from_secs(3_600);

fn setup(policy: &str, limits: Vec<(&'static str, u32)>) -> Setup {
    Setup {
        limits,
        settings: vec![("WORK__POLICY", policy.to_owned())],
        cadence: Preset::Normal,
        ..Setup::default()
    }
}

async fn a_new_parcel_waits_for_no_backlog(policy: &str) {
    let mut pipe = Pipe::new(setup(policy, vec![("CDEK", 600)])).await;
    pipe.create_slow("CDEK", 3_000).await;
    // Those that were answered are due again and take half of the calls.
    pipe.run_for(Duration::from_secs(660)).await;
    pipe.advance(HOUR * 30);
    let rows = pipe.create_slow("CDEK", 3_001).await;
    let before = pipe.calls("CDEK");
    pipe.run_for(Duration::from_secs(30)).await;
    let new = read(&pipe.parts.store, rows[3_000].id).await;
    assert!(new.last_ok_at.is_some(), "is asked for");
    let calls = pipe.calls("CDEK") - before;
    assert!(calls < 3_000, "before {calls} others");
}

#[tokio::test]
async fn a_new_parcel_is_asked_for_at_once_beside_a_backlog_when_fixed() {
    a_new_parcel_waits_for_no_backlog("fixed").await;
}

#[tokio::test]
async fn a_new_parcel_is_asked_for_at_once_beside_a_backlog_when_learned() {
    a_new_parcel_waits_for_no_backlog("learned").await;
}

#[tokio::test]
async fn an_import_leaves_the_known_parcels_half_of_the_calls() {
    let mut pipe = Pipe::new(setup("fixed", vec![("CDEK", 60)])).await;
    pipe.create_slow("CDEK", 200).await;
    pipe.run_for(Duration::from_secs(600)).await;
    let rows = pipe.create_slow("CDEK", 2_200).await;
    let start = pipe.clock.now();
    pipe.run_for(Duration::from_secs(600)).await;
    let mut known = 0;
    for row in &rows[..200] {
        known += i64::from(read(&pipe.parts.store, row.id).await.last_ok_at > Some(start));
    }
    let mut new = 0;
    for row in &rows[200..] {
        new += i64::from(read(&pipe.parts.store, row.id).await.last_ok_at.is_some());
    }
    // 600 calls: the 200 known parcels were each asked for, and about half went to new ones.
    assert_eq!(known, 200);
    assert!((250..=310).contains(&new), "{new} new ones");
}

#[tokio::test]
async fn the_carriers_of_an_account_share_its_calls_by_time_and_not_by_turns() {
    let mut setup = setup("fixed", vec![("CDEK", 60), ("POST_RU", 60)]);
    for carrier in ["CDEK", "POST_RU"] {
        let key = if carrier == "CDEK" {
            "CARRIERS__CDEK__BUDGET"
        } else {
            "CARRIERS__POST_RU__BUDGET"
        };
        setup.settings.push((key, "both".to_owned()));
    }
    let mut pipe = Pipe::new(setup).await;
    pipe.create_slow("CDEK", 2).await;
    pipe.create_slow("POST_RU", 500).await;
    // Until all have been answered, and then three rounds over all of them.
    pipe.run_for(Duration::from_secs(1_200)).await;
    let (few, many) = (pipe.calls("CDEK"), pipe.calls("POST_RU"));
    pipe.run_for(Duration::from_secs(1_500)).await;
    let (few, many) = (pipe.calls("CDEK") - few, pipe.calls("POST_RU") - many);
    assert!((4..=8).contains(&few), "{few} calls for two parcels");
    assert!(many >= 1_400, "{many} calls for five hundred");
}

/// The share of numbers in calls of 30 over a day of parcels that hardly move, at two calls a minute.
async fn fill_of(policy: &str, parcels: usize) -> f64 {
    let mut setup = setup(policy, vec![("CDEK", 2)]);
    let settings = [
        ("CARRIERS__CDEK__ADAPTER", "emulator-batch"),
        ("WORK__POLL_INTERVAL", "30s"),
    ];
    let settings = settings.map(|(key, value)| (key, value.to_owned()));
    setup.settings.extend(settings);
    let mut pipe = Pipe::new(setup).await;
    pipe.create_slow("CDEK", parcels).await;
    for _ in 0..24 * 4 {
        pipe.parts.pricer.tick().await.expect("keeps the prices");
        pipe.run_for(Duration::from_secs(900)).await;
    }
    let calls = pipe.calls("CDEK");
    assert!(calls >= 2_800, "{calls} calls");
    pipe.assert_limits();
    pipe.parts.stats.processed_total() as f64 / (30 * calls) as f64
}

#[tokio::test]
async fn calls_of_thirty_are_full_while_there_is_anything_to_ask() {
    let fill = fill_of("learned", 3_000).await;
    assert!(fill >= 0.97, "{fill}");
}
