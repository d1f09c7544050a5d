//! Every fault of a carrier, alone: others go on, the parcel says what is wrong, and all is well afterwards.

use std::time::Duration;

use trackbox_emulator::faults::{Fault, Rule};

use crate::pipe::{Pipe, Setup};

/// A fault, and what `lastError` begins with while it lasts; `None` where the answer can be read all the same.
fn faults() -> Vec<(Fault, Option<&'static str>)> {
    vec![
        (
            Fault::Latency {
                fixed_ms: 500,
                spread_ms: 1_000,
            },
            None,
        ),
        (Fault::Hang, Some("the carrier did not answer within 4 s")),
        (
            Fault::Status { code: 500 },
            Some("the carrier answered 500"),
        ),
        (
            Fault::Status { code: 403 },
            Some("the carrier refused our credentials: it answered 403"),
        ),
        (
            Fault::TooManyRequests {
                retry_after_secs: None,
                as_date: false,
            },
            Some("the carrier answered 429: too many calls"),
        ),
        (Fault::Malformed, Some("the carrier's answer is unreadable")),
        (Fault::Truncated, Some("the carrier could not be reached")),
        (Fault::WrongContentType, None),
        (
            Fault::WrongStatus { code: 500 },
            Some("the carrier answered 500"),
        ),
        (
            Fault::HugeBody { bytes: 100_000_000 },
            Some("the carrier's answer is longer than"),
        ),
        (
            Fault::SlowDrip { every_ms: 5_000 },
            Some("the carrier did not answer within 4 s"),
        ),
        (Fault::Closed, Some("the carrier could not be reached")),
        (Fault::NotFound, None),
        (Fault::FutureEvent, None),
        (Fault::AncientEvent, None),
        (Fault::ManyEvents { count: 10_000 }, None),
        (Fault::ControlCharacters, None),
        (Fault::Nul, None),
        (
            Fault::InvalidUtf8,
            Some("the carrier's answer is unreadable"),
        ),
    ]
}

/// How many calls of the other carrier went well.
fn others(pipe: &Pipe) -> u64 {
    pipe.emulator
        .ledger()
        .carriers
        .get("POST_RU")
        .map_or(0, |calls| calls.ok)
}

async fn alone(fault: Fault, error: Option<&str>) {
    let mut pipe = Pipe::new(Setup::default()).await;
    let bad = pipe.create("CDEK", 2).await;
    pipe.create("POST_RU", 20).await;
    let rule = Rule {
        carrier: "CDEK".to_owned(),
        track_number: None,
        share: 1.0,
        calls: None,
        fault: fault.clone(),
    };
    pipe.emulator.set_fault("CDEK", Some(rule));
    // A time-out is the socket's and real, so the test's time keeps its pace where one is waited for.
    let real = error.is_some();
    let tick = Duration::from_millis(if real { 10 } else { 50 });
    let mut said: Vec<String> = Vec::new();
    for _ in 0..500 {
        pipe.step().await;
        let row = crate::fixture::read(&pipe.parts.store, bad[0].id).await;
        if row.last_checked_at.is_some() && said.last() != Some(&row.last_error) {
            said.push(row.last_error);
        }
        if real && said.iter().any(|text| !text.is_empty()) && others(&pipe) >= 10 {
            break;
        }
        pipe.advance(tick);
        if real {
            tokio::time::sleep(tick).await;
        }
    }
    match error {
        Some(error) => assert!(
            said.iter().any(|text| text.starts_with(error)),
            "{fault:?} said {said:?}"
        ),
        None => assert!(said.iter().all(String::is_empty), "{fault:?} said {said:?}"),
    }
    assert!(others(&pipe) >= 10, "{fault:?}: others go on");
    pipe.emulator.set_fault("CDEK", None);
    pipe.run_until_arrived(Duration::from_secs(600)).await;
    pipe.assert_truth().await;
    let letters = pipe
        .parts
        .store
        .dead_letters(None, 10)
        .await
        .expect("lists");
    assert!(
        letters.is_empty(),
        "{fault:?} made dead letters: {letters:?}"
    );
}

#[tokio::test]
async fn every_fault_alone_is_told_of_and_leaves_nothing_behind() {
    for (fault, error) in faults() {
        println!("{fault:?}");
        alone(fault, error).await;
    }
}
