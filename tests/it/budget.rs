//! The limits of carriers, in virtual time: a carrier gets no more calls than it allows, also if workers freeze.

use std::time::Duration;

use serde_json::{Value, json};
use trackbox_emulator::faults::{Fault, Rule};

use crate::support::carriers::rule;
use crate::support::pipe::{Pipe, Setup};
use crate::support::time::at;

/// Far more parcels than calls, latency up to 3 s, and one worker that is frozen for 30 s after the first minute.
async fn many_workers(workers: usize) {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 60), ("POST_RU", 20)],
        workers,
        ..Setup::default()
    })
    .await;
    pipe.create("CDEK", 400).await;
    pipe.create("POST_RU", 200).await;
    for carrier in ["CDEK", "POST_RU"] {
        let latency = Fault::Latency {
            fixed_ms: 0,
            spread_ms: 3_000,
        };
        pipe.set_fault(carrier, latency);
    }
    pipe.run_for(Duration::from_secs(60)).await;
    pipe.run_with_frozen(Duration::from_secs(30), workers - 1)
        .await;
    pipe.run_for(Duration::from_secs(90)).await;
    pipe.assert_limits();
    let ledger = pipe.emulator.ledger();
    if workers > 1 {
        assert!(
            ledger.carriers["CDEK"].busiest_sliding >= 55,
            "the limit is used: {ledger:?}"
        );
    }
}

#[tokio::test]
async fn one_worker_frozen_and_thawed_keeps_the_limits() {
    many_workers(1).await;
}

#[tokio::test]
async fn two_workers_one_of_them_frozen_keep_the_limits() {
    many_workers(2).await;
}

#[tokio::test]
async fn four_workers_one_of_them_frozen_keep_the_limits() {
    many_workers(4).await;
}

#[tokio::test]
async fn a_carrier_that_asks_for_a_pause_gets_it_from_every_worker() {
    for as_date in [false, true] {
        let mut pipe = Pipe::new(Setup {
            workers: 2,
            ..Setup::default()
        })
        .await;
        pipe.create("CDEK", 50).await;
        pipe.create("POST_RU", 20).await;
        let fault = Fault::TooManyRequests {
            retry_after_secs: Some(40),
            as_date,
        };
        pipe.set_fault("CDEK", fault);
        pipe.run_for(Duration::from_secs(5)).await;
        let at_first = pipe.calls("CDEK");
        assert!(
            (1..=40).contains(&at_first),
            "{at_first} calls before the pause was known"
        );
        pipe.clear_fault("CDEK");
        pipe.run_for(Duration::from_secs(30)).await;
        assert_eq!(
            pipe.calls("CDEK"),
            at_first,
            "not one call during the pause"
        );
        assert!(pipe.calls("POST_RU") > 20, "others go on");
        let rows = pipe
            .parts
            .store
            .trackings_after(0, 100)
            .await
            .expect("reads");
        let untold = rows
            .iter()
            .all(|row| row.check_fail_count == 0 && row.last_error.is_empty());
        assert!(untold, "it is the account's failure and no parcel's");
        pipe.run_until_arrived(Duration::from_secs(180)).await;
        pipe.assert_truth().await;
    }
}

#[tokio::test]
async fn a_request_for_a_pause_of_no_time_still_pauses() {
    for as_date in [false, true] {
        let mut pipe = Pipe::new(Setup::default()).await;
        pipe.create("CDEK", 50).await;
        let fault = Fault::TooManyRequests {
            retry_after_secs: Some(0),
            as_date,
        };
        pipe.set_fault("CDEK", fault);
        pipe.run_for(Duration::from_secs(50)).await;
        let refused = pipe.calls("CDEK");
        assert!(
            refused <= 4,
            "{refused} calls to a carrier that asked for none"
        );
    }
}

#[tokio::test]
async fn a_days_limit_is_spread_over_the_day_whatever_the_policy() {
    for policy in ["fixed", "table"] {
        let mut pipe = Pipe::new(Setup {
            settings: vec![
                ("CARRIERS__CDEK__PER_DAY", "70".to_owned()),
                ("WORK__POLICY", policy.to_owned()),
                ("WORK__POLL_INTERVAL", "30s".to_owned()),
            ],
            ..Setup::default()
        })
        .await;
        pipe.create_slow("CDEK", 200).await;
        // The half day from noon on, then a whole day.
        let (mut before, mut calls) = (0, Vec::new());
        for end in (1..=36 * 6).map(|part| at(600 * part)) {
            let left = (end - pipe.clock.now()).to_std().unwrap_or_default();
            pipe.run_for(left).await;
            calls.push(pipe.calls("CDEK") - before);
            before = pipe.calls("CDEK");
        }
        let hours = calls.windows(6).map(|hour| hour.iter().sum::<u64>());
        assert!(hours.max() <= Some(6), "{calls:?}");
        for day in [&calls[..12 * 6], &calls[12 * 6..]] {
            let sum: u64 = day.iter().sum();
            assert!((68..=70).contains(&sum), "{calls:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_was_counted_for_a_day_is_not_made_in_the_next() {
    // The slots lie differently each time when the day ends.
    for millis in (0..1_000).step_by(250) {
        let mut pipe = Pipe::new(Setup {
            limits: vec![("CDEK", 600)],
            settings: vec![("CARRIERS__CDEK__PER_DAY", "200".to_owned())],
            ..Setup::default()
        })
        .await;
        pipe.create("CDEK", 300).await;
        // From noon to five seconds before midnight.
        let evening = Duration::from_secs(5) + Duration::from_millis(millis);
        pipe.advance(Duration::from_secs(12 * 3_600) - evening);
        pipe.run_for(evening).await;
        let yesterday = pipe.calls("CDEK");
        assert!((1..200).contains(&yesterday), "{yesterday} calls");
        pipe.run_for(Duration::from_secs(600)).await;
        let today = pipe.calls("CDEK") - yesterday;
        assert!((1..10).contains(&today), "{today} calls");
        assert_eq!(used("CDEK", &pipe).await, today, "{millis} ms");
    }
}

/// How many calls of its day the account has used, by the store.
async fn used(account: &str, pipe: &Pipe) -> u64 {
    let mut accounts = pipe.parts.routes.accounts().iter();
    let limits = accounts.find(|it| it.name == account);
    let quotas = &limits.expect("is an account").limits.quotas;
    let used = pipe
        .parts
        .store
        .calls_used(account, quotas, pipe.clock.now());
    used.await.expect("reads")[0].unsigned_abs()
}

#[tokio::test]
async fn no_day_of_a_zone_gets_too_many_calls_from_a_worker_frozen_across_its_end() {
    for (zone, midnight) in [("UTC", 12), ("Europe/Moscow", 9), ("Asia/Kathmandu", 6)] {
        let limit = format!("{{ calls = 200, per = \"day\", zone = \"{zone}\" }}");
        let mut pipe = Pipe::new(Setup {
            limits: vec![("CDEK", 600)],
            workers: 2,
            settings: vec![("CARRIERS__CDEK__LIMITS", limit)],
            ..Setup::default()
        })
        .await;
        pipe.create("CDEK", 500).await;
        // From noon (UTC) to shortly before the zone's midnight; then the second worker freezes with the calls that it has
        // planned, and the first one begins the new day.
        let quarters = if zone == "Asia/Kathmandu" { 1 } else { 0 };
        pipe.advance(Duration::from_secs(midnight * 3_600 + quarters * 900 - 8));
        pipe.run_with_frozen(Duration::from_secs(5), 0).await;
        pipe.run_with_frozen(Duration::from_secs(3), 1).await;
        let yesterday = pipe.calls("CDEK");
        assert!((10..=200).contains(&yesterday), "{yesterday} calls");
        pipe.run_with_frozen(Duration::from_secs(3), 1).await;
        pipe.run_for(Duration::from_secs(600)).await;
        let today = pipe.calls("CDEK") - yesterday;
        assert!((1..10).contains(&today), "{today} calls");
        assert_eq!(
            used("CDEK", &pipe).await,
            today,
            "{zone}: what was given back is yesterday's"
        );
    }
}

#[tokio::test]
async fn a_failing_carrier_is_probed_rarely_and_back_in_use_once_it_works() {
    let mut pipe = Pipe::new(Setup::default()).await;
    pipe.create("CDEK", 300).await;
    pipe.set_fault("CDEK", Fault::Status { code: 502 });
    pipe.run_for(Duration::from_secs(300)).await;
    let failed = pipe.calls("CDEK");
    assert!(
        failed < 60,
        "{failed} calls to a carrier that fails for five minutes"
    );
    let row = &pipe.parts.store.trackings_after(0, 1).await.expect("reads")[0];
    assert_eq!(row.last_error, "the carrier answered 502");
    pipe.clear_fault("CDEK");
    pipe.run_for(Duration::from_secs(61)).await;
    pipe.run_until_arrived(Duration::from_secs(180)).await;
    pipe.assert_truth().await;
}

/// Calls of a healthy carrier in a minute, alone or beside a hanging and a failing one.
async fn healthy_calls(beside_others: bool) -> u64 {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("HANGS", 600), ("FAILS", 600), ("WELL", 600)],
        ..Setup::default()
    })
    .await;
    pipe.create("WELL", 100).await;
    if beside_others {
        pipe.create("HANGS", 100).await;
        pipe.create("FAILS", 100).await;
        pipe.set_fault("HANGS", Fault::Hang);
        pipe.set_fault("FAILS", Fault::Status { code: 500 });
    }
    pipe.run_for(Duration::from_secs(60)).await;
    pipe.calls("WELL")
}

#[tokio::test]
async fn a_healthy_carrier_is_not_slowed_by_hanging_and_failing_ones() {
    let (alone, beside) = (healthy_calls(false).await, healthy_calls(true).await);
    let share = beside as f64 / alone as f64;
    assert!(
        (0.9..=1.1).contains(&share),
        "{beside} calls beside others, {alone} alone"
    );
}

#[tokio::test]
async fn a_fault_is_read_from_the_emulators_administration_api() {
    let wanted: Value =
        json!({"carrier": "CDEK", "fault": "tooManyRequests", "retryAfterSecs": 40});
    let read: Rule = serde_json::from_value(wanted).expect("is a fault");
    let fault = Fault::TooManyRequests {
        retry_after_secs: Some(40),
        as_date: false,
    };
    assert_eq!(read, rule("CDEK", fault));
}
