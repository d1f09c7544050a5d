//! What real carriers sent, and that any order of messages ends in the same history.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::History;
use crate::kafka::message::decode;
use crate::model::answer::told;
use crate::model::fixture::{at, event, seen, tracking};
use crate::model::merge::merge;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{Event, Held, Outcome, Tracking, Unreadable, Update};

const DAY: i64 = 86_400;

/// The answer of a check as a worker publishes it for `row`.
fn published(row: &Tracking, secs: i64, check: u128, mut events: Vec<Event>) -> Update {
    let mut update = seen(row.id, secs, check, Vec::new());
    let report = told(row, &mut events, at(secs));
    update.outcome = Outcome::Seen { report, events };
    update
}

/// A tracking with its history, as store and worker see it.
struct Parcel {
    row: Tracking,
    history: History,
    checks: u128,
}

impl Parcel {
    fn new() -> Self {
        Self {
            row: tracking(1, 1),
            history: History::default(),
            checks: 0,
        }
    }

    /// One more check; the status that was published and the one that follows from the whole history must be the same.
    fn check(&mut self, secs: i64, events: Vec<Event>) -> Status {
        self.checks += 1;
        let update = published(&self.row, secs, self.checks, events);
        let Outcome::Seen { report, .. } = &update.outcome else {
            panic!("was seen");
        };
        let published = (report.status, report.direction, report.status_at);
        self.row = merge(&self.row, &update, &mut self.history, at(secs));
        let kept = (self.row.status, self.row.direction, self.row.status_at);
        assert_eq!(published, kept, "published and kept");
        self.row.status
    }

    fn shown(&self) -> Vec<(&str, bool)> {
        let events = self.history.events.iter();
        events
            .map(|kept| (kept.status_raw.as_str(), kept.superseded))
            .collect()
    }
}

#[test]
fn a_stale_copy_of_the_carrier_is_no_news() {
    let mut parcel = Parcel::new();
    let full = vec![
        event(Status::InTransit, "Прием", 0),
        event(
            Status::AvailableForPickup,
            "Ожидает адресата в месте вручения",
            100,
        ),
    ];
    for round in 0..4 {
        let status = parcel.check(200 + 2 * round, full.clone());
        assert_eq!(status, Status::AvailableForPickup);
        let status = parcel.check(201 + 2 * round, full[..1].to_vec());
        assert_eq!(status, Status::AvailableForPickup);
        assert_eq!(parcel.row.status_at, Some(at(100)));
    }
}

#[test]
fn a_suffix_of_a_way_back_stays_on_the_way_back() {
    let mut parcel = Parcel::new();
    let back = event(Status::Returning, "Возврат", 10);
    parcel.check(20, vec![event(Status::InTransit, "Прием", 0), back]);
    let later = vec![
        event(Status::InTransit, "Сортировка", 30),
        event(Status::Delivered, "Вручение", 40),
    ];
    assert_eq!(parcel.check(50, later), Status::Returned);
    assert_eq!(parcel.row.direction, Direction::Return);
}

#[test]
fn a_part_that_begins_with_an_unknown_text_knows_what_was_before_it() {
    let events = [
        event(Status::InTransit, "Прием", 0),
        event(Status::Unknown, "Прочее", 10),
        event(Status::InfoReceived, "Заказ создан", 20),
    ];
    let mut parcel = Parcel::new();
    assert_eq!(parcel.check(30, events[..2].to_vec()), Status::Unknown);
    assert_eq!(
        parcel.check(40, events[1..].to_vec()),
        Status::Unknown,
        "no order after the parcel"
    );
}

#[test]
fn a_corrected_event_is_superseded_and_a_missing_one_stays() {
    let at_place = |place: &str| Event {
        location: place.to_owned(),
        ..event(Status::InTransit, "Прибыло", 10)
    };
    let mut parcel = Parcel::new();
    parcel.check(20, vec![event(Status::InTransit, "Прием", 0), at_place("")]);
    parcel.check(
        30,
        vec![
            event(Status::InTransit, "Прием", 0),
            at_place("Гонконг AMC"),
        ],
    );
    assert_eq!(
        parcel.shown(),
        [("Прием", false), ("Прибыло", true), ("Прибыло", false)]
    );
    parcel.check(40, vec![at_place("Гонконг AMC")]);
    assert_eq!(parcel.shown()[0], ("Прием", false), "only missing");
    parcel.check(50, vec![event(Status::InTransit, "Прием", 0), at_place("")]);
    assert_eq!(
        parcel.shown()[1],
        ("Прибыло", true),
        "a stale copy changes no mark"
    );
}

#[test]
fn events_that_one_answer_held_together_never_supersede_each_other() {
    let at_place = |place: &str| Event {
        location: place.to_owned(),
        ..event(Status::InTransit, "Прибыло", 10)
    };
    let mut parcel = Parcel::new();
    parcel.check(20, vec![at_place("Омск")]);
    parcel.check(30, vec![at_place("Омск"), at_place("Томск")]);
    parcel.check(40, vec![at_place("Томск")]);
    assert_eq!(parcel.shown(), [("Прибыло", false), ("Прибыло", false)]);
}

#[test]
fn an_event_that_was_taken_back_decides_nothing() {
    let mut parcel = Parcel::new();
    let handed = event(Status::Delivered, "Вручение", 10);
    let on_way = event(Status::OutForDelivery, "Передано курьеру", 5);
    assert_eq!(
        parcel.check(20, vec![on_way.clone(), handed.clone()]),
        Status::Delivered
    );
    let undone = Event {
        taken_back: true,
        ..handed
    };
    let update = published(&parcel.row, 30, 9, vec![on_way, undone]);
    parcel.row = merge(&parcel.row, &update, &mut parcel.history, at(30));
    assert_eq!(parcel.row.status, Status::OutForDelivery);
    assert!(parcel.row.active);
}

#[test]
fn a_status_without_events_is_kept_once_however_often_it_is_told() {
    let (mut row, mut history) = (tracking(1, 1), History::default());
    for (secs, status) in [
        (1, "IN_TRANSIT"),
        (2, "IN_TRANSIT"),
        (3, "EXCEPTION"),
        (4, "IN_TRANSIT"),
    ] {
        let value = serde_json::json!({"tracking_id": 1, "checked_at": at(secs), "status": status, "status_raw": status});
        let update = decode(Some(value.to_string().as_bytes()), at(secs), at(100)).expect("reads");
        row = merge(&row, &update, &mut history, at(secs));
        assert_eq!((row.status.as_str(), row.status_at), (status, None));
    }
    assert_eq!(history.events.len(), 2);
}

#[test]
fn of_two_readings_of_an_event_the_one_that_tells_more_stays() {
    let arrived = Event {
        sub_status: Some(SubStatus::InTransitArrivedAtDestination),
        ..event(Status::InTransit, "Прибыло в место вручения", 10)
    };
    // The carrier's flag said of it, while it was the newest, that the parcel waits.
    let waits = Event {
        status: Status::AvailableForPickup,
        sub_status: None,
        ..arrived.clone()
    };
    let mut parcel = Parcel::new();
    parcel.check(20, vec![waits.clone()]);
    let status = parcel.check(30, vec![arrived.clone()]);
    assert_eq!(status, Status::AvailableForPickup);
    // So it is in whatever order two workers' messages arrive.
    let (flagged, plain) = (seen(1, 20, 1, vec![waits]), seen(1, 30, 2, vec![arrived]));
    for order in [[&flagged, &plain], [&plain, &flagged]] {
        assert_eq!(end(order).0.status, Status::AvailableForPickup);
    }
}

#[test]
fn an_event_far_ahead_is_kept_and_decides_nothing() {
    let mut parcel = Parcel::new();
    let planned = event(Status::Delivered, "Вручение", 5 * DAY);
    let status = parcel.check(20, vec![event(Status::InTransit, "Прием", 0), planned]);
    assert_eq!(status, Status::InTransit);
    assert_eq!(parcel.row.last_event_at, Some(at(0)));
    assert_eq!(parcel.shown().len(), 2);
}

#[test]
fn of_one_minute_what_became_known_later_happened_later() {
    let mut parcel = Parcel::new();
    let sorted = event(Status::InTransit, "Сортировка", 0);
    let courier = event(Status::OutForDelivery, "Передано курьеру", 0);
    parcel.check(10, vec![sorted.clone()]);
    assert_eq!(
        parcel.check(20, vec![sorted.clone(), courier.clone()]),
        Status::OutForDelivery
    );
    assert_eq!(
        parcel.check(30, vec![sorted, courier]),
        Status::OutForDelivery
    );
}

#[test]
fn what_could_not_be_read_is_told_by_the_newest_answer() {
    let mut row = tracking(1, 1);
    let unreadable = Unreadable {
        count: 2,
        example: "x".to_owned(),
    };
    let mut update = seen(1, 5, 1, vec![event(Status::InTransit, "3", 0)]);
    update.unreadable = unreadable.clone();
    row = merge(&row, &update, &mut History::default(), at(5));
    assert_eq!(row.unreadable, unreadable);
    let better = seen(1, 6, 2, vec![event(Status::InTransit, "3", 0)]);
    row = merge(&row, &better, &mut History::default(), at(6));
    assert_eq!(row.unreadable, Unreadable::default());
}

/// Events of one parcel, each of a time of its own.
fn journey() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![
        1 => Just((Status::InfoReceived, None)),
        2 => Just((Status::InTransit, Some(SubStatus::InTransitAccepted))),
        4 => Just((Status::InTransit, None)),
        2 => Just((Status::OutForDelivery, None)),
        2 => Just((Status::AvailableForPickup, None)),
        2 => Just((Status::Delivered, None)),
        1 => Just((Status::Returning, None)),
        1 => Just((Status::Unknown, None)),
        1 => Just((Status::Cancelled, None)),
    ];
    proptest::collection::vec((step, 0..3_u8), 1..8).prop_map(|steps| {
        let events = (0..)
            .zip(steps)
            .map(|(nth, ((status, sub_status), place))| Event {
                sub_status,
                location: place.to_string(),
                ..event(status, status.as_str(), 60 * nth)
            });
        events.collect()
    })
}

/// What a worker publishes of a journey that grows: whole answers, prefixes and suffixes, some events with another place.
fn answers() -> impl Strategy<Value = Vec<Update>> {
    let part = (any::<u8>(), any::<u8>(), any::<u8>(), 0..3_u8);
    (journey(), proptest::collection::vec(part, 1..7)).prop_map(|(events, parts)| {
        let mut row = tracking(1, 1);
        let mut history = History::default();
        let mut updates = Vec::new();
        for (check, (end, start, edited, held_as)) in (1_u32..).zip(parts) {
            let held_as = [Held::Whole, Held::Part, Held::Pushed][usize::from(held_as)];
            let whole = held_as == Held::Whole;
            let end = 1 + usize::from(end) % events.len();
            let start = if whole { 0 } else { usize::from(start) % end };
            let mut held = events[start..end].to_vec();
            let edited = usize::from(edited) % (2 * held.len());
            if let Some(event) = held.get_mut(edited) {
                event.location.push('*');
            }
            let secs = 1_000 + i64::from(check);
            let mut update = published(&row, secs, check.into(), held);
            update.held = held_as;
            row = merge(&row, &update, &mut history, at(secs));
            updates.push(update);
        }
        updates
    })
}

/// The row and the history after messages in this order.
fn end<'a>(updates: impl IntoIterator<Item = &'a Update>) -> (Tracking, Vec<super::Kept>) {
    let (mut row, mut history) = (tracking(1, 1), History::default());
    for update in updates {
        row = merge(&row, update, &mut history, at(9_000));
    }
    row.version = 0;
    row.updated_at = at(0);
    let mut kept = history.events;
    for event in &mut kept {
        // Which of the reports brought the texts, which are the same in all.
        event.event = None;
        event.remapped = false;
    }
    kept.sort_by_key(|event| event.digest);
    (row, kept)
}

proptest! {
    #[test]
    fn any_order_and_repetition_of_messages_ends_in_the_same_history(
        (updates, order) in answers().prop_flat_map(|updates| {
            let count = updates.len();
            let repeated = proptest::collection::vec(0..count, 0..6);
            let order = repeated.prop_flat_map(move |repeated| {
                Just((0..count).chain(repeated).collect::<Vec<usize>>()).prop_shuffle()
            });
            (Just(updates), order)
        })
    ) {
        prop_assert_eq!(end(&updates), end(order.iter().map(|nth| &updates[*nth])));
    }

    #[test]
    fn a_part_or_a_stale_copy_never_shows_a_status_that_the_history_did_not_have(
        events in journey(), parts in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..8)
    ) {
        // Every status that the whole history had, event by event.
        let mut had = vec![(Status::Unknown, Direction::Forward)];
        let (mut row, mut whole) = (tracking(1, 1), History::default());
        for count in 1..=events.len() {
            let update = published(&row, 1_000, count as u128, events[..count].to_vec());
            row = merge(&row, &update, &mut whole, at(1_000));
            had.push((row.status, row.direction));
        }
        let (mut row, mut history) = (tracking(1, 1), History::default());
        let mut heard = 0;
        for (check, (end, start)) in (1_u32..).zip(parts) {
            // A prefix, a stale copy, or a suffix whose earlier part was heard before.
            let end = 1 + usize::from(end) % events.len();
            let start = usize::from(start) % (heard.min(end - 1) + 1);
            let update = published(&row, 2_000 + i64::from(check), check.into(), events[start..end].to_vec());
            heard = heard.max(end);
            let Outcome::Seen { report, .. } = &update.outcome else { panic!("was seen") };
            prop_assert!(had.contains(&(report.status, report.direction)), "published {report:?}, had {had:?}");
            row = merge(&row, &update, &mut history, at(3_000));
            prop_assert_eq!((row.status, row.direction), had[heard]);
        }
    }
}
