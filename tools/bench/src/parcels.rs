//! Parcels that arrive at their first check, the carriers that know them, and what a check says of them.

use std::net::SocketAddr;

use chrono::TimeDelta;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use trackbox::clock::{Time, machine_now};
use trackbox::model::{CarrierCode, TrackNumber};
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::faults::{Fault, Rule};
use trackbox_emulator::options::{Options, Progress};
use trackbox_emulator::scenario::{Parcel, Step};
use trackbox_emulator::serve::serve;
use uuid::Uuid;

use crate::trackbox::Settings;

pub const CARRIER: &str = "BENCH";

/// What happened to each parcel, with the hours since.
const STEPS: [(&str, &str, &str, i64); 3] = [
    ("ACCEPTED", "1", "Moscow", 48),
    ("IN_TRANSIT", "2", "Omsk", 24),
    ("DELIVERED", "4", "Omsk", 1),
];

/// Carriers without limits, in this process.
pub struct Carriers {
    emulator: Emulator,
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Carriers {
    pub async fn start() -> anyhow::Result<Self> {
        let options = Options {
            progress: Progress::Clock,
            ..Options::default()
        };
        let emulator = Emulator::new(options, trackbox_emulator::time::Time::system());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        tokio::spawn(serve(emulator.clone(), listener, stop.clone()));
        Ok(Self {
            emulator,
            address,
            _stop: stop.drop_guard(),
        })
    }

    /// Makes them know these parcels, whose three events have all happened.
    pub fn seed(&self, numbers: &[String]) -> anyhow::Result<()> {
        let now = machine_now();
        let steps = STEPS.map(|(status, raw, place, hours)| Step {
            event_time: Some(now - TimeDelta::hours(hours)),
            ..Step::new(status, raw, place)
        });
        let parcels = numbers.iter().map(|number| Parcel {
            postal_code: None,
            carrier: CARRIER.to_owned(),
            track_number: number.clone(),
            step_seconds: 1,
            progress_prob: 0.0,
            steps: steps.to_vec(),
        });
        self.emulator.seed(parcels.collect())?;
        Ok(())
    }

    /// Makes them answer every call with so many bytes.
    pub fn answer_with(&self, bytes: u64) {
        let rule = Rule {
            carrier: CARRIER.to_owned(),
            track_number: None,
            share: 1.0,
            calls: None,
            fault: Fault::HugeBody { bytes },
        };
        self.emulator.set_fault(CARRIER, Some(rule));
    }

    /// The settings with which TrackBox calls them as fast as it can.
    pub fn settings(&self) -> Settings {
        vec![
            (
                "CARRIERS__DEFAULT__BASE_URL",
                format!("http://{}", self.address),
            ),
            ("CARRIERS__DEFAULT__PER_MINUTE", "0".to_owned()),
            ("CARRIERS__DEFAULT__CONCURRENCY", "100".to_owned()),
            ("WORK__BATCH", "1000".to_owned()),
        ]
    }
}

/// The settings of a TrackBox that makes no calls worth counting.
pub fn resting() -> Settings {
    vec![
        ("CARRIERS__DEFAULT__PER_MINUTE", "1".to_owned()),
        (
            "CARRIERS__DEFAULT__BASE_URL",
            "http://127.0.0.1:9".to_owned(),
        ),
    ]
}

pub fn numbers(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

pub fn carrier() -> CarrierCode {
    CarrierCode::parse(CARRIER).expect("is a valid code")
}

pub fn pairs(numbers: &[String]) -> anyhow::Result<Vec<(CarrierCode, TrackNumber)>> {
    let pair = |number: &String| Ok((carrier(), TrackNumber::parse(number.as_str())?));
    numbers.iter().map(pair).collect()
}

/// The record of a check that saw all that happened to a parcel, as the carriers above tell it.
pub fn record(id: i64, now: Time) -> Vec<u8> {
    let at = |hours| now - TimeDelta::hours(hours);
    let events = STEPS.map(|(status, raw, place, hours)| {
        json!({"status": status, "status_raw": raw, "event_time": at(hours), "location": place})
    });
    let record = json!({
        "tracking_id": id, "checked_at": now, "check_id": Uuid::now_v7(), "status": "DELIVERED", "status_raw": "4",
        "status_at": at(1), "next_check_at": now + TimeDelta::hours(1), "events": events,
    });
    record.to_string().into_bytes()
}
