//! Every fault of a carrier, one at a time: other carriers go on, the parcel shows the error, and all recovers afterwards.

use std::time::Duration;

use trackbox_emulator::faults::Fault;

use crate::support::fixture::read;
use crate::support::pipe::{Pipe, Setup};

/// Each fault, and how `lastError` begins while it lasts; `None` if the answer can still be read.
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
            // Of the account, which is paused: the parcel has not failed.
            None,
        ),
        (
            Fault::Complaint {
                code: 400,
                words: "malformed".to_owned(),
            },
            Some("the carrier answered 400: malformed"),
        ),
        (
            Fault::Malformed,
            Some("the carrier answered 200, but not in its own form"),
        ),
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
        (
            Fault::Closed,
            Some("the carrier could not be reached: it closed the connection before any answer"),
        ),
        (Fault::NotFound, None),
        (Fault::FutureEvent, None),
        (Fault::AncientEvent, None),
        (Fault::ManyEvents { count: 10_000 }, None),
        (Fault::ControlCharacters, None),
        (Fault::Nul, None),
        (Fault::InvalidUtf8, None),
    ]
}

async fn alone(fault: Fault, error: Option<&str>) {
    let mut pipe = Pipe::new(Setup::default()).await;
    let bad = pipe.create("CDEK", 2).await;
    pipe.create("POST_RU", 20).await;
    pipe.set_fault("CDEK", fault.clone());
    // The timeouts of sockets are real, so the test's time must keep pace with real time if a fault may cause one.
    let real = error.is_some();
    let tick = Duration::from_millis(if real { 10 } else { 50 });
    let mut said: Vec<String> = Vec::new();
    for _ in 0..500 {
        pipe.step().await;
        let row = read(&pipe.parts.store, bad[0].id).await;
        if row.last_checked_at.is_some() && said.last() != Some(&row.last_error) {
            said.push(row.last_error);
        }
        if real && said.iter().any(|text| !text.is_empty()) && pipe.good_calls("POST_RU") >= 10 {
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
    assert!(pipe.good_calls("POST_RU") >= 10, "{fault:?}: others go on");
    pipe.clear_fault("CDEK");
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
async fn every_fault_is_shown_while_it_lasts_and_leaves_nothing_behind() {
    for (fault, error) in faults() {
        println!("{fault:?}");
        alone(fault, error).await;
    }
}
