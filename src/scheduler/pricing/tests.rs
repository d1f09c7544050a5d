//! Which worker adjusts the price, from which start, and what it reports of overdue parcels.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tempfile::TempDir;

use super::{Pricer, PricerParts};
use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::config::{Config, Policy};
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::model::fixture::at;
use crate::model::tenant::{Payer, Tenant};
use crate::model::{CarrierCode, TrackNumber};
use crate::plan::cadence::Cadence;
use crate::store::claims::{Claim, Early, Share, Take};
use crate::store::{Connections, WholeStore};

struct House {
    database: WholeStore,
    url: String,
    clock: Clock,
    routes: Arc<Routes>,
    metrics: Arc<Metrics>,
    _folder: TempDir,
}

impl House {
    fn config(policy: Policy) -> Config {
        let mut config = Config::default();
        config.work.policy = policy;
        config
    }

    /// CDEK has the policy `learned` and 60 calls a minute.
    async fn new() -> Self {
        let config = Self::config(Policy::Learned);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/trackbox.db", folder.path().display());
        let database = WholeStore::open(&url, Connections::default())
            .await
            .expect("opens");
        database.migrate().await.expect("migrates");
        let routes = Arc::new(Routes::new(&config).expect("routes"));
        Self {
            database: database.learning_by(routes.sections()),
            url,
            clock: Clock::manual(at(0)),
            routes,
            metrics: Arc::new(Metrics::new()),
            _folder: folder,
        }
    }

    fn pricer(&self) -> Pricer {
        self.pricer_with(&self.metrics)
    }

    fn pricer_with(&self, metrics: &Arc<Metrics>) -> Pricer {
        Pricer::new(PricerParts {
            store: self.database.store(),
            learned: Learned::new(self.database.store()),
            routes: Arc::clone(&self.routes),
            clock: self.clock.clone(),
            metrics: Arc::clone(metrics),
            cadence: Cadence {
                in_transit_min: Duration::from_secs(1_800),
                in_transit_max: Duration::from_secs(7_200),
                unknown: Duration::from_secs(5_400),
                backoff: vec![Duration::from_secs(300)],
                after_delivery: Vec::new(),
                old_history: Duration::ZERO,
            },
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
            .create_or_get(Tenant::DEFAULT, &pairs, self.clock.now())
            .await
            .expect("creates");
    }

    /// The same, of parcels that were answered before.
    async fn create_answered(&self, count: usize) {
        self.create(count).await;
        self.spoil("UPDATE trackings SET last_ok_at = created_at")
            .await;
    }

    async fn spoil(&self, sql: &str) {
        let database = sea_orm::Database::connect(&self.url)
            .await
            .expect("connects");
        let spoiled = sea_orm::ConnectionTrait::execute_unprepared(&database, sql).await;
        spoiled.expect("spoils");
    }

    async fn price(&self) -> f64 {
        let plan = self.database.account_plan("CDEK").await.expect("reads");
        plan.expect("has one").price.whole
    }

    /// A minute in which the worker claimed a tracking that was 50 minutes late.
    async fn late_minute(&self, pricer: &Pricer) {
        let mut rows = self.database.trackings_by_ids(&[1]).await.expect("reads");
        let now = self.clock.now();
        rows[0].next_check_at = now - chrono::TimeDelta::minutes(50);
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

/// The price that an account begins with if all its parcels take so many hours at 60 calls a minute. The limiter gives 60
/// calls in 62 s, its margins included.
fn at_start(hours: f64) -> f64 {
    0.02 * (hours * 62.0 / 60.0).powi(2)
}

#[tokio::test]
async fn one_of_two_workers_moves_the_price_until_it_falls_silent() {
    let house = House::new().await;
    house.create_answered(3_600).await;
    let (one, other) = (house.pricer(), house.pricer());
    one.tick().await.expect("begins");
    let begun = house.price().await;
    assert!(
        (begun - at_start(1.0)).abs() < 1e-9,
        "a round of an hour: {begun}"
    );
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
    house.create_answered(3_600).await;
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
    assert!(
        (price - at_start(2.0)).abs() < 1e-9,
        "a round of two hours: {price}"
    );
}

fn overdue(metrics: &Metrics) -> i64 {
    metrics.account_overdue_seconds("CDEK").get()
}

#[tokio::test]
async fn parcels_that_wait_too_long_are_logged_and_measured_by_every_worker() {
    let house = House::new().await;
    house.create(60).await;
    let (leads, other) = (house.pricer(), Arc::new(Metrics::new()));
    let follows = house.pricer_with(&other);
    house.clock.advance(Duration::from_secs(13 * 3_600));
    leads.tick().await.expect("looks");
    follows.tick().await.expect("looks");
    assert_eq!(leads.watch.has_warned("CDEK"), (true, false));
    assert_eq!(follows.watch.has_warned("CDEK"), (false, false));
    assert_eq!(
        (overdue(&house.metrics), overdue(&other)),
        (13 * 3_600, 13 * 3_600)
    );
    // The other one takes over, and all is checked: both see it.
    house.clock.advance(Duration::from_secs(240));
    follows.tick().await.expect("leads");
    assert_eq!(follows.watch.has_warned("CDEK"), (true, false));
    let lease = Duration::from_secs(3_600);
    let claim = Claim {
        shares: &[Share {
            carrier_code: CarrierCode::parse("CDEK").expect("a code"),
            payer: Payer::DEFAULT,
            most: 60,
            unanswered_max: 60,
        }],
        limit: 60,
        take: Take::Due { early: Early::None },
    };
    let claiming = house.database.claim(claim, house.clock.now(), lease);
    assert_eq!(claiming.await.expect("claims").trackings.len(), 60);
    leads.tick().await.expect("looks");
    follows.tick().await.expect("looks");
    assert_eq!((overdue(&house.metrics), overdue(&other)), (0, 0));
    assert_eq!(
        leads.watch.has_warned("CDEK"),
        (false, false),
        "it leads no more"
    );
}

#[tokio::test]
async fn a_parcel_that_only_fails_is_logged_and_measured() {
    let house = House::new().await;
    house.create(1).await;
    let pricer = house.pricer();
    let three_days = 3 * 24 * 3_600;
    house.clock.advance(Duration::from_secs(three_days));
    // Each failure has put it off.
    let now = house.clock.now();
    let next = (now + chrono::TimeDelta::minutes(30)).timestamp_micros();
    house
        .spoil(&format!(
            "UPDATE trackings SET check_fail_count = 80, next_check_at = {next}"
        ))
        .await;
    pricer.tick().await.expect("looks");
    assert_eq!(pricer.watch.has_warned("CDEK"), (false, true));
    let metrics = &house.metrics;
    assert_eq!(metrics.failing_trackings("CDEK").get(), 1);
    let unanswered = metrics.account_unanswered_seconds("CDEK").get();
    assert_eq!(unanswered.unsigned_abs(), three_days);
}

#[tokio::test]
async fn a_price_that_cannot_be_read_or_be_right_is_written_anew() {
    let house = House::new().await;
    house.create(3_600).await;
    let pricer = house.pricer();
    pricer.tick().await.expect("begins");
    for spoil in [
        "UPDATE prices SET by_hour = '[1, 2]', shares = '[]'",
        "UPDATE prices SET parcels = 1000000000000000000, whole = 1e300",
        "UPDATE prices SET parcels = -5",
    ] {
        house.spoil(spoil).await;
        house.clock.advance(Duration::from_secs(60));
        pricer.tick().await.expect("mends it");
        let plan = house.database.account_plan("CDEK").await;
        let plan = plan.expect("reads").expect("has one");
        assert_eq!(plan.parcels, 3_600, "{spoil}");
        assert!(plan.price.whole < 1e13, "{spoil}");
    }
}

#[tokio::test]
async fn a_price_stands_still_while_its_account_is_paused_and_while_an_import_waits() {
    let house = House::new().await;
    house.create(3_600).await;
    let pricer = house.pricer();
    pricer.tick().await.expect("begins");
    house.late_minute(&pricer).await;
    house.minute(&pricer).await;
    let held = house.price().await;
    assert!(
        (held - at_start(1.0)).abs() < 1e-9,
        "all of them wait for their first answer: {held}"
    );
    house
        .spoil("UPDATE trackings SET last_ok_at = created_at")
        .await;
    house.clock.advance(Duration::from_secs(3 * 3_600));
    pricer.tick().await.expect("counts");
    let until = house.clock.now() + chrono::TimeDelta::minutes(30);
    let pause = house
        .database
        .pause("CDEK", until, "asked to", house.clock.now());
    pause.await.expect("pauses");
    let before = house.price().await;
    for _ in 0..5 {
        house.late_minute(&pricer).await;
    }
    assert!((house.price().await - before).abs() < 1e-12, "paused");
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

#[tokio::test]
async fn settings_that_change_bring_next_checks_forward_once() {
    let mut house = House::new().await;
    house.create_answered(2_500).await;
    let before = house.pricer();
    before.tick().await.expect("begins");
    let hour = 3_600_000_000_i64;
    let now = house.clock.now().timestamp_micros();
    let far = format!("UPDATE trackings SET next_check_at = {}", now + 20 * hour);
    house.spoil(&far).await;
    house
        .spoil("UPDATE trackings SET check_fail_count = 3 WHERE id = 7")
        .await;
    let ahead = async |house: &House| {
        let rows = house
            .database
            .trackings_after(0, 5_000)
            .await
            .expect("reads");
        let far = rows
            .iter()
            .filter(|row| row.next_check_at > house.clock.now() + TimeDelta::hours(2));
        far.map(|row| row.id).collect::<Vec<_>>()
    };
    house.clock.advance(Duration::from_secs(60));
    before.tick().await.expect("goes on");
    assert_eq!(ahead(&house).await.len(), 2_500, "nothing has changed");
    // The program starts again with another policy.
    house.routes = Arc::new(Routes::new(&House::config(Policy::Fixed)).expect("routes"));
    house.clock.advance(Duration::from_secs(240));
    house.pricer().tick().await.expect("brings forward");
    assert_eq!(
        ahead(&house).await,
        [7],
        "a parcel that fails keeps its back-off"
    );
    house.spoil(&far).await;
    house.clock.advance(Duration::from_secs(240));
    house.pricer().tick().await.expect("goes on");
    assert_eq!(ahead(&house).await.len(), 2_500, "once");
}
