//! Which worker adjusts the price, from which start, and what it reports of overdue parcels.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Pricer, PricerParts};
use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::config::{Config, Policy};
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::model::fixture::at;
use crate::model::{CarrierCode, TrackNumber};
use crate::plan::Sections;
use crate::store::{Connections, WholeStore};

struct House {
    database: WholeStore,
    clock: Clock,
    routes: Arc<Routes>,
    metrics: Arc<Metrics>,
    _folder: TempDir,
}

impl House {
    /// CDEK has the policy `learned` and 60 calls a minute.
    async fn new() -> Self {
        let mut config = Config::default();
        config.work.policy = Policy::Learned;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/trackbox.db", folder.path().display());
        let database = WholeStore::open(&url, Connections::default())
            .await
            .expect("opens");
        database.migrate().await.expect("migrates");
        let routes = Arc::new(Routes::new(&config).expect("routes"));
        Self {
            database: database.learning_by(Sections::new(routes.known())),
            clock: Clock::manual(at(0)),
            routes,
            metrics: Arc::new(Metrics::new()),
            _folder: folder,
        }
    }

    fn pricer(&self) -> Pricer {
        Pricer::new(PricerParts {
            store: self.database.store(),
            learned: Learned::new(self.database.store()),
            routes: Arc::clone(&self.routes),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
        })
    }

    async fn create(&self, count: usize) {
        let pairs: Vec<_> = (0..count)
            .map(|n| {
                (
                    CarrierCode::parse("CDEK").expect("a code"),
                    TrackNumber::parse(format!("N{n}")).expect("a number"),
                )
            })
            .collect();
        self.database
            .create_or_get(&pairs, self.clock.now())
            .await
            .expect("creates");
    }

    async fn price(&self) -> f64 {
        let plan = self.database.account_plan("CDEK").await.expect("reads");
        plan.expect("has one").price.whole
    }

    /// A minute in which the worker claimed a tracking that was two hours late.
    async fn late_minute(&self, pricer: &Pricer) {
        let mut rows = self.database.trackings_by_ids(&[1]).await.expect("reads");
        let now = self.clock.now();
        rows[0].next_check_at = now - chrono::TimeDelta::hours(2);
        rows[0].last_ok_at = Some(rows[0].next_check_at);
        pricer.counter.claimed("CDEK", &rows, now);
        self.clock.advance(Duration::from_secs(60));
        pricer.tick().await.expect("adjusts the prices");
    }

    /// A minute later, the worker that leads has the counts of the minute before the last.
    async fn minute(&self, pricer: &Pricer) {
        self.clock.advance(Duration::from_secs(60));
        pricer.tick().await.expect("adjusts the prices");
    }
}

#[tokio::test]
async fn one_of_two_workers_moves_the_price_until_it_falls_silent() {
    let house = House::new().await;
    house.create(3_600).await;
    let (one, other) = (house.pricer(), house.pricer());
    one.tick().await.expect("begins");
    let begun = house.price().await;
    assert!((begun - 0.02).abs() < 1e-3, "a round of an hour: {begun}");
    house.late_minute(&one).await;
    house.minute(&one).await;
    let moved = house.price().await;
    assert!(moved > begun);
    house.late_minute(&other).await;
    house.minute(&other).await;
    assert!(
        (house.price().await - moved).abs() < 1e-12,
        "the other one does not"
    );
    house.clock.advance(Duration::from_secs(240));
    house.minute(&other).await;
    assert!(house.price().await > moved, "the first one is silent");
    let learned = other.parts.learned.account("CDEK").expect("was read");
    assert_eq!(learned.plan.as_ref().map(|it| it.parcels), Some(3_600));
}

#[tokio::test]
async fn the_price_follows_from_what_all_workers_claim() {
    let house = House::new().await;
    house.create(3_600).await;
    let (leads, works) = (house.pricer(), house.pricer());
    leads.tick().await.expect("begins");
    let begun = house.price().await;
    for _ in 0..3 {
        house.late_minute(&works).await;
    }
    house.minute(&leads).await;
    assert!(
        house.price().await > begun,
        "the other worker's parcels are late"
    );
}

#[tokio::test]
async fn a_price_that_began_without_parcels_starts_anew_when_they_come() {
    let house = House::new().await;
    let pricer = house.pricer();
    pricer.tick().await.expect("begins");
    assert!(house.price().await < 1e-9);
    house.create(7_200).await;
    house.clock.advance(Duration::from_secs(60));
    pricer.tick().await.expect("goes on");
    let price = house.price().await;
    assert!((price - 0.08).abs() < 1e-3, "a round of two hours: {price}");
}

#[tokio::test]
async fn parcels_that_wait_too_long_are_logged_and_measured() {
    let house = House::new().await;
    house.create(60).await;
    let pricer = house.pricer();
    house.clock.advance(Duration::from_secs(13 * 3_600));
    pricer.tick().await.expect("looks");
    assert!(pricer.warned.lock().contains("CDEK"));
    let shown = house.metrics.encode();
    let line = format!(
        "trackbox_account_overdue_seconds{{account=\"CDEK\"}} {}",
        13 * 3_600
    );
    assert!(shown.contains(&line), "{shown}");
}

#[tokio::test]
async fn what_was_learned_is_refitted_every_six_hours() {
    let house = House::new().await;
    let pricer = house.pricer();
    pricer.tick().await.expect("begins");
    let fitted = async || {
        house
            .database
            .account_plan("CDEK")
            .await
            .expect("reads")
            .map(|it| it.refitted_at)
    };
    assert_eq!(fitted().await, Some(at(0)));
    for _ in 0..7 {
        house.clock.advance(Duration::from_secs(3_600));
        pricer.tick().await.expect("goes on");
    }
    assert_eq!(fitted().await, Some(at(6 * 3_600)));
}
