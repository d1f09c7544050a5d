//! In virtual time: two shops with one account. The small one's parcels are checked when they are due, whatever the large one
//! has, imports and refreshes.
//!
//! `TRACKBOX_TEST_MILLION_PER_MINUTE` shows the same with a million parcels, at so many calls a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use trackbox::clock::Time;
use trackbox::config::Preset;
use trackbox::model::tenant::{Tenant, TenantCode};
use trackbox::store::WholeStore;
use trackbox::store::trackings::Refresh;
use trackbox_emulator::journeys::journey;
use trackbox_emulator::scenario::Parcel;

use crate::support::fixture::{TestStore, code, number, postgres, postgres_server, read, sqlite};
use crate::support::pipe::{Pipe, Setup};

const MINUTE: Duration = Duration::from_secs(60);

/// How large the shops are.
struct Sizes {
    per_minute: u32,
    /// The large shop's parcels, as many as it imports later.
    large: i64,
    small: i64,
    workers: usize,
    hours: u64,
}

/// Two shops at an account in virtual time.
struct Shops {
    pipe: Pipe,
    store: WholeStore,
    database: DatabaseConnection,
    large: Tenant,
    small: Tenant,
    sizes: Sizes,
    /// When the small shop's parcels were checked last, by id.
    checked: BTreeMap<i64, Time>,
}

/// What was seen in a time.
#[derive(Debug, Default)]
struct Seen {
    /// The times between two checks of the small shop's parcels, in minutes.
    shortest: i64,
    longest: i64,
    /// Its checks, and those of both.
    small: u64,
    all: u64,
    /// How long its new parcel waited for its first answer, in seconds.
    new_waited: i64,
}

impl Shops {
    async fn new(test: &TestStore, sizes: Sizes) -> Self {
        let url = test.url.as_str();
        let settings = [
            ("STORE__URL", url.to_owned()),
            ("WORK__POLICY", "fixed".to_owned()),
            ("WORK__NEXT_CHECK_UNKNOWN", "1h".to_owned()),
            ("WORK__NEXT_CHECK_IN_TRANSIT_MIN", "1h".to_owned()),
            ("WORK__NEXT_CHECK_IN_TRANSIT_MAX", "1h".to_owned()),
        ];
        let pipe = Pipe::new(Setup {
            limits: vec![("CDEK", sizes.per_minute)],
            workers: sizes.workers,
            settings: settings.to_vec(),
            cadence: Preset::Normal,
            oauth: None,
        })
        .await;
        let tenant = async |text: &str| {
            let text = TenantCode::parse(text).expect("a code");
            let made = pipe
                .parts
                .store
                .create_tenant(&text, "Shop", None, None, pipe.clock.now());
            made.await.expect("creates").expect("is new").tenant
        };
        let (large, small) = (tenant("large").await, tenant("small").await);
        let database = Database::connect(url).await.expect("connects");
        let shops = Self {
            pipe,
            store: test.store.clone(),
            database,
            large,
            small,
            sizes,
            checked: BTreeMap::new(),
        };
        // The emulator invents the others, which arrive soon: there are enough of them.
        let names = (0..shops.sizes.small).map(|n| format!("S{n}"));
        shops.know(names.collect());
        // All were checked an hour ago or less.
        shops.bulk(large, "L", shops.sizes.large, true).await;
        shops.bulk(small, "S", shops.sizes.small, true).await;
        shops
    }

    /// Tells the emulator of parcels that hardly move.
    fn know(&self, names: Vec<String>) {
        let parcels = names.into_iter().map(|name| Parcel {
            carrier: "CDEK".to_owned(),
            steps: journey("CDEK", &name, 1),
            track_number: name,
            step_seconds: 10 * 86_400,
            progress_prob: 0.0,
            postal_code: None,
        });
        self.pipe.emulator.seed(parcels.collect()).expect("seeds");
    }

    /// Gives the tenant so many parcels at once: known ones that fall due in the next hour, or new ones that are due.
    async fn bulk(&self, tenant: Tenant, prefix: &str, count: i64, known: bool) {
        let now = self.pipe.clock.now();
        let is_sqlite = self.database.get_database_backend() == sea_orm::DbBackend::Sqlite;
        let (start, second, numbers) = if is_sqlite {
            let numbers = format!(
                "(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n + 1 < {count}) SELECT n FROM s) AS s"
            );
            (now.timestamp_micros().to_string(), "1000000", numbers)
        } else {
            let numbers = format!("generate_series(0, {count} - 1) AS s(n)");
            (
                format!("to_timestamp({})", now.timestamp()),
                "interval '1 s'",
                numbers,
            )
        };
        let due = if known {
            format!("{start} + n % 3600 * {second}")
        } else {
            start.clone()
        };
        let answered = if known {
            format!("{due} - 3600 * {second}")
        } else {
            "NULL".to_owned()
        };
        let (id, slot) = (tenant.id(), tenant.payer().slot());
        let trackings = format!(
            "INSERT INTO trackings (carrier_code, carrier_key, track_number, number_key, owners, payer, next_check_at, \
             last_ok_at, last_checked_at, created_at, updated_at) \
             SELECT 'CDEK', 'CDEK', '{prefix}' || n, '{prefix}' || n, 1, {slot}, {due}, {answered}, {answered}, {start}, {start} \
             FROM {numbers}"
        );
        let parcels = format!(
            "INSERT INTO parcels (tenant_id, tracking_id, carrier_code, number_key, status, changed_at, created_at) \
             SELECT {id}, id, 'CDEK', number_key, 0, {start}, {start} FROM trackings \
             WHERE payer = {slot} AND carrier_key = 'CDEK' AND number_key LIKE '{prefix}%'"
        );
        for sql in [trackings, parcels, "ANALYZE".to_owned()] {
            self.database.execute_unprepared(&sql).await.expect("fills");
        }
    }

    /// The small shop's parcels, with the time of their last check.
    async fn look(&mut self, seen: &mut Seen) {
        let slot = self.small.payer().slot();
        let sql = format!(
            "SELECT id FROM trackings WHERE payer = {slot} AND number_key LIKE 'S%' ORDER BY id"
        );
        let sql = sea_orm::Statement::from_string(self.database.get_database_backend(), sql);
        let rows = self.database.query_all_raw(sql).await.expect("reads");
        let ids: Vec<i64> = rows
            .iter()
            .map(|row| row.try_get("", "id").expect("an id"))
            .collect();
        for row in self.store.trackings_by_ids(&ids).await.expect("reads") {
            let last = row.last_checked_at.expect("was checked");
            let before = self.checked.insert(row.id, last);
            let Some(gap) = before
                .map(|before| (last - before).num_minutes())
                .filter(|gap| *gap > 0)
            else {
                continue;
            };
            seen.small += 1;
            seen.longest = seen.longest.max(gap);
            seen.shortest = if seen.shortest == 0 {
                gap
            } else {
                seen.shortest.min(gap)
            };
        }
    }

    /// Lets `hours` pass, in the middle of which the small shop gets a new parcel; every five minutes the large one acts.
    async fn pass(&mut self, name: &str, act: impl AsyncFn(&Self, u64)) -> Seen {
        let mut seen = Seen::default();
        self.look(&mut Seen::default()).await;
        let before = self.pipe.calls("CDEK");
        let parts = 12 * self.sizes.hours;
        for part in 0..parts {
            act(self, part).await;
            if part == parts / 2 {
                seen.new_waited = self.wait_for_new(name).await;
            }
            self.pipe.run_for(5 * MINUTE).await;
            self.look(&mut seen).await;
        }
        seen.all = self.pipe.calls("CDEK") - before;
        println!("{name}: {seen:?}");
        seen
    }

    async fn wait_for_new(&mut self, name: &str) -> i64 {
        let new = format!("NEW {name}");
        self.know(vec![new.clone()]);
        let pairs = [(code("CDEK"), number(&new))];
        let created = self.pipe.clock.now();
        let making = self
            .pipe
            .parts
            .current
            .create_or_get(self.small, &pairs, created);
        let id = making.await.expect("creates")[0].id;
        for _ in 0..100 {
            if let Some(at) = read(&self.pipe.parts.store, id).await.last_ok_at {
                return (at - created).num_seconds();
            }
            self.pipe.run_for(Duration::from_secs(6)).await;
        }
        i64::MAX
    }

    /// The promise: within a fifth of an hour, and at the other's expense no more than is needed.
    fn assert_fair(&self, name: &str, seen: &Seen) {
        assert!(
            (48..=72).contains(&seen.shortest) && (48..=72).contains(&seen.longest),
            "{name}: {seen:?}"
        );
        assert!(seen.new_waited <= 120, "{name}: {seen:?}");
        let hours = self.sizes.hours;
        let all = u64::from(self.sizes.per_minute) * 60 * hours;
        let needed = self.sizes.small.unsigned_abs() * hours;
        assert!(
            seen.all * 100 >= all * 95,
            "{name}: the limit is used, {all}: {seen:?}"
        );
        assert!(
            seen.small * 10 >= needed * 8 && seen.small * 10 <= needed * 12,
            "{name}: {needed} are needed: {seen:?}"
        );
    }
}

async fn a_large_shop_delays_no_small_one(test: &TestStore, sizes: Sizes) {
    let mut shops = Shops::new(test, sizes).await;
    // Until the large shop's parcels are overdue, and each of the small one's has been checked.
    shops.pipe.run_for(65 * MINUTE).await;
    let rest = shops.pass("at rest", async |_, _| {}).await;
    let import = async |shops: &Shops, part: u64| {
        if part.is_multiple_of(4) {
            let count = shops.sizes.large / i64::try_from(3 * shops.sizes.hours).expect("few");
            shops
                .bulk(shops.large, &format!("IMPORT{part}X"), count, false)
                .await;
        }
    };
    let import = shops.pass("during an import", import).await;
    let refreshes = async |shops: &Shops, part: u64| {
        let first = shops
            .pipe
            .parts
            .store
            .trackings_after(0, 1)
            .await
            .expect("reads")[0]
            .id;
        let now = shops.pipe.clock.now();
        let count = i64::from(shops.sizes.per_minute) * 10;
        for n in 0..count {
            let id = first + (i64::try_from(part).expect("few") * count + n) % shops.sizes.large;
            let refreshing =
                shops
                    .store
                    .refresh(shops.large, id, now, |_| Duration::ZERO, async |_| {});
            let refreshed = refreshing.await.expect("refreshes");
            assert!(!matches!(refreshed, Some(Refresh::Unknown)));
        }
    };
    let refreshes = shops.pass("while the other refreshes", refreshes).await;
    for (name, seen) in [
        ("at rest", rest),
        ("during an import", import),
        ("while the other refreshes", refreshes),
    ] {
        shops.assert_fair(name, &seen);
    }
    shops.pipe.assert_limits();
}

fn few(workers: usize) -> Sizes {
    Sizes {
        per_minute: 3,
        large: 2_500,
        small: 6,
        workers,
        hours: 2,
    }
}

#[tokio::test]
async fn a_large_shop_delays_no_small_one_on_sqlite() {
    let test = sqlite().await;
    a_large_shop_delays_no_small_one(&test, few(1)).await;
}

#[tokio::test]
async fn a_large_shop_delays_no_small_one_on_postgres() {
    let test = postgres(&postgres_server()).await;
    a_large_shop_delays_no_small_one(&test, few(2)).await;
}

/// Only if the variable is set: at 60 the small shop has 100 parcels, and it takes an hour.
#[tokio::test]
async fn a_shop_of_a_million_delays_no_small_one() {
    let per_minute = std::env::var("TRACKBOX_TEST_MILLION_PER_MINUTE");
    let Ok(per_minute) = per_minute.map(|text| text.parse::<u32>().expect("a number")) else {
        return;
    };
    let test = postgres(&postgres_server()).await;
    let sizes = Sizes {
        per_minute,
        large: 1_000_000,
        small: i64::from(per_minute) * 100 / 60,
        workers: 2,
        hours: 2,
    };
    a_large_shop_delays_no_small_one(&test, sizes).await;
}

/// By weight, if both have more than there are calls.
#[tokio::test]
async fn calls_that_both_want_are_shared_by_weight() {
    let test = sqlite().await;
    let mut shops = Shops::new(
        &test,
        Sizes {
            per_minute: 6,
            small: 1_500,
            ..few(1)
        },
    )
    .await;
    let weight = "UPDATE tenants SET weight = 3 WHERE code = 'small'";
    shops
        .database
        .execute_unprepared(weight)
        .await
        .expect("sets");
    shops.bulk(shops.large, "MORE", 1_000, false).await;
    shops.bulk(shops.small, "TOO", 1_000, false).await;
    shops.pipe.advance(60 * MINUTE);
    let start = shops.pipe.clock.now();
    shops.pipe.run_for(30 * MINUTE).await;
    let mut checked = BTreeMap::new();
    for tenant in [shops.large, shops.small] {
        let (slot, at) = (
            tenant.payer().slot(),
            (start - TimeDelta::seconds(1)).timestamp_micros(),
        );
        for kind in [
            "number_key LIKE 'S%' OR number_key LIKE 'L%'",
            "number_key LIKE 'MORE%' OR number_key LIKE 'TOO%'",
        ] {
            let sql = format!(
                "SELECT COUNT(*) AS n FROM trackings WHERE payer = {slot} AND last_checked_at > {at} AND ({kind})"
            );
            let sql = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, sql);
            let row = shops.database.query_one_raw(sql).await.expect("reads");
            let n: i64 = row.expect("a row").try_get("", "n").expect("a number");
            checked.entry(tenant).or_insert_with(Vec::new).push(n);
        }
    }
    // 180 calls, each payer's half to those that were never asked about.
    for (tenant, expected) in [(shops.large, 22), (shops.small, 67)] {
        let close = |n: &i64| (n - expected).abs() <= 5;
        assert!(checked[&tenant].iter().all(close), "{checked:?}");
    }
}
