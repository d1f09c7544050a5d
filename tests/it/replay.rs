//! `trackbox replay` makes of parcels what a fresh run with today's file would have made of them, and nothing else.
//!
//! `TRACKBOX_TEST_REPLAY_ANSWERS` says how many archived answers the whole command is shown with; 1,200 if it is not set.

use std::collections::BTreeMap;

use trackbox::app::readings::changed;
use trackbox::clock::Clock;
use trackbox::kafka::message::decode;
use trackbox::model::archived::Archived;
use trackbox::model::status::Status;
use trackbox::model::tenant::Tenant;
use trackbox::model::{Outcome, Source, Tracking, Update};
use trackbox::replay::{Difference, LeftAlone, Reading, Replay};
use trackbox::store::Store;

use crate::support::archived::{Place, answer, check, heard, right, wrong};
use crate::support::command::trackbox;
use crate::support::fixture::{Applier, TestStore, create_numbers, events, on_every_store, read};
use crate::support::time::at;

/// How often each parcel was asked for.
const ROUNDS: usize = 5;

/// What of a parcel must be as a fresh run has it.
type Seen = (String, Vec<(String, i64, String, String, String)>);

async fn seen(store: &Store) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    let mut after = 0;
    loop {
        let rows = store.trackings_after(after, 1_000).await.expect("reads");
        let Some(last) = rows.last() else {
            return all;
        };
        after = last.id;
        for row in rows {
            let events = store.events(Tenant::DEFAULT, row.id, false, 100, 0).await;
            let events = events.expect("reads").expect("is there");
            let shown = events.into_iter().map(|stored| {
                let event = stored.event;
                let meant = format!(
                    "{} {:?} {}",
                    event.status, event.sub_status, event.status_raw
                );
                let micros = event.event_time.timestamp_micros();
                (
                    meant,
                    micros,
                    event.location,
                    event.message,
                    event.payload_json,
                )
            });
            let facts = row.facts.as_ref().map(|told| &told.facts);
            let status = format!(
                "{} {:?} {} {:?} {:?} {}",
                row.status, row.sub_status, row.direction, row.status_at, facts, row.active
            );
            all.insert(row.track_number.to_string(), (status, shown.collect()));
        }
    }
}

#[tokio::test]
async fn a_replay_makes_of_parcels_what_a_fresh_run_would_have_made_of_them() {
    let answers = std::env::var("TRACKBOX_TEST_REPLAY_ANSWERS");
    let answers = answers.map_or(1_200, |count| count.parse().expect("is a number"));
    // Of two in three parcels the fifth answer says what the third one said, so it is one with it.
    let parcels = (answers * 3_usize).div_ceil(13);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut place = Place::new(&folder.path().join("replayed")).await;
    place.live(&wrong(), parcels, 0..ROUNDS).await;
    let amount = place.store.archived_amount().await.expect("counts");
    assert!(amount.answers >= answers as u64, "{amount:?}");
    let mut fresh = Place::new(&folder.path().join("fresh")).await;
    fresh.live(&right(), parcels, 0..ROUNDS).await;
    let (before, expected) = (seen(&place.store).await, seen(&fresh.store).await);
    assert_ne!(before, expected);
    place.routes(&right());

    let shown = trackbox(&place.folder, &["replay", "--show", "1"]);
    let all = format!("MINE: {parcels} of {parcels} parcels differ, by ");
    assert!(shown.contains(&all), "{shown}");
    assert!(
        shown.contains("DELIVERED FORWARD -> AVAILABLE_FOR_PICKUP FORWARD"),
        "{shown}"
    );
    assert!(shown.contains("Nothing was changed"), "{shown}");
    assert_eq!(seen(&place.store).await, before, "only shown");

    let none = trackbox(&place.folder, &["replay", "--since", "2030-01-01"]);
    assert!(none.contains("0 of 0 parcels differ"), "{none}");
    let other = trackbox(&place.folder, &["replay", "--carrier", "CDEK"]);
    assert!(other.contains("0 of 0 parcels differ"), "{other}");

    let applied = trackbox(&place.folder, &["replay", "--apply", "--show", "0"]);
    assert!(applied.contains(&all), "{applied}");
    let after = seen(&place.store).await;
    assert_eq!(after.len(), expected.len());
    for (number, expected) in &expected {
        assert_eq!(&after[number], expected, "{number}");
    }
    let again = trackbox(&place.folder, &["replay", "--apply"]);
    let nothing =
        format!("MINE: 0 of {parcels} parcels differ, by 0 events new, 0 changed, 0 superseded");
    assert!(again.contains(&nothing), "{again}");
    assert_eq!(seen(&place.store).await, after);
}

#[tokio::test]
async fn a_change_of_what_identifies_events_is_noticed_until_it_is_replayed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut place = Place::new(folder.path()).await;
    place.live(&wrong(), 3, 0..ROUNDS).await;
    let clock = Clock::manual(at(0));
    let store = place.store.store();
    let of = async |file: &str| {
        let routes = place.routes(file);
        changed(&store, &routes, &clock).await.expect("compares")
    };
    assert_eq!(of(&wrong()).await, [""; 0], "the first start");
    assert_eq!(of(&wrong()).await, [""; 0]);
    let other_meaning = wrong().replace("B = \"DELIVERED\"", "B = \"IN_TRANSIT\"");
    assert_eq!(
        of(&other_meaning).await,
        [""; 0],
        "a meaning identifies none"
    );
    for _ in 0..2 {
        assert_eq!(of(&right()).await, ["MINE"]);
    }
    trackbox(
        folder.path(),
        &["replay", "--since", "2026-11-01", "--apply"],
    );
    assert_eq!(of(&right()).await, ["MINE"], "some may be left");
    trackbox(folder.path(), &["replay", "--carrier", "MINE", "--apply"]);
    assert_eq!(of(&right()).await, [""; 0]);
}

/// A parcel in a store of any kind, which three answers told of by the wrong file.
struct Parcel {
    place: Place,
    test: TestStore,
    applier: Applier,
    id: i64,
    _folder: tempfile::TempDir,
}

impl Parcel {
    async fn new(test: TestStore) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Place::new(folder.path()).await;
        let mut parcel = Self {
            applier: Applier::new(&test.store).await,
            id: create_numbers(&test.store, "MINE", &["N1"]).await[0].id,
            test,
            place,
            _folder: folder,
        };
        for round in 0..3 {
            parcel.hear(&wrong(), round).await;
        }
        parcel
    }

    async fn row(&self) -> Tracking {
        read(&self.test.store, self.id).await
    }

    /// A check that is read by this file.
    async fn hear(&mut self, file: &str, round: usize) {
        let (row, routes) = (self.row().await, self.place.routes(file));
        let (updates, archived) = heard(&row, &routes, answer(1, round), check(self.id, round));
        self.test.store.archive(&[archived]).await.expect("keeps");
        self.apply(updates).await;
    }

    async fn apply(&mut self, updates: Vec<Update>) {
        let applied = self.applier.apply(&self.test.store, updates).await;
        applied.expect("applies");
    }

    async fn replay(&self, file: &str, secs: i64) -> Replay {
        let store = &self.test.store;
        let page = store.histories_of(&[self.id]).await.expect("reads");
        let (row, events) = page.into_iter().next().expect("is there");
        let answers = store.archived(&[self.id]).await.expect("reads");
        let reading = Reading {
            routes: &self.place.routes(file),
            names: false,
            now: at(secs),
        };
        reading.replay(&row, events, &answers)
    }

    async fn difference(&self, file: &str, secs: i64) -> Box<Difference> {
        match self.replay(file, secs).await {
            Replay::Differs(difference) => difference,
            other => panic!("{other:?}"),
        }
    }

    /// The status, and the places of the events that are not superseded.
    async fn shown(&self) -> (Status, Vec<String>) {
        let events = events(&self.test.store, self.id).await;
        let shown = events.into_iter().filter(|event| !event.superseded);
        let shown = shown.map(|event| event.event.location).collect();
        (self.row().await.status, shown)
    }
}

/// The updates that a consumer reads from a difference's message.
fn updates(difference: &Difference) -> Vec<Update> {
    let records = difference.message();
    let records = records.iter();
    records
        .map(|record| {
            let text = String::from_utf8_lossy(&record.value);
            assert!(text.contains("\"source\":\"replay\""), "{text}");
            decode(Some(&record.value), at(0), at(1_000_000)).expect("reads")
        })
        .collect()
}

const DAY: i64 = 86_400;

#[tokio::test]
async fn a_replay_supersedes_what_is_no_longer_read_and_a_later_check_brings_it_back() {
    on_every_store(async |test| {
        let mut parcel = Parcel::new(test).await;
        let omsk = |place: &str| vec![place.to_owned(); 3];
        assert_eq!(parcel.shown().await, (Status::Delivered, omsk("Omsk")));
        let taught = async |parcel: &Parcel| {
            let taught = parcel.test.store.learned("*").await.expect("reads");
            assert!(!taught.is_empty());
            format!("{taught:?}")
        };
        let before = taught(&parcel).await;
        let difference = parcel.difference(&right(), DAY).await;
        let counts = (
            difference.new_events,
            difference.changed_events,
            difference.gone_events,
        );
        assert_eq!(counts, (3, 0, 3));
        for _ in 0..2 {
            parcel.apply(updates(&difference)).await;
            let waits = (Status::AvailableForPickup, omsk("Omsk, 7"));
            assert_eq!(parcel.shown().await, waits);
        }
        let store = &parcel.test.store;
        assert!(parcel.row().await.active, "it is asked for again");
        let history = events(store, parcel.id).await;
        let since: Vec<_> = history.iter().map(|event| event.superseded_at).collect();
        assert_eq!(since.iter().flatten().collect::<Vec<_>>(), [&at(DAY); 3]);
        assert_eq!(store.unmapped(10).await.expect("reads"), []);
        assert_eq!(taught(&parcel).await, before);
        assert!(matches!(
            parcel.replay(&right(), 2 * DAY).await,
            Replay::Same
        ));
        // The file is what it was before.
        let (row, routes) = (parcel.row().await, parcel.place.routes(&wrong()));
        let late = (at(DAY - 1), check(0, 0).1);
        let (old, _) = heard(&row, &routes, answer(1, 2), late);
        parcel.apply(old).await;
        assert_eq!(
            parcel.shown().await.1,
            omsk("Omsk, 7"),
            "an old check brings back none"
        );
        parcel.hear(&wrong(), 30).await;
        assert_eq!(parcel.shown().await.1.len(), 6);
        let back = parcel.difference(&wrong(), 3 * DAY).await;
        parcel.apply(updates(&back)).await;
        assert_eq!(parcel.shown().await, (Status::Delivered, omsk("Omsk")));
    })
    .await;
}

#[tokio::test]
async fn a_replay_gives_way_to_a_check_since() {
    on_every_store(async |test| {
        let mut parcel = Parcel::new(test).await;
        let difference = parcel.difference(&right(), DAY).await;
        parcel.hear(&wrong(), 3).await;
        let before = (parcel.row().await, parcel.shown().await);
        parcel.apply(updates(&difference)).await;
        assert_eq!((parcel.row().await, parcel.shown().await), before);
    })
    .await;
}

#[tokio::test]
async fn a_parcel_is_left_alone_whose_events_are_not_all_from_archived_answers() {
    on_every_store(async |test| {
        let parcel = Parcel::new(test).await;
        let store = &parcel.test.store;
        store
            .delete_oldest_archived(None, 1)
            .await
            .expect("deletes");
        let left = parcel.replay(&right(), DAY).await;
        assert!(
            matches!(left, Replay::Left(LeftAlone::Incomplete)),
            "{left:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_parcel_is_left_alone_whose_answers_today_s_file_cannot_read() {
    on_every_store(async |test| {
        let parcel = Parcel::new(test).await;
        let blind = right().replace("path = \"at\"", "path = \"when\"");
        let left = parcel.replay(&blind, DAY).await;
        assert!(
            matches!(left, Replay::Left(LeftAlone::Unreadable)),
            "{left:?}"
        );
        // Another number's answers.
        let other = right().replace("number = \"number\"", "number = \"service\"");
        let left = parcel.replay(&other, DAY).await;
        assert!(
            matches!(left, Replay::Left(LeftAlone::Unreadable)),
            "{left:?}"
        );
        let store = &parcel.test.store;
        let kept = store.archived(&[parcel.id]).await.expect("reads");
        let by_another = Archived {
            adapter: "other".to_owned(),
            reading: [0; 16],
            ..kept[0].clone()
        };
        store.archive(&[by_another]).await.expect("keeps");
        let left = parcel.replay(&right(), DAY).await;
        assert!(
            matches!(left, Replay::Left(LeftAlone::AskedOtherwise)),
            "{left:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_skipped_today_is_as_if_it_had_never_been_said() {
    on_every_store(async |test| {
        let mut parcel = Parcel::new(test).await;
        let all = "[event]\nskip = { path = \"code\", exists = true }";
        let none = right().replace("[event]", all);
        let difference = parcel.difference(&none, DAY).await;
        parcel.apply(updates(&difference)).await;
        assert_eq!(parcel.shown().await, (Status::Pending, Vec::new()));
        assert!(matches!(parcel.replay(&none, DAY).await, Replay::Same));
        // The next answer finds the events where they are.
        parcel.hear(&right(), 30).await;
        let (status, shown) = parcel.shown().await;
        assert_eq!((status, shown.len()), (Status::AvailableForPickup, 3));
        parcel.hear(&wrong(), 31).await;
        assert_eq!(parcel.shown().await.1.len(), 6);
    })
    .await;
}

#[test]
fn a_replay_is_told_apart_from_a_check_on_the_topic() {
    assert_eq!(
        serde_json::to_value(Source::Replay).expect("is text"),
        "replay"
    );
}

#[tokio::test]
async fn a_message_of_a_replay_is_read_as_it_was_written_however_many_events_it_has() {
    on_every_store(async |test| {
        let parcel = Parcel::new(test).await;
        let difference = parcel.difference(&right(), DAY).await;
        let read = updates(&difference);
        let [update] = read.as_slice() else {
            panic!("{read:?}");
        };
        let Outcome::Replayed(replayed) = &update.outcome else {
            panic!("{update:?}");
        };
        assert_eq!((replayed.events.len(), replayed.gone.len()), (3, 3));
        assert_eq!(replayed.report, difference.new.report());
        assert_eq!(
            replayed.facts,
            difference.new.facts.clone().map(|told| *told)
        );
    })
    .await;
}
