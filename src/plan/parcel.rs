//! Reads a tracking for the learned policy: the code of its last event, the weight of events, and times as hours.

use crate::clock::{Time, hours};
use crate::model::status::{Status, SubStatus};
use crate::model::{Event, Held, Outcome, Tracking, Update};
use crate::plan::hazard::{Gain, NewsItem, learn};
use crate::plan::{Class, IMPORTANT};

/// The sub-status or status that an event's code names. Any other code is `UNKNOWN`, so that the number of codes is
/// limited.
pub fn word(code: &str) -> &'static str {
    SubStatus::parse(code)
        .map(SubStatus::as_str)
        .or_else(|| Status::parse(code).map(Status::as_str))
        .unwrap_or(Status::Unknown.as_str())
}

/// The class of a code, for what is assumed before anything was learned.
pub fn class_of(code: &str) -> Class {
    let status = SubStatus::parse(code)
        .map(SubStatus::status)
        .or_else(|| Status::parse(code))
        .unwrap_or(Status::Unknown);
    match status {
        Status::Unknown | Status::Pending | Status::InfoReceived => Class::PreTransit,
        Status::OutForDelivery => Class::OutForDelivery,
        Status::AvailableForPickup => Class::Pickup,
        Status::AttemptFailed | Status::Exception => Class::Exception,
        Status::InTransit
        | Status::Returning
        | Status::Delivered
        | Status::Returned
        | Status::Cancelled
        | Status::Expired => Class::InTransit,
    }
}

/// The weight of an event with this status.
pub fn weight_of(status: Status) -> f64 {
    match status {
        Status::OutForDelivery
        | Status::AvailableForPickup
        | Status::Delivered
        | Status::AttemptFailed
        | Status::Exception => IMPORTANT,
        _ => 1.0,
    }
}

/// What the next event of a parcel depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The code of the last event. Without an event: the status.
    pub code: &'static str,
    /// The time of the last event, in hours. Without an event: when the tracking was created.
    pub since: f64,
}

impl Standing {
    pub fn of(row: &Tracking) -> Self {
        match &row.last_event_code {
            Some(code) => Self {
                code: word(code),
                // An event dated later than the check that reported it counts as of that check: it was watched from then
                // on.
                since: hours(
                    row.last_event_at
                        .min(row.status_checked_at)
                        .unwrap_or(row.created_at),
                ),
            },
            None => Self {
                code: row.status.as_str(),
                since: hours(row.created_at),
            },
        }
    }

    /// The standing of a parcel after an answer at `asked_at`.
    pub fn after(row: &Tracking, outcome: &Outcome, asked_at: Time) -> Self {
        match outcome {
            Outcome::Seen { report, .. } => {
                let code = report.last_event_code.as_deref().map(word);
                let since = report.last_event_at.unwrap_or(row.created_at);
                Self {
                    code: code.unwrap_or(report.status.as_str()),
                    since: hours(since.min(asked_at)),
                }
            }
            Outcome::NotFoundYet if row.status == Status::Unknown => Self {
                code: Status::Pending.as_str(),
                since: hours(row.created_at),
            },
            Outcome::NotFoundYet | Outcome::Failed { .. } | Outcome::Replayed(_) => Self::of(row),
        }
    }
}

/// Calls `gain` with everything that `update` adds to the counts, code by code.
///
/// That is nothing for the first answer, because its events happened before the parcel was watched, nor for failures,
/// repetitions, events and answers read anew, events pushed, and parcels that were done before. Of a history that was not
/// found before, the first event alone counts.
pub fn learn_from(row: &Tracking, update: &Update, gain: impl FnMut(&'static str, Gain)) {
    let events: &[Event] = match &update.outcome {
        Outcome::Seen { events, .. } => events,
        Outcome::NotFoundYet => &[],
        Outcome::Failed { .. } | Outcome::Replayed(_) => return,
    };
    if matches!(update.held, Held::Reread | Held::Pushed) {
        return;
    }
    let Some(last_ok) = row.last_ok_at.filter(|at| *at < update.checked_at) else {
        return;
    };
    if row.status.is_terminal() {
        return;
    }
    // What was pushed since the last answer is news of this time too, and came after what was known then.
    let is_pushed = row.status_checked_at > Some(last_ok);
    let known_at = match is_pushed {
        true => Some(last_ok),
        false => row.last_event_at,
    };
    let mut news: Vec<&Event> = events
        .iter()
        .filter(|event| known_at.is_none_or(|at| event.event_time > at))
        .collect();
    news.sort_by_key(|event| event.event_time);
    // A carrier may list an event more than once.
    news.dedup_by_key(|event| (event.event_time, event.status, event.sub_status));
    let news: Vec<NewsItem<&'static str>> = news
        .into_iter()
        .map(|event| NewsItem {
            at: hours(event.event_time),
            code: code_of(event),
            weight: weight_of(event.status),
            ends: event.status.is_terminal(),
        })
        .collect();
    let before = events.iter().filter(|event| event.event_time <= last_ok);
    let before = before.max_by_key(|event| event.event_time);
    let Standing { code, since } = match before.filter(|_| is_pushed) {
        Some(event) => Standing {
            code: code_of(event),
            since: hours(event.event_time),
        },
        None => Standing::of(row),
    };
    learn(
        code,
        since,
        hours(last_ok),
        &news,
        hours(update.checked_at),
        gain,
    );
}

fn code_of(event: &Event) -> &'static str {
    let sub_status = event.sub_status.map(SubStatus::as_str);
    sub_status.unwrap_or(event.status.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

    use super::learn_from;
    use crate::model::fixture::{event, seen, tracking, update};
    use crate::model::history::History;
    use crate::model::merge::merge;
    use crate::model::status::Status;
    use crate::model::{Held, Outcome, Tracking, Update};
    use crate::plan::hazard::Gain;

    const HOUR: i64 = 3_600;

    /// Events and watched hours by code.
    type Taught = BTreeMap<&'static str, (u32, f64)>;

    /// Applies `update` to `row` and adds what it teaches.
    fn apply(row: &mut Tracking, update: &Update, taught: &mut Taught) {
        learn_from(row, update, |code, gain| match gain {
            Gain::Watched { hours, .. } => taught.entry(code).or_default().1 += hours,
            Gain::Event { .. } => taught.entry(code).or_default().0 += 1,
        });
        *row = merge(row, update, &mut History::default(), update.checked_at);
    }

    #[test]
    fn news_that_was_pushed_between_two_checks_teaches_as_if_the_second_had_found_it() {
        let history = |steps: &[(Status, i64)]| {
            let event =
                |(status, hour): &(Status, i64)| event(*status, status.as_str(), hour * HOUR);
            steps.iter().map(event).collect::<Vec<_>>()
        };
        let all = [
            (Status::InTransit, 0),
            (Status::OutForDelivery, 5),
            (Status::Delivered, 8),
        ];
        let (first, second) = (
            seen(1, HOUR, 1, history(&all[..1])),
            seen(1, 10 * HOUR, 4, history(&all)),
        );
        let mut taught = [false, true].map(|is_pushed| {
            let (mut row, mut taught) = (tracking(1, 1), Taught::new());
            apply(&mut row, &first, &mut taught);
            if is_pushed {
                let pushed = Update {
                    held: Held::Pushed,
                    ..seen(1, 6 * HOUR, 2, history(&all[1..2]))
                };
                apply(&mut row, &pushed, &mut taught);
            }
            apply(&mut row, &second, &mut taught);
            taught
        });
        for taught in &mut taught {
            taught.retain(|_, (events, hours)| *events > 0 || *hours > 0.0);
        }
        assert_eq!(taught[0], taught[1]);
        assert_eq!(taught[0]["OUT_FOR_DELIVERY"].0, 1);
    }

    #[test]
    fn the_history_of_a_parcel_that_was_not_found_teaches_that_it_was_found_and_no_more() {
        let (mut row, mut taught) = (tracking(1, 1), Taught::new());
        apply(
            &mut row,
            &update(1, 10 * HOUR, 1, Outcome::NotFoundYet),
            &mut taught,
        );
        assert_eq!(taught, Taught::new(), "the first answer");
        let history = (1..=5).map(|n| event(Status::InTransit, "x", n * HOUR));
        let found = seen(1, 12 * HOUR, 2, history.collect());
        apply(&mut row, &found, &mut taught);
        assert_eq!(taught["PENDING"].0, 1);
        let (events, hours) = taught["IN_TRANSIT"];
        assert_eq!(
            events, 0,
            "none of the others left a state that was watched"
        );
        assert!(
            (hours - 2.0).abs() < 0.01,
            "since the answer before: {hours}"
        );
        let mut more: Vec<_> = (1..=5)
            .map(|n| event(Status::InTransit, "x", n * HOUR))
            .collect();
        more.push(event(Status::Delivered, "x", 13 * HOUR));
        apply(&mut row, &seen(1, 14 * HOUR, 3, more), &mut taught);
        assert_eq!(taught["IN_TRANSIT"].0, 1, "this one was");
    }

    /// What checks teach that come every hour for 300 parcels, whose events are two to six hours apart and dated `ahead`.
    fn taught_by_events(ahead: i64) -> Taught {
        let mut taught = Taught::new();
        let mut chance = ChaCha8Rng::seed_from_u64(7);
        for id in 1..=300 {
            let mut happened = 0;
            let states = [
                Status::InTransit,
                Status::OutForDelivery,
                Status::AvailableForPickup,
            ];
            let journey: Vec<_> = std::iter::repeat_n(states, 4)
                .flatten()
                .map(|status| {
                    happened += 2_i64 * HOUR + i64::from(chance.next_u32() % 14_400);
                    (status, happened)
                })
                .collect();
            let mut row = tracking(id, 1);
            for hour in 3..40 {
                let events = journey.iter().filter(|(_, secs)| *secs <= hour * HOUR);
                let events = events.map(|(status, secs)| event(*status, "x", secs + ahead));
                let check = hour.unsigned_abs().into();
                apply(
                    &mut row,
                    &seen(id, hour * HOUR, check, events.collect()),
                    &mut taught,
                );
            }
        }
        taught
    }

    #[test]
    fn events_dated_three_hours_ahead_give_the_same_rates() {
        let (right, ahead) = (taught_by_events(0), taught_by_events(3 * HOUR));
        for code in ["IN_TRANSIT", "OUT_FOR_DELIVERY", "AVAILABLE_FOR_PICKUP"] {
            let rate = |taught: &Taught| f64::from(taught[code].0) / taught[code].1;
            let ratio = rate(&ahead) / rate(&right);
            assert!((0.9..1.1).contains(&ratio), "{code}: {ratio}");
        }
    }
}
