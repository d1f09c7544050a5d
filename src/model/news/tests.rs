//! What is told, and that it is told once.

use proptest::prelude::{Strategy, any};
use proptest::{prop_assert_eq, proptest};

use super::{EVENTS_MAX, News, tell};
use crate::model::event::Event;
use crate::model::fixture::{at, event, facts, seen, tracking, update};
use crate::model::history::{History, name};
use crate::model::status::Status;
use crate::model::{Outcome, Tracking, Update};

/// A tracking, its history, and what was told.
struct Parcel {
    row: Tracking,
    history: History,
}

impl Parcel {
    fn new() -> Self {
        Self {
            row: tracking(1, 1),
            history: History::default(),
        }
    }

    fn apply(&mut self, update: &Update) -> Option<News> {
        let now = at(10_000);
        let (row, news) = tell(&self.row, update, &mut self.history, now);
        self.row = row;
        news
    }
}

fn names(events: &[Event]) -> Vec<u64> {
    let names = events.iter().map(|event| name(&event.digest(1)));
    names.collect()
}

#[test]
fn a_check_that_finds_nothing_new_is_no_news() {
    let mut parcel = Parcel::new();
    let events = vec![
        event(Status::InTransit, "A", 0),
        event(Status::InTransit, "B", 5),
    ];
    let news = parcel
        .apply(&seen(1, 10, 1, events.clone()))
        .expect("is news");
    assert_eq!((news.change_seq, news.events_total), (1, 2));
    assert_eq!(news.events, names(&events));
    assert_eq!(
        (news.was.0, news.status),
        (Status::Unknown, Status::InTransit)
    );
    let version = parcel.row.version;
    assert_eq!(parcel.apply(&seen(1, 20, 2, events.clone())), None);
    assert!(parcel.row.version > version, "the last check is visible");
    let failed = Outcome::Failed {
        error: "no answer".to_owned(),
    };
    assert_eq!(parcel.apply(&update(1, 30, 3, failed)), None);
    assert_eq!(parcel.apply(&seen(1, 10, 1, events)), None);
    assert_eq!(parcel.row.change_seq, 1);
}

/// An answer that was overtaken may still hold an event that no later one did.
#[test]
fn a_late_event_is_news_though_the_status_stays() {
    let mut parcel = Parcel::new();
    let newest = event(Status::Delivered, "C", 50);
    parcel
        .apply(&seen(1, 60, 2, vec![newest]))
        .expect("is news");
    let before = parcel.row.clone();
    let late = event(Status::InTransit, "A", 0);
    let news = parcel
        .apply(&seen(1, 10, 1, vec![late.clone()]))
        .expect("is news");
    assert_eq!(news.events, names(&[late]));
    assert_eq!(news.status, Status::Delivered);
    assert_eq!(parcel.row.change_seq, 2);
    assert!(
        parcel.row.version > before.version,
        "no cache keeps the old state"
    );
}

#[test]
fn facts_that_change_are_news_and_the_same_facts_are_not() {
    let mut parcel = Parcel::new();
    let events = vec![event(Status::InTransit, "A", 0)];
    let with = |secs, check, pieces| Update {
        facts: Some(facts(pieces)),
        ..seen(1, secs, check, events.clone())
    };
    parcel.apply(&with(10, 1, 2)).expect("is news");
    assert_eq!(parcel.apply(&with(20, 2, 2)), None);
    let news = parcel.apply(&with(30, 3, 5)).expect("is news");
    assert_eq!(news.facts, Some((Some(facts(2)), Some(facts(5)))));
    assert_eq!(news.events_total, 0);
}

#[test]
fn an_event_that_the_carrier_corrects_is_told_as_revised() {
    let mut parcel = Parcel::new();
    let first = event(Status::InTransit, "A", 0);
    parcel
        .apply(&seen(1, 10, 1, vec![first.clone()]))
        .expect("is news");
    let corrected = Event {
        location: "Omsk".to_owned(),
        ..first.clone()
    };
    let news = parcel
        .apply(&seen(1, 20, 2, vec![corrected.clone()]))
        .expect("is news");
    assert_eq!(news.events, names(&[corrected]));
    assert_eq!(news.revised, names(&[first]));
}

#[test]
fn of_many_new_events_the_newest_are_named_and_all_are_counted() {
    let mut parcel = Parcel::new();
    let many: Vec<Event> = (0..30)
        .map(|n| event(Status::InTransit, &format!("E{n}"), n))
        .collect();
    let news = parcel
        .apply(&seen(1, 100, 1, many.clone()))
        .expect("is news");
    assert_eq!(news.events, names(&many[30 - EVENTS_MAX..]));
    assert_eq!(news.events_total, 30);
}

/// A check of some of ten events.
fn check() -> impl Strategy<Value = Update> {
    let events = proptest::collection::vec((0..10_i64, any::<bool>()), 0..6);
    (events, 0..20_i64, 1..40_u128, any::<bool>()).prop_map(|(events, secs, check, fails)| {
        if fails {
            let error = "no answer".to_owned();
            return update(1, 100 + secs, check, Outcome::Failed { error });
        }
        let events = events.iter().map(|(n, delivered)| {
            let status = if *delivered {
                Status::Delivered
            } else {
                Status::InTransit
            };
            event(status, &format!("E{n}"), *n)
        });
        let mut events: Vec<Event> = events.collect();
        events.sort_by_key(|event| event.event_time);
        seen(1, 100 + secs, check, events)
    })
}

proptest! {
    /// Whoever counts on from what it was told knows the state, and every event was told once.
    #[test]
    fn what_was_told_adds_up_to_the_state(updates in proptest::collection::vec(check(), 1..30)) {
        let mut parcel = Parcel::new();
        let (mut status, mut told, mut count) = (Status::Unknown, Vec::new(), 0);
        for update in &updates {
            let Some(news) = parcel.apply(update) else { continue };
            count += 1;
            prop_assert_eq!(news.change_seq, count);
            prop_assert_eq!(news.was.0, status);
            status = news.status;
            told.extend(news.events);
        }
        prop_assert_eq!(parcel.row.change_seq, count);
        prop_assert_eq!(parcel.row.status, status);
        let mut known: Vec<u64> = parcel.history.changed().filter(|kept| !kept.stated).map(|kept| name(&kept.digest)).collect();
        known.sort_unstable();
        told.sort_unstable();
        prop_assert_eq!(told, known);
    }
}
