//! Every parcel arrives as the truth says, and no call is wasted or too many.

use std::time::Duration;

use trackbox::kafka::record::Outgoing;
use trackbox::model::tenant::Tenant;
use trackbox_emulator::scenario::{Parcel, Step};

use crate::support::fixture::{code, number, read};
use crate::support::pipe::{Pipe, Setup};

#[tokio::test]
async fn every_parcel_arrives_as_the_truth_says_within_the_limits() {
    let mut pipe = Pipe::new(Setup::default()).await;
    pipe.create("CDEK", 100).await;
    pipe.create("POST_RU", 100).await;
    pipe.run_until_arrived(Duration::from_secs(180)).await;
    pipe.assert_truth().await;
    pipe.assert_limits();
}

#[tokio::test]
async fn every_parcel_arrives_within_the_limits_of_the_original() {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 60), ("POST_RU", 20)],
        ..Setup::default()
    })
    .await;
    pipe.create("CDEK", 100).await;
    pipe.create("POST_RU", 100).await;
    pipe.run_until_arrived(Duration::from_secs(3_600)).await;
    pipe.assert_truth().await;
    pipe.assert_limits();
}

#[tokio::test]
async fn several_numbers_travel_in_one_call_if_the_adapter_can() {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 20)],
        settings: vec![("CARRIERS__CDEK__ADAPTER", "emulator-batch".to_owned())],
        ..Setup::default()
    })
    .await;
    pipe.create("CDEK", 90).await;
    pipe.run_until_arrived(Duration::from_secs(600)).await;
    pipe.assert_truth().await;
    pipe.assert_limits();
    let ledger = pipe.emulator.ledger();
    let checks = pipe.parts.stats.processed_total();
    assert!(
        ledger.carriers["CDEK"].calls * 4 < checks,
        "{ledger:?} for {checks} checks"
    );
}

#[tokio::test]
async fn a_parcel_without_news_expires_without_a_call_until_it_is_refreshed() {
    let mut pipe = Pipe::new(Setup::default()).await;
    let step = Step::new("IN_TRANSIT", "ACCEPTED", "Moscow");
    let parcel = Parcel {
        carrier: "CDEK".to_owned(),
        track_number: "stuck".to_owned(),
        step_seconds: 5,
        progress_prob: 0.0,
        postal_code: None,
        steps: vec![step],
    };
    pipe.emulator.seed(vec![parcel]).expect("seeds");
    let pairs = [(code("CDEK"), number("stuck"))];
    let id = pipe
        .parts
        .current
        .create_or_get(Tenant::DEFAULT, &pairs, pipe.clock.now())
        .await
        .expect("creates")[0]
        .id;
    pipe.run_for(Duration::from_secs(60)).await;
    let day = Duration::from_secs(24 * 3_600);
    pipe.advance(day * 29);
    pipe.run_for(Duration::from_secs(60)).await;
    assert_eq!(
        read(&pipe.parts.store, id).await.status.as_str(),
        "IN_TRANSIT"
    );
    pipe.advance(day);
    let before = pipe.emulator.ledger().carriers["CDEK"].calls;
    pipe.run_for(Duration::from_secs(60)).await;
    let expired = read(&pipe.parts.store, id).await;
    assert_eq!(
        (expired.status.as_str(), expired.active),
        ("EXPIRED", false)
    );
    assert_eq!(
        pipe.emulator.ledger().carriers["CDEK"].calls,
        before,
        "no carrier was called"
    );
    pipe.parts
        .current
        .refresh(Tenant::DEFAULT, id, pipe.clock.now(), |_| Duration::ZERO)
        .await
        .expect("refreshes");
    pipe.run_for(Duration::from_secs(60)).await;
    let refreshed = read(&pipe.parts.store, id).await;
    assert_eq!(
        refreshed.status.as_str(),
        "IN_TRANSIT",
        "the carrier still knows it, and the refresh is news"
    );
}

#[tokio::test]
async fn while_the_bus_is_full_no_carrier_is_called() {
    let mut pipe = Pipe::new(Setup {
        settings: vec![("KAFKA__IN_PROCESS_BYTES_MAX", (1 << 20).to_string())],
        ..Setup::default()
    })
    .await;
    pipe.create("CDEK", 5).await;
    let bus = pipe.parts.bus.clone().expect("there is a bus");
    let filler = (0..8)
        .map(|_| Outgoing {
            key: b"0".to_vec(),
            value: vec![b'x'; 100_000],
        })
        .collect();
    bus.publish(filler).await.expect("fits");
    for _ in 0..5 {
        let refused = pipe.workers[0].step().await.expect_err("cannot publish");
        assert!(
            refused.to_string().contains("the bus accepts no records"),
            "{refused}"
        );
        pipe.advance(Duration::from_secs(5));
    }
    let calls = |pipe: &Pipe| {
        pipe.emulator
            .ledger()
            .carriers
            .values()
            .map(|c| c.calls)
            .sum::<u64>()
    };
    assert_eq!(calls(&pipe), 0);
    pipe.consume().await;
    pipe.run_until_arrived(Duration::from_secs(600)).await;
    pipe.assert_truth().await;
    assert!(calls(&pipe) > 0);
}

#[tokio::test]
async fn more_carriers_than_a_cycle_looks_at_delay_no_parcel() {
    let mut pipe = Pipe::new(Setup {
        settings: vec![("CARRIERS__DEFAULT__ADAPTER", "none".to_owned())],
        ..Setup::default()
    })
    .await;
    // No adapter checks these, and all sort before the carrier that is checked.
    let unchecked: Vec<_> = (0..2_100)
        .map(|n| (code(&format!("N{n:04}")), number("x")))
        .collect();
    let now = pipe.parts.clock.now();
    let created = pipe
        .parts
        .current
        .create_or_get(Tenant::DEFAULT, &unchecked, now)
        .await;
    created.expect("creates");
    pipe.create("POST_RU", 5).await;
    pipe.run_for(Duration::from_secs(60)).await;
    let ledger = pipe.emulator.ledger();
    let calls = ledger.carriers.get("POST_RU").map_or(0, |calls| calls.ok);
    assert!(calls >= 5, "{calls} calls");
}
