//! The judge: what the emulator knows to be true, and its ledger of calls.

use std::collections::BTreeSet;

use trackbox::clock::{Time, cut};
use trackbox::model::tenant::Tenant;
use trackbox::model::{TrackingEvent, clean_text};
use trackbox::store::Store;
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::truth::TrueEvent;

/// Two reports with the same key are the same event.
type Key = (Time, String, String, String);

fn key(time: Time, raw: &str, location: &str, message: &str) -> Key {
    (
        cut(time),
        clean_text(raw),
        clean_text(location),
        clean_text(message),
    )
}

fn ours(event: &TrackingEvent) -> Key {
    let event = &event.event;
    key(
        event.event_time,
        &event.status_raw,
        &event.location,
        &event.message,
    )
}

fn true_keys(events: &[TrueEvent]) -> BTreeSet<Key> {
    events
        .iter()
        .map(|event| {
            key(
                event.event_time,
                &event.status_raw,
                &event.location,
                &event.message,
            )
        })
        .collect()
}

/// Asserts that every parcel's status, raw status and events are true: no event is lost or doubled, and each either
/// happened or was invented by a fault.
pub async fn assert_truth(store: &Store, emulator: &Emulator) {
    let rows = store.trackings_after(0, 1_000_000).await.expect("reads");
    assert!(!rows.is_empty());
    for row in rows {
        let number = row.track_number.as_str();
        let truth = emulator
            .truth(row.carrier_code.as_str(), number)
            .expect("is known");
        let status = (row.status.as_str(), row.status_raw.as_str());
        assert_eq!(
            status,
            (truth.status.as_str(), truth.status_raw.as_str()),
            "{number}"
        );
        let events = store
            .events(Tenant::DEFAULT, row.id, true, 1_000_000, 0)
            .await
            .expect("reads")
            .expect("is there");
        let known: BTreeSet<Key> = events.iter().map(ours).collect();
        assert_eq!(
            known.len(),
            events.len(),
            "an event of {number} is there twice"
        );
        let happened = true_keys(&truth.events);
        let lost: Vec<_> = happened.difference(&known).collect();
        assert!(lost.is_empty(), "{number} lost {lost:?}");
        let invented = true_keys(&truth.fault_events);
        let beyond: Vec<_> = known
            .iter()
            .filter(|key| !happened.contains(*key) && !invented.contains(*key))
            .collect();
        assert!(
            beyond.is_empty(),
            "{number} has {beyond:?} beyond the truth"
        );
    }
}

/// Asserts that no carrier was called more often than it allows in any calendar minute or any 60 s.
pub fn assert_limits(emulator: &Emulator) {
    let ledger = emulator.ledger();
    assert!(!ledger.carriers.is_empty());
    for (carrier, calls) in &ledger.carriers {
        assert_eq!(
            (calls.over_minute, calls.over_sliding),
            (0, 0),
            "{carrier}: {calls:?}"
        );
    }
}
