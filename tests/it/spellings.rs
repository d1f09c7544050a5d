//! One parcel is one tracking, however it is spelt, and what a version before made of its spellings is folded into one.

mod twins;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use trackbox::app;
use trackbox::carriers::routes::Routes;
use trackbox::carriers::{Answer, Asked, Carrier, CarrierError, State, Step};
use trackbox::clock::Time;
use trackbox::model::number::Spelling;
use trackbox::model::tenant::Tenant;
use trackbox::model::{CarrierCode, TrackNumber};
use trackbox::plan::Sections;
use trackbox::store::WholeStore;

use crate::support::fixture::{TestStore, code, number, on_every_store, read};
use crate::support::pipe::{Pipe, Setup};
use crate::support::time::at;

/// What users pasted; the last but one has a Cyrillic В.
const PASTED: [&str; 11] = [
    "rb123456789ru",
    "RB123456789RU",
    "RB 123 456 789 RU",
    " RB123456789RU",
    "RB123456789RU ",
    "RB123456789RU\u{200b}",
    "\u{feff}RB123456789RU",
    "RB123456789RU\u{a0}",
    "RB123456789RU\u{202c}",
    "R\u{412}123456789RU",
    "R\u{ad}B123456789\u{fe0f}RU",
];

fn pairs(carrier: &str, numbers: &[&str]) -> Vec<(CarrierCode, TrackNumber)> {
    numbers
        .iter()
        .map(|text| (code(carrier), number(text)))
        .collect()
}

async fn ids(store: &WholeStore, pairs: &[(CarrierCode, TrackNumber)]) -> Vec<i64> {
    let rows = store
        .create_or_get(Tenant::DEFAULT, pairs, at(0))
        .await
        .expect("creates");
    rows.iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn what_was_pasted_in_ten_spellings_is_one_tracking() {
    on_every_store(async |TestStore { store, .. }| {
        let pairs = pairs("CDEK", &PASTED);
        let first = store
            .create_or_get(Tenant::DEFAULT, &pairs, at(0))
            .await
            .expect("creates");
        let (one, cyrillic) = (&first[0], &first[9]);
        assert_ne!(one.id, cyrillic.id);
        for (place, row) in first.iter().enumerate() {
            assert_eq!(
                row,
                if place == 9 { cyrillic } else { one },
                "{:?}",
                PASTED[place]
            );
        }
        assert_eq!(
            one.track_number,
            number("rb123456789ru"),
            "as it came first"
        );
        for (pair, row) in pairs.iter().zip(&first) {
            assert_eq!(ids(&store, std::slice::from_ref(pair)).await, [row.id]);
        }
        assert_eq!(store.trackings_after(0, 10).await.expect("reads").len(), 2);
    })
    .await;
}

#[tokio::test]
async fn spellings_stay_apart_where_the_carrier_minds_them() {
    on_every_store(async |TestStore { store, .. }| {
        let strict = Spelling {
            blanks_matter: true,
            case_matters: true,
        };
        let store = store.learning_by(Sections::spelt([("STRICT".to_owned(), strict)]));
        let numbers = ["a 1", "A 1", "A1", "a\u{a0}1\u{200b}"];
        let minded = ids(&store, &pairs("STRICT", &numbers)).await;
        assert_eq!(HashSet::<i64>::from_iter(minded.clone()).len(), 3);
        assert_eq!(minded[0], minded[3], "what cannot be seen never matters");
        let others = ids(&store, &pairs("OTHER", &numbers)).await;
        assert_eq!(others, [others[0]; 4]);
    })
    .await;
}

#[tokio::test]
async fn clients_at_once_with_other_spellings_get_one_tracking() {
    on_every_store(async |TestStore { store, .. }| {
        let spell = |client: usize| {
            let spelt = (0..200).map(|n| format!("{}n{n}", " ".repeat(client)));
            let spelt: Vec<String> = spelt.collect();
            let spelt: Vec<&str> = spelt.iter().map(String::as_str).collect();
            pairs("CDEK", &spelt)
        };
        let clients = (0..6).map(async |client| ids(&store, &spell(client)).await);
        let answers = join_all(clients).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    })
    .await;
}

/// Notes what the carrier is asked for.
struct Noting {
    inner: Arc<dyn Carrier>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Carrier for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }

    fn start(&self, asked: &[Asked]) -> Step {
        let names = asked
            .iter()
            .map(|it| format!("{}/{}", it.carrier, it.number));
        self.asked.lock().expect("is whole").extend(names);
        self.inner.start(asked)
    }

    fn resume(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        self.inner.resume(state, answer, now)
    }
}

#[tokio::test]
async fn the_carrier_is_asked_in_capitals_without_blanks() {
    let mut pipe = Pipe::new(Setup::default()).await;
    let routes = Routes::new(&pipe.parts.config).expect("routes");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let adapter = Arc::new(Noting {
        inner: Arc::clone(&routes.resolve(&code("CDEK")).expect("a route").adapter),
        asked: Arc::clone(&asked),
    });
    pipe.parts.routes = Arc::new(routes.with_adapter(&code("CDEK"), adapter));
    pipe.workers = vec![app::work::scheduler(&pipe.parts).expect("makes a worker")];
    let pairs = pairs("cdek", &["\u{feff}rb 123", "RB123", "rb123\u{a0}"]);
    let created = pipe
        .parts
        .current
        .create_or_get(Tenant::DEFAULT, &pairs, pipe.clock.now());
    let id = created.await.expect("creates")[0].id;
    pipe.run_for(Duration::from_secs(10)).await;
    let asked = HashSet::<String>::from_iter(asked.lock().expect("is whole").clone());
    assert_eq!(asked, HashSet::from(["CDEK/RB123".to_owned()]));
    let row = read(&pipe.parts.store, id).await;
    assert_eq!(
        row.track_number,
        number("\u{feff}rb 123"),
        "it is shown as it was typed"
    );
    assert!(row.last_ok_at.is_some(), "the answer found its tracking");
}
