//! How the statements of the store slow down on PostgreSQL as its tables grow.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sea_orm::{Database, DatabaseConnection};
use serde_json::json;
use sqlx::Connection as _;
use trackbox::kafka::message::decode;
use trackbox::model::tenant::{Payer, Tenant};
use trackbox::model::{CarrierCode, TrackNumber, Update};
use trackbox::store::claims::{Claim, Early, Share, Take};
use trackbox::store::partitions::Ownership;
use trackbox::store::queues::After;
use trackbox::store::updates::Batch;
use trackbox::store::{Connections, WholeStore};
use uuid::Uuid;

use crate::Options;
use crate::engines::Place;
use crate::http::{self, Connection};
use crate::parcels;
use crate::report::{Goal, Line, median};
use crate::trackbox::TrackBox;

use self::time::at;

#[path = "../../../../tests/it/support/large.rs"]
mod large;
#[path = "../../../../tests/it/support/time.rs"]
mod time;

/// Rounds of a repetition, of which the median counts.
const ROUNDS: i64 = 7;

const LEASE: Duration = Duration::from_secs(120);

/// Beyond this many parcels, one event each has to do, or filling takes an hour.
const WITH_EVENTS_MAX: i64 = 3_000_000;

fn events_each(parcels: i64) -> i64 {
    if parcels > WITH_EVENTS_MAX { 1 } else { 5 }
}

/// What a client may ask that counts parcels.
const REPORTS: [&str; 2] = ["/carriers", "/carriers/CDEK/budget"];

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let (few, many) = options.size((10_000, options.parcels), (2_000, 4_000));
    let mut small = Tables::fill(few).await?;
    let mut large = Tables::fill(many).await?;
    let mut figures = Figures(Vec::new());
    for _ in 0..options.repetitions() {
        let limit = small.measure(options).await?;
        figures.add(large.measure(options).await?, limit);
    }
    let (small, _) = small.ended().await?;
    let bytes = large.bytes_a_parcel().await?;
    let (large, scans) = large.ended().await?;
    let reports = (
        Reports::open(options, small).await?,
        Reports::open(options, large).await?,
    );
    let (mut small, mut large) = reports;
    for _ in 0..options.repetitions() {
        let limit = small.measure(options).await?;
        figures.add(large.measure(options).await?, limit);
    }
    small.close().await?;
    large.close().await?;
    let mut lines = figures.0;
    if let Some(line) = lines.first_mut() {
        line.how = format!(
            "ms with {many} parcels and {} events each; limit: the same with {few} parcels",
            events_each(many)
        );
    }
    lines.push(Line {
        figure: "bytes a parcel".to_owned(),
        ours: vec![bytes],
        how: format!("with its {} events and all indexes", events_each(many)),
        ..Line::default()
    });
    lines.push(Line {
        figure: "sequential scans of large tables".to_owned(),
        ours: vec![scans as f64],
        goal: Some(Goal::AtMost(0.0)),
        how: "by all of these but the requests".to_owned(),
        ..Line::default()
    });
    Ok(lines)
}

struct Figures(Vec<Line>);

impl Figures {
    /// Adds a repetition on the large tables and one on the small ones.
    fn add(&mut self, large: Vec<(&'static str, f64)>, small: Vec<(&'static str, f64)>) {
        for ((name, large), (_, small)) in large.into_iter().zip(small) {
            let known = self.0.iter().position(|line| line.figure == name);
            let place = known.unwrap_or(self.0.len());
            if known.is_none() {
                self.0.push(Line {
                    figure: name.to_owned(),
                    goal: Some(Goal::AtMost(1.3)),
                    ..Line::default()
                });
            }
            self.0[place].ours.push(large);
            self.0[place].limit.push(small);
        }
    }
}

/// A filled database.
struct Tables {
    place: Place,
    store: WholeStore,
    judge: DatabaseConnection,
    rows: i64,
    ownership: Ownership,
    offset: i64,
    round: i64,
    scans_before: i64,
}

/// Notes how many milliseconds each statement took.
#[derive(Default)]
struct Watch(Vec<(&'static str, Vec<f64>)>);

impl Watch {
    fn note(&mut self, name: &'static str, began: Instant) {
        let took = began.elapsed().as_secs_f64() * 1e3;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(took),
            None => self.0.push((name, vec![took])),
        }
    }

    fn medians(&self) -> Vec<(&'static str, f64)> {
        self.0
            .iter()
            .map(|(name, all)| (*name, median(all)))
            .collect()
    }
}

fn code(text: &str) -> CarrierCode {
    CarrierCode::parse(text).expect("is a valid code")
}

/// A check of a parcel that saw three events, one of them new in each round.
fn update(id: i64, round: i64) -> anyhow::Result<Update> {
    let times = [100, 200, 300 + round].map(at);
    let events =
        times.map(|time| json!({"status": "IN_TRANSIT", "status_raw": "hub", "event_time": time}));
    let message = json!({
        "tracking_id": id, "checked_at": at(4_000 + round), "check_id": Uuid::now_v7(), "status": "IN_TRANSIT",
        "status_raw": "hub", "status_at": times[2], "next_check_at": at(8_000), "events": events,
    });
    Ok(decode(
        Some(message.to_string().as_bytes()),
        at(0),
        at(100_000),
    )?)
}

impl Tables {
    async fn fill(rows: i64) -> anyhow::Result<Self> {
        let place = Place::engines().await?;
        let store = WholeStore::open(&place.url, Connections::default()).await?;
        store.migrate().await?;
        store.close().await;
        let filler = Database::connect(format!("{}?application_name=trackbox", place.url)).await?;
        large::fill(&filler, rows, events_each(rows)).await;
        filler.close().await?;
        let judge = Database::connect(&place.url).await?;
        large::sessions_gone(&judge).await;
        let scans_before = large::sequential_scans(&judge).await;
        let store = WholeStore::open(&place.url, Connections::default()).await?;
        let taken = store
            .take_partition("scale", 0, Uuid::now_v7(), at(0))
            .await?;
        Ok(Self {
            place,
            store,
            judge,
            rows,
            ownership: taken.0,
            offset: taken.1,
            round: 0,
            scans_before,
        })
    }

    async fn measure(&mut self, options: &Options) -> anyhow::Result<Vec<(&'static str, f64)>> {
        let mut watch = Watch::default();
        for _ in 0..options.size(ROUNDS, 1) {
            self.round += 1;
            self.one_round(&mut watch).await?;
        }
        Ok(watch.medians())
    }

    async fn one_round(&mut self, watch: &mut Watch) -> anyhow::Result<()> {
        let (store, round, now) = (&self.store, self.round, at(3_600));
        let began = Instant::now();
        store.due_queues(&After::default(), 100, now).await?;
        watch.note("list the carriers with something due", began);
        let (one, three) = ([code("CDEK")], [code("CDEK"), code("POST_RU"), code("C5")]);
        for (name, carriers) in [
            ("claim 50 of a carrier", &one[..]),
            ("claim 50 of three carriers", &three),
        ] {
            let share = |code: &CarrierCode| Share {
                carrier_code: code.clone(),
                payer: Payer::DEFAULT,
                most: 50,
                unanswered_max: 25,
            };
            let early = Early::Fill {
                per_call: 30,
                begun: 0,
            };
            let claim = Claim {
                shares: &carriers.iter().map(share).collect::<Vec<_>>(),
                limit: 50,
                take: Take::Due { early },
            };
            let began = Instant::now();
            let claimed = store.claim(claim, now, LEASE).await?;
            watch.note(name, began);
            ensure!(claimed.trackings.len() == 50, "too few are due");
        }
        let ids: Vec<i64> = (0..500)
            .map(|n| 1 + (n * 7_919 + round * 104_729) % self.rows)
            .collect();
        let updates: anyhow::Result<_> = ids.iter().map(|id| update(*id, round)).collect();
        let batch = Batch {
            ownership: self.ownership.clone(),
            first_offset: self.offset,
            next_offset: self.offset + 500,
            updates: updates?,
            dead_letters: Vec::new(),
        };
        let began = Instant::now();
        store
            .apply(std::slice::from_ref(&batch), at(5_000), async |_| {})
            .await?;
        watch.note("apply 500 updates with 1,500 events", began);
        self.offset += 500;
        let began = Instant::now();
        store.trackings_by_ids(&ids).await?;
        watch.note("get 500 by id", began);
        let began = Instant::now();
        store.events(Tenant::DEFAULT, ids[0], false, 100, 0).await?;
        watch.note("list the events of one", began);
        let began = Instant::now();
        let rests = |_: &CarrierCode| Duration::ZERO;
        store
            .refresh(
                Tenant::DEFAULT,
                ids[0],
                at(9_000 + round),
                rests,
                async |_| {},
            )
            .await?;
        watch.note("refresh one", began);
        let numbers = (0..500).map(|n| TrackNumber::parse(format!("B{round}-{n}")));
        let pairs: Result<Vec<_>, _> = numbers
            .map(|number| number.map(|it| (code("CDEK"), it)))
            .collect();
        let pairs = pairs?;
        let began = Instant::now();
        store
            .create_or_get(Tenant::DEFAULT, &pairs, at(9_000))
            .await?;
        watch.note("create 500", began);
        Ok(())
    }

    async fn bytes_a_parcel(&self) -> anyhow::Result<f64> {
        let mut connection = self.place.postgres().await?;
        let size = "SELECT pg_total_relation_size('trackings') + pg_total_relation_size('tracking_events')";
        let bytes: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(bytes as f64 / self.rows as f64)
    }

    /// The filled database, and the sequential scans that the rounds made.
    async fn ended(self) -> anyhow::Result<(Place, i64)> {
        self.store.close().await;
        large::sessions_gone(&self.judge).await;
        let scans = large::sequential_scans(&self.judge).await - self.scans_before;
        self.judge.close().await?;
        Ok((self.place, scans))
    }
}

/// A TrackBox on a filled database.
struct Reports {
    place: Place,
    trackbox: TrackBox,
    connection: Connection,
}

impl Reports {
    async fn open(options: &Options, place: Place) -> anyhow::Result<Self> {
        let mut settings = place.settings()?;
        settings.extend(parcels::resting());
        let trackbox = TrackBox::start(options, "serve", place.folder.path(), &settings).await?;
        let connection = Connection::open(trackbox.api).await?;
        Ok(Self {
            place,
            trackbox,
            connection,
        })
    }

    async fn measure(&mut self, options: &Options) -> anyhow::Result<Vec<(&'static str, f64)>> {
        let mut watch = Watch::default();
        for _ in 0..options.size(ROUNDS, 1) {
            for path in REPORTS {
                let began = Instant::now();
                self.connection.ask(&http::get(path)).await?.json()?;
                watch.note(path, began);
            }
        }
        Ok(watch.medians())
    }

    async fn close(self) -> anyhow::Result<()> {
        self.trackbox.stop().await?;
        self.place.drop().await
    }
}
