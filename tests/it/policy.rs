//! The policies in the whole pipe, in virtual time.

use std::time::Duration;

use trackbox::clock::{day_of, left_of_day};
use trackbox::config::Preset;
use trackbox::learned::Learned;

use crate::support::fixture::read_all;
use crate::support::pipe::{Pipe, Setup};

const HOUR: Duration = Duration::from_secs(3_600);

fn setup(policy: &str, limit: u32) -> Setup {
    Setup {
        limits: vec![("CDEK", limit)],
        settings: vec![
            ("WORK__POLICY", policy.to_owned()),
            ("WORK__POLL_INTERVAL", "30s".to_owned()),
        ],
        cadence: Preset::Normal,
        ..Setup::default()
    }
}

/// Runs the pipe for `time`, and adjusts its prices each minute.
async fn run_for(pipe: &mut Pipe, time: Duration) {
    let end = pipe.clock.now() + time;
    while pipe.clock.now() < end {
        pipe.parts.pricer.tick().await.expect("keeps the prices");
        pipe.run_for(Duration::from_secs(60)).await;
    }
}

#[tokio::test]
async fn learned_spends_spare_calls_but_not_on_what_was_just_checked() {
    let mut pipe = Pipe::new(setup("learned", 20)).await;
    pipe.create_slow("CDEK", 30).await;
    run_for(&mut pipe, Duration::from_secs(600)).await;
    // Thirty parcels, each at most every five minutes: three times in ten minutes, although many more calls were spare.
    let calls_of_30 = pipe.calls("CDEK");
    assert!((55..=91).contains(&calls_of_30), "{calls_of_30}");
    let mut pipe = Pipe::new(setup("learned", 20)).await;
    pipe.create_slow("CDEK", 300).await;
    run_for(&mut pipe, Duration::from_secs(1_200)).await;
    let calls_of_300 = pipe.calls("CDEK");
    assert!(calls_of_300 >= 370, "{calls_of_300} of 400");
    pipe.assert_limits();
}

#[tokio::test]
async fn fixed_and_table_check_no_parcel_before_it_is_due() {
    let mut pipe = Pipe::new(setup("table", 60)).await;
    pipe.create_slow("CDEK", 30).await;
    run_for(&mut pipe, HOUR * 2).await;
    assert_eq!(
        pipe.calls("CDEK"),
        30,
        "the shortest wait of these is 3 hours"
    );
    let mut pipe = Pipe::new(setup("fixed", 60)).await;
    pipe.create_slow("CDEK", 10).await;
    run_for(&mut pipe, Duration::from_secs(600)).await;
    let calls = pipe.calls("CDEK");
    assert!((90..=101).contains(&calls), "{calls}");
}

#[tokio::test]
async fn a_call_that_takes_thirty_numbers_is_filled_with_the_first_thirty() {
    let mut setup = setup("learned", 2);
    setup
        .settings
        .push(("CARRIERS__CDEK__ADAPTER", "emulator-batch".to_owned()));
    let mut pipe = Pipe::new(setup).await;
    let rows = pipe.create_slow("CDEK", 300).await;
    run_for(&mut pipe, HOUR).await;
    let (calls, checks) = (pipe.calls("CDEK"), pipe.parts.stats.processed_total());
    assert_eq!(checks, 30 * calls, "every call is full");
    assert!((110..=120).contains(&calls), "{calls}");
    // It takes those that are due first, so no parcel starves.
    let rows = read_all(&pipe.parts.store, &rows).await;
    let oldest = rows.iter().filter_map(|row| row.last_ok_at).min();
    let age = pipe.clock.now() - oldest.expect("all were asked");
    assert!(age.num_minutes() <= 45, "{age}");
}

#[tokio::test]
async fn a_days_calls_are_spread_over_the_day_within_its_limit() {
    let mut setup = setup("learned", 0);
    setup
        .settings
        .push(("CARRIERS__CDEK__PER_DAY", "96".to_owned()));
    let mut pipe = Pipe::new(setup).await;
    pipe.create_slow("CDEK", 40).await;
    // The half day from noon on, then a whole day.
    run_for(&mut pipe, HOUR * 12).await;
    let before = pipe.calls("CDEK");
    assert!(before <= 96, "{before}");
    let day = day_of(pipe.clock.now());
    let mut by_six_hours = Vec::new();
    for _ in 0..4 {
        let sum = pipe.calls("CDEK");
        // To the last minutes of the day, since a step may go beyond its end.
        let left = left_of_day(pipe.clock.now()) - Duration::from_secs(120);
        run_for(&mut pipe, left.min(HOUR * 6)).await;
        by_six_hours.push(pipe.calls("CDEK") - sum);
    }
    assert_eq!(day_of(pipe.clock.now()), day);
    let whole: u64 = by_six_hours.iter().sum();
    assert!((90..=96).contains(&whole), "{by_six_hours:?}");
    assert!(
        by_six_hours.iter().all(|calls| (8..=40).contains(calls)),
        "{by_six_hours:?}"
    );
}

#[tokio::test]
async fn a_new_worker_goes_on_with_the_stored_price() {
    let mut pipe = Pipe::new(setup("learned", 1)).await;
    pipe.create_slow("CDEK", 15).await;
    run_for(&mut pipe, HOUR * 7).await;
    let learned = pipe.parts.learned.account("CDEK").expect("was read");
    let plan = learned.plan.clone().expect("has a plan");
    assert_eq!(plan.parcels, 15);
    assert!(
        (plan.price.round - 15.0 * 62.0 / 3_600.0).abs() < 1e-6,
        "15 parcels, 60 calls an hour less the margin for age and transit"
    );
    let watched: f64 = learned.sections["CDEK"]
        .codes
        .values()
        .flat_map(|(counts, _)| counts.cells.as_flattened())
        .map(|cell| cell.hours)
        .sum();
    assert!(watched > 80.0, "{watched} hours were watched");
    let anew = Learned::new(pipe.parts.store.clone());
    let account = &pipe.parts.routes.accounts()[1];
    assert_eq!(account.name, "CDEK");
    let read = anew
        .refresh(account, pipe.clock.now())
        .await
        .expect("reads");
    assert_eq!(read.plan, Some(plan));
    pipe.assert_limits();
}
