//! Parcels of a carrier whose file is changed, and what its answers make of them in a store and in its archive.

use std::path::{Path, PathBuf};

use serde_json::json;
use trackbox::archive::{asked, compressed, reading};
use trackbox::carriers::routes::Routes;
use trackbox::carriers::{Answer, Carrier, State, Step, Verdict};
use trackbox::clock::Time;
use trackbox::config::Config;
use trackbox::kafka::message::{Checked, decode, encode};
use trackbox::model::answer::told;
use trackbox::model::archived::Archived;
use trackbox::model::tenant::Tenant;
use trackbox::model::{Held, Named, Outcome, Source, Tracking, Unreadable, Update};
use trackbox::store::{Connections, WholeStore};
use uuid::Uuid;

use crate::support::fixture::{Applier, code, number};
use crate::support::time::at;

/// The file of a carrier of ours: `place` and `time` of its events, and what B and Z mean.
pub fn file(place: &str, time: &str, map: &str) -> String {
    format!(
        "name = \"mine\"\ntitle = \"Mine\"\nversion = 1\nsource = \"made up\"\nterms = \"ours\"\n\
         [defaults]\nbase_url = \"http://127.0.0.1:9\"\n[request]\npath = \"/{{number}}\"\n\
         [item]\nnumber = \"number\"\nevents = \"events\"\n[facts]\nservice = \"service\"\n\
         [event]\ncode = \"code\"\nraw = \"code\"\nmessage = \"text\"\nplace = {place}\ntime = {time}\n\
         [map]\nA = \"IN_TRANSIT\"\nC = \"DELIVERED\"\n{map}"
    )
}

/// As it was first: B is taken for a delivery, Z is not known, and times are taken for those of UTC.
pub fn wrong() -> String {
    file("\"city\"", "\"at\"", "B = \"DELIVERED\"\n")
}

/// With the mapping, the place and the zone that are right.
pub fn right() -> String {
    file(
        "[\"city\", \"office\"]",
        "{ path = \"at\", zone = \"Europe/Moscow\" }",
        "B = \"AVAILABLE_FOR_PICKUP\"\nZ = \"IN_TRANSIT\"\n",
    )
}

/// What the carrier answers of the parcel `nth` at its check `round`: one event more each time, up to three or four.
pub fn answer(nth: usize, round: usize) -> Vec<u8> {
    let events = ["A", "Z", "B", "C"].iter().enumerate();
    let last = if nth.is_multiple_of(3) { 4 } else { 3 };
    let events = events.take(last.min(round + 1)).map(|(hour, code)| {
        json!({"code": code, "text": format!("{code} of {nth}"), "city": "Omsk", "office": "7",
               "at": format!("2026-11-{:02} {:02}:30:00", 10 + nth % 9, 8 + hour)})
    });
    let events: Vec<_> = events.collect();
    let service = if round.is_multiple_of(2) {
        "air"
    } else {
        "road"
    };
    let answer =
        json!({"number": format!("N{nth}"), "asked": round, "service": service, "events": events});
    answer.to_string().into_bytes()
}

/// When the check `round` was made, and its id.
pub fn check(id: i64, round: usize) -> (Time, Uuid) {
    let round = i64::try_from(round).expect("is small");
    let id = u128::from(id.unsigned_abs()) << 64 | u128::from(round.unsigned_abs());
    (at(round * 3_600), Uuid::from_u128(id))
}

/// A store in a folder, with the configuration of a program that works on it.
pub struct Place {
    pub folder: PathBuf,
    pub store: WholeStore,
    applier: Applier,
}

impl Place {
    /// An empty one in `folder`.
    pub async fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join("adapters")).expect("makes the folder");
        let url = format!("sqlite://{}/trackbox.db", folder.display());
        let config = format!(
            "store.url = \"{url}\"\nadapters.folder = \"{}/adapters\"\n[carriers.MINE]\nadapter = \"mine\"\n",
            folder.display()
        );
        std::fs::write(folder.join("config.toml"), config).expect("writes");
        let store = WholeStore::open(&url, Connections::default()).await;
        let store = store.expect("opens");
        store.migrate().await.expect("migrates");
        Self {
            folder: folder.to_owned(),
            applier: Applier::new(&store).await,
            store,
        }
    }

    /// The routes of a program that has this file of the carrier.
    pub fn routes(&self, file: &str) -> Routes {
        routes(&self.folder, file)
    }

    /// What a worker and a consumer make of `rounds` answers about each of `parcels`, by this file.
    pub async fn live(&mut self, file: &str, parcels: usize, rounds: std::ops::Range<usize>) {
        let routes = self.routes(file);
        let pairs: Vec<_> = (0..parcels)
            .map(|nth| (code("MINE"), number(&format!("N{nth}"))))
            .collect();
        for (page, pairs) in pairs.chunks(1_000).enumerate() {
            let mut rows = self
                .store
                .create_or_get(Tenant::DEFAULT, pairs, at(0))
                .await
                .expect("creates");
            for round in rounds.clone() {
                let answered = rows.iter().enumerate().map(|(nth, row)| {
                    let check = check(row.id, round);
                    heard(row, &routes, answer(page * 1_000 + nth, round), check)
                });
                let (updates, answers): (Vec<_>, Vec<_>) = answered.unzip();
                self.store.archive(&answers).await.expect("keeps");
                let applied = self.applier.apply(&self.store, updates.concat()).await;
                for change in applied.expect("applies").changes {
                    let row = rows.iter_mut().find(|row| row.id == change.new.id);
                    *row.expect("is one of them") = change.new;
                }
            }
        }
    }
}

/// The routes of a program whose configuration is in `folder`, with this file of the carrier.
pub fn routes(folder: &Path, file: &str) -> Routes {
    std::fs::write(folder.join("adapters/mine.toml"), file).expect("writes");
    let config = folder.join("config.toml");
    let config = Config::load(Some(&config), Vec::new(), None, Routes::check);
    Routes::new(&config.expect("is valid")).expect("has routes")
}

/// What a check that hears `body` publishes and leaves for the archive.
pub fn heard(
    row: &Tracking,
    routes: &Routes,
    body: Vec<u8>,
    check: (Time, Uuid),
) -> (Vec<Update>, Archived) {
    let route = routes.resolve(&row.carrier_code).expect("has a route");
    let adapter: &dyn Carrier = route.adapter.as_ref();
    let asked = asked(&route.asked(row.clone()));
    let numbers = std::slice::from_ref(&asked);
    let whole = Answer { status: 200, body };
    let read = adapter.resume(State::first(numbers), &whole, check.0);
    let Ok(Step::Done(sightings)) = read else {
        panic!("{read:?}");
    };
    let Verdict::Seen(seen) = &sightings[0].verdict else {
        panic!("{sightings:?}");
    };
    let mut events = seen.events.clone();
    let report = told(row, &mut events, check.0);
    let checked = Checked {
        update: Update {
            tracking_id: row.id,
            named: Named::of(row),
            checked_at: check.0,
            check_id: check.1,
            outcome: Outcome::Seen { report, events },
            next_check_at: check.0 + chrono::TimeDelta::hours(1),
            check_fail_count: Some(0),
            place: 0,
            held: Held::Whole,
            unreadable: Unreadable::default(),
            facts: seen.facts.clone(),
            looks_again: false,
            extra_turn: 0,
        },
        adapter: "mine",
        mapping_version: seen.mapping_version,
        source: Source::Poll,
    };
    let records = encode(&checked);
    let updates = records
        .iter()
        .map(|record| decode(Some(&record.value), check.0, check.0).expect("reads"));
    let kept = adapter.kept(numbers, &whole, false);
    let body = kept[0].as_ref().expect("may be kept");
    let archived = Archived {
        tracking_id: row.id,
        carrier_code: asked.carrier.clone(),
        track_number: asked.number.clone(),
        adapter: adapter.name().to_owned(),
        status: 200,
        reading: reading(Ok(&sightings[0].verdict), false).expect("says something"),
        first: check,
        last: check,
        body: compressed(body).expect("is short"),
    };
    (updates.collect(), archived)
}
