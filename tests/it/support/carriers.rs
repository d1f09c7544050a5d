//! The carriers: an emulator on a socket of its own, the settings to call it, and parcels that it knows.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use trackbox::model::{CarrierCode, TrackNumber};
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::faults::{Fault, Rule};
use trackbox_emulator::journeys::journey;
use trackbox_emulator::oauth::OAuth;
use trackbox_emulator::options::{Behaviour, Options, Progress};
use trackbox_emulator::scenario::Parcel;
use trackbox_emulator::serve::serve;
use trackbox_emulator::time::Time;

use crate::support::engines::install_tls;
use crate::support::fixture::{code, number};

/// How long the answer of a ticket takes.
pub const TICKET_WAIT: Duration = Duration::from_secs(3);

/// Starts carriers whose `limits` are calls a minute, 0 for none; returns them, their URL, and what stops them on drop.
pub async fn start(limits: &[(&str, u32)], time: Time) -> (Emulator, String, DropGuard) {
    start_with(limits, None, time).await
}

/// The same, and their calls need a token that these credentials get.
pub async fn start_with(
    limits: &[(&str, u32)],
    oauth: Option<OAuth>,
    time: Time,
) -> (Emulator, String, DropGuard) {
    install_tls();
    let options = Options {
        progress: Progress::Clock,
        limits: limits
            .iter()
            .map(|(code, limit)| ((*code).to_owned(), *limit))
            .collect(),
        oauth,
        behaviours: [Behaviour::Ticket].into(),
        ticket_wait: TICKET_WAIT,
        ..Options::default()
    };
    let emulator = Emulator::new(options, time);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    let stop = CancellationToken::new();
    tokio::spawn(serve(emulator.clone(), listener, stop.clone()));
    (emulator, format!("http://{address}"), stop.drop_guard())
}

/// The settings, as variables without their prefix, with which TrackBox calls the carriers at `url`.
pub fn settings(url: &str, limits: &[(&str, u32)], adapter: &str) -> Vec<(String, String)> {
    let mut settings = vec![("CARRIERS__DEFAULT__BASE_URL".to_owned(), url.to_owned())];
    for (code, limit) in limits {
        for (key, value) in [
            ("ADAPTER", adapter.to_owned()),
            ("BASE_URL", url.to_owned()),
            ("PER_MINUTE", limit.to_string()),
        ] {
            settings.push((format!("CARRIERS__{code}__{key}"), value));
        }
    }
    settings
}

/// Makes `count` parcels with varied journeys known to the emulator, the n-th with `step_secs(n)` between its steps.
pub fn seed(
    emulator: &Emulator,
    carrier: &str,
    count: usize,
    step_secs: impl Fn(u64) -> u64,
) -> Vec<(CarrierCode, TrackNumber)> {
    let numbers: Vec<String> = (0..count).map(|n| format!("{carrier}{n}")).collect();
    let parcels = (0..).zip(&numbers).map(|(n, number)| Parcel {
        carrier: carrier.to_owned(),
        track_number: number.clone(),
        step_seconds: step_secs(n),
        progress_prob: 0.0,
        postal_code: None,
        steps: journey(carrier, number, 1),
    });
    emulator.seed(parcels.collect()).expect("seeds");
    let pairs = numbers.iter().map(|text| (code(carrier), number(text)));
    pairs.collect()
}

/// `fault` in every answer of `carrier`.
pub fn rule(carrier: &str, fault: Fault) -> Rule {
    Rule {
        carrier: carrier.to_owned(),
        track_number: None,
        share: 1.0,
        calls: None,
        fault,
    }
}
