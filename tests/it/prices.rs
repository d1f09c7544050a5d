//! What workers share of an account's price and of its day's calls.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, Database};
use trackbox::clock::Clock;
use trackbox::clock::{day_of, minute_of};
use trackbox::plan::price::Price;
use trackbox::plan::quota::Shares;
use trackbox::scheduler::pauses::Pauses;
use trackbox::store::Store;
use trackbox::store::prices::AccountPlan;
use uuid::Uuid;

use crate::fixture::{TestStore, at, on_every_store};

const HOUR: i64 = 3_600;

pub fn pricing(budget: &str, whole: f64) -> AccountPlan {
    AccountPlan {
        budget: budget.to_owned(),
        price: Price {
            whole,
            by_hour: [1.0; 24],
            by_day: [1.0, 0.5, 0.25],
            round: 3.0,
        },
        shares: Shares::default(),
        shares_day: 0,
        parcels: 7,
        counted_at: at(0),
        adjusted_at: at(0),
        refitted_at: at(0),
    }
}

pub async fn lead(store: &Store, member: Uuid, secs: i64) -> Option<AccountPlan> {
    store
        .lead(
            &pricing("CDEK", 1.0),
            member,
            at(secs),
            TimeDelta::seconds(180),
        )
        .await
        .expect("asks")
}

#[tokio::test]
async fn one_worker_at_a_time_adjusts_a_price_and_the_next_one_goes_on_from_there() {
    on_every_store(async |TestStore { store, .. }| {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(store.pricing("CDEK").await.expect("asks"), None);
        assert_eq!(lead(&store, one, 0).await, Some(pricing("CDEK", 1.0)));
        assert_eq!(lead(&store, other, 100).await, None);
        let mut found = pricing("CDEK", 2.5);
        found.price.by_hour[7] = 3.25;
        found.shares = Shares::of(&[4.0; 24]);
        found.shares_day = day_of(at(0));
        assert!(store.set_pricing(&found, one, None).await.expect("writes"));
        assert!(
            !store
                .set_pricing(&pricing("CDEK", 9.0), other, None)
                .await
                .expect("asks")
        );
        assert_eq!(
            lead(&store, one, 150).await,
            Some(found.clone()),
            "the lease goes on"
        );
        assert_eq!(lead(&store, other, 330).await, None);
        assert_eq!(
            lead(&store, other, 331).await,
            Some(found.clone()),
            "a worker that is silent is replaced"
        );
        assert!(
            !store
                .set_pricing(&pricing("CDEK", 9.0), one, None)
                .await
                .expect("asks")
        );
        store.stop_leading(other, at(340)).await.expect("stops");
        assert_eq!(
            lead(&store, one, 340).await,
            Some(found.clone()),
            "a worker that stops lets the next one go on at once"
        );
        assert_eq!(store.pricing("CDEK").await.expect("asks"), Some(found));
    })
    .await;
}

#[tokio::test]
async fn a_days_calls_drip_and_their_sum_is_never_more_than_the_day_has() {
    on_every_store(async |TestStore { store, .. }| {
        // 240 a day at ten an hour, asked for each minute and by far too much.
        let mut by_hour = Vec::new();
        let mut total = 0;
        let midnight = at(12 * HOUR);
        for minute in 0..24 * 60 {
            let now = midnight + TimeDelta::minutes(minute);
            let taken = store
                .take_day("CDEK", 50, 240, Some(10.0 / 60.0), now)
                .await
                .expect("takes");
            total += taken;
            if minute % 60 == 59 {
                by_hour.push(total - by_hour.iter().sum::<u32>());
            }
        }
        assert!(
            by_hour.iter().all(|calls| (9..=12).contains(calls)),
            "{by_hour:?}"
        );
        assert!((238..=240).contains(&total), "{total}");
        // What is given back can be had again, and a bucket that nobody empties holds little.
        store
            .give_back_day("CDEK", 1, midnight + TimeDelta::minutes(1_439))
            .await
            .expect("gives back");
        let next = midnight + TimeDelta::hours(35);
        let states = store.carrier_states().await.expect("reads");
        let left = states[0].left(240, Some(10.0 / 60.0), next);
        assert_eq!(left, 2, "after ten hours without calls");
        assert_eq!(states[0].left(240, None, next), 240);
        // The hard counter holds whatever the bucket says.
        let mut taken = 0;
        for minute in 0..600 {
            let now = next + TimeDelta::minutes(minute);
            taken += store
                .take_day("CDEK", 50, 25, Some(10.0), now)
                .await
                .expect("takes");
        }
        assert_eq!(taken, 25);
    })
    .await;
}

#[tokio::test]
async fn calls_are_counted_by_the_minute_over_all_workers() {
    on_every_store(async |TestStore { store, .. }| {
        let last_minute = async |secs: i64| {
            let states = store.carrier_states().await.expect("reads");
            states[0].calls_of_last_minute(at(secs))
        };
        let count = async |calls: u32, secs: i64| {
            let counted = store
                .count_calls("CDEK", calls, minute_of(at(secs)), at(secs))
                .await;
            counted.expect("counts");
        };
        for (calls, secs) in [(3, 5), (4, 50), (9, 70)] {
            count(calls, secs).await;
        }
        assert_eq!(last_minute(80).await, 7);
        // A worker that counts a little later counts where it belongs; long after, it is not asked for any more.
        count(2, 59).await;
        assert_eq!(last_minute(80).await, 9);
        assert_eq!(last_minute(121).await, 9);
        assert_eq!(last_minute(200).await, 0);
        count(1, 400).await;
        count(5, 70).await;
        assert_eq!(last_minute(401).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_pause_that_the_database_missed_is_told_as_soon_as_it_is_back() {
    on_every_store(async |TestStore { store, url, .. }| {
        let database = Database::connect(&url).await.expect("connects");
        let rename = async |from: &str, to: &str| {
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            database.execute_unprepared(&sql).await.expect("renames");
        };
        let pauses = Pauses::new(store.clone(), Clock::manual(at(0)));
        rename("carrier_state", "away").await;
        pauses.pause("CDEK", at(3_600), "asked to").await;
        rename("away", "carrier_state").await;
        let states = store.carrier_states().await.expect("reads");
        assert_eq!(states.len(), 0, "nobody knows");
        pauses.merge(&states).await;
        let states = store.carrier_states().await.expect("reads");
        assert_eq!(
            (states[0].budget.as_str(), states[0].paused_until),
            ("CDEK", Some(at(3_600)))
        );
        assert_eq!(states[0].pause_reason, "asked to");
    })
    .await;
}

#[tokio::test]
async fn one_accounts_state_that_cannot_be_read_stops_no_other() {
    on_every_store(async |TestStore { store, url, .. }| {
        for account in ["CDEK", "POST_RU"] {
            store
                .pause(account, at(9), "asked to", at(0))
                .await
                .expect("pauses");
        }
        let database = Database::connect(&url).await.expect("connects");
        let spoil = |time: &str| {
            format!("UPDATE carrier_state SET paused_until = {time} WHERE budget = 'CDEK'")
        };
        if url.starts_with("sqlite") {
            let spoil = spoil("9223372036854775807");
            database.execute_unprepared(&spoil).await.expect("writes");
            let states = store.carrier_states().await.expect("reads");
            assert_eq!(states.len(), 1);
            assert_eq!(states[0].budget, "POST_RU");
        } else {
            for time in ["'infinity'", "'-infinity'", "'200000-01-01Z'"] {
                let refused = database.execute_unprepared(&spoil(time)).await;
                let refused = refused.expect_err(time).to_string();
                assert!(refused.contains("carrier_state_times"), "{refused}");
            }
        }
    })
    .await;
}
