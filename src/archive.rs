//! Carriers' answers as they are kept: what tells two of them apart, and how they are compressed. Pure.

use sha2::{Digest as _, Sha256};

use crate::carriers::{ANSWER_BYTES_MAX, Asked, CarrierError, FailureOf, Verdict};
use crate::model::archived::Reading;
use crate::model::facts::Facts;
use crate::model::status::{Meant, SubStatus};
use crate::model::{Event, Tracking, clean_text};

/// The most bytes of a compressed answer about one number that are kept; most have less than a thousandth of that.
const COMPRESSED_BYTES_MAX: usize = 1024 * 1024;

/// zstd's default: stronger ones take several times as long for a few percent.
const LEVEL: i32 = 3;

/// What a carrier is asked for: a tracking whose code and number are as it is asked for them.
pub fn asked(row: &Tracking) -> Asked {
    Asked {
        carrier: row.carrier_code.clone(),
        number: row.track_number.clone(),
        extra: row.extras.next().cloned().unwrap_or_default(),
    }
}

/// What an answer was read as, the edition of the mapping aside. `names` says whether names of people count.
///
/// `None` for a failure that says nothing of the number: of the call or of the account.
pub fn reading(read: Result<&Verdict, &CarrierError>, names: bool) -> Option<Reading> {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    match read {
        Ok(Verdict::Seen(seen)) => {
            text("seen");
            for event in &seen.events {
                add_event(event, &mut text);
            }
            text(&format!(
                "{} {}",
                seen.unreadable.count, seen.unreadable.example
            ));
            let facts = seen.facts.clone();
            let facts = match names {
                true => facts,
                false => facts.and_then(Facts::without_names),
            };
            let facts = facts.map(|facts| serde_json::to_string(&facts));
            text(&facts.and_then(Result::ok).unwrap_or_default());
        }
        Ok(Verdict::NotFoundYet) => text("not found"),
        Ok(Verdict::Invalid { reason }) => text(&format!("invalid {reason}")),
        // The carrier said nothing.
        Ok(Verdict::Unasked { .. }) => return None,
        Ok(Verdict::Failed { reason }) => text(&format!("failed {}", clean_text(reason))),
        Err(error) if error.failure_of() == FailureOf::Number => text(&format!("error {error}")),
        Err(_) => return None,
    }
    let mut reading = Reading::default();
    reading.copy_from_slice(&hash.finalize()[..16]);
    Some(reading)
}

fn add_event(event: &Event, text: &mut impl FnMut(&str)) {
    let meant = |(status, sub_status): Meant| {
        let detail = sub_status.map_or("", SubStatus::as_str);
        format!("{status} {detail}")
    };
    text(&meant((event.status, event.sub_status)));
    text(&meant(event.own()));
    text(&event.status_raw);
    text(&event.location);
    text(&event.message);
    text(&event.payload_json);
    let micros = event.event_time.timestamp_micros();
    // A status without a time of its own stands at the check's.
    let order_at = event.order_at.filter(|_| !event.stated);
    let order_micros = order_at.map_or(0, |at| at.timestamp_micros());
    text(&format!(
        "{micros} {order_micros} {} {}",
        event.taken_back, event.stated
    ));
}

/// An answer's body as it is kept; `None` if it is too long even so.
pub fn compressed(body: &[u8]) -> Option<Vec<u8>> {
    let compressed = zstd::bulk::compress(body, LEVEL).ok()?;
    (compressed.len() <= COMPRESSED_BYTES_MAX).then_some(compressed)
}

/// The body that was compressed; `None` if it was not written by [`compressed`], or is longer than any answer.
pub fn decompressed(kept: &[u8]) -> Option<Vec<u8>> {
    zstd::bulk::decompress(kept, ANSWER_BYTES_MAX).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{compressed, decompressed, reading};
    use crate::carriers::{ANSWER_BYTES_MAX, CarrierError, Observation, Verdict};
    use crate::model::facts::Facts;
    use crate::model::fixture::{at, event, facts};
    use crate::model::status::Status;
    use crate::model::{Event, Unreadable};

    fn seen(events: Vec<Event>, facts: Option<Facts>, mapping_version: i32) -> Verdict {
        Verdict::Seen(Observation {
            events,
            unreadable: Unreadable::default(),
            facts,
            mapping_version,
        })
    }

    #[test]
    fn a_reading_differs_by_all_that_is_read_but_the_edition() {
        let of = |verdict: &Verdict| reading(Ok(verdict), false).expect("says something");
        let transit = || event(Status::InTransit, "3", 0);
        let first = of(&seen(vec![transit()], None, 1));
        let other_edition = Event {
            mapping_version: 2,
            ..transit()
        };
        assert_eq!(of(&seen(vec![other_edition], None, 2)), first);
        let other_place = Event {
            location: "Omsk".to_owned(),
            ..transit()
        };
        let other_mark = Event {
            taken_back: true,
            ..transit()
        };
        let failed = Verdict::Failed {
            reason: "x".to_owned(),
        };
        for other in [
            seen(vec![other_place], None, 1),
            seen(vec![other_mark], None, 1),
            seen(vec![event(Status::Delivered, "3", 0)], None, 1),
            seen(vec![event(Status::InTransit, "3", 1)], None, 1),
            seen(vec![transit(), transit()], None, 1),
            seen(vec![transit()], Some(facts(2)), 1),
            Verdict::NotFoundYet,
            failed,
        ] {
            assert_ne!(of(&other), first, "{other:?}");
        }
    }

    #[test]
    fn a_name_counts_only_where_it_may_be_kept_and_the_time_of_a_check_never() {
        let signed = |name: &str| {
            let facts = Facts {
                signed_by: Some(name.to_owned()),
                ..facts(1)
            };
            seen(vec![event(Status::Delivered, "3", 0)], Some(facts), 1)
        };
        let (one, other) = (signed("Ivanov"), signed("Petrov"));
        assert_eq!(reading(Ok(&one), false), reading(Ok(&other), false));
        assert_ne!(reading(Ok(&one), true), reading(Ok(&other), true));
        let stated = |secs| {
            let stated = Event::stated((Status::InTransit, None), "x", None, &[], at(secs));
            seen(vec![stated.expect("adds a status")], None, 1)
        };
        assert_eq!(reading(Ok(&stated(1)), true), reading(Ok(&stated(2)), true));
    }

    #[test]
    fn an_error_of_the_account_or_the_call_is_no_answer_about_a_number() {
        let refused = CarrierError::Refused {
            status: 400,
            said: "no".to_owned(),
        };
        assert!(reading(Err(&refused), false).is_some());
        for error in [
            CarrierError::Status { status: 502 },
            CarrierError::KeyRefused {
                said: "no".to_owned(),
            },
        ] {
            assert_eq!(reading(Err(&error), false), None, "{error}");
        }
    }

    #[test]
    fn what_would_be_longer_than_any_answer_is_not_decompressed() {
        let bomb = compressed(&vec![0; ANSWER_BYTES_MAX + 1]).expect("is short");
        assert_eq!(decompressed(&bomb), None);
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back_and_other_bytes_are_refused(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let kept = compressed(&body).expect("is short");
            assert_eq!(decompressed(&kept).as_deref(), Some(body.as_slice()));
            if let Some(decompressed) = decompressed(&body) {
                assert!(decompressed.len() <= ANSWER_BYTES_MAX);
            }
        }
    }
}
