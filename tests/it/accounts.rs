//! What workers share of an account: its pause, and its calls of the day.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, Database};
use trackbox::clock::{Clock, day_of};
use trackbox::scheduler::pauses::{Pauses, Told};
use trackbox::store::Store;

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

const HOUR: i64 = 3_600;

async fn take_day(store: &Store, calls: u32, per_day: u32, secs: i64) -> u32 {
    let taken = store.take_day("CDEK", calls, per_day, None, at(secs));
    taken.await.expect("takes")
}

#[tokio::test]
async fn a_pause_is_never_shortened() {
    on_every_store(async |TestStore { store, .. }| {
        for (until, reason, now) in [(100, "429", 0), (50, "shorter", 1)] {
            let paused = store.pause("CDEK", at(until), reason, at(now));
            paused.await.expect("pauses");
        }
        let states = store.account_states().await.expect("reads");
        assert_eq!(states[0].paused_until, Some(at(100)));
        assert_eq!(states[0].pause_reason, "429");
    })
    .await;
}

#[tokio::test]
async fn the_calls_of_a_day_never_exceed_its_limit() {
    on_every_store(async |TestStore { store, .. }| {
        let mut taken = 0;
        for _ in 0..5 {
            taken += take_day(&store, 30, 100, 0).await;
        }
        assert_eq!(taken, 100);
        let returned = store.give_back_day("CDEK", 10, day_of(at(0))).await;
        returned.expect("returns");
        assert_eq!(take_day(&store, 30, 100, 0).await, 10);
        assert_eq!(take_day(&store, 30, 100, 86_400).await, 30, "a new day");
        let behind = take_day(&store, 30, 100, 0).await;
        assert_eq!(behind, 30, "a clock behind counts on");
    })
    .await;
}

#[tokio::test]
async fn the_calls_of_a_day_drip_and_never_exceed_its_limit() {
    on_every_store(async |TestStore { store, .. }| {
        // 240 a day at ten an hour; each minute asks for far more.
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
        // A returned call can be taken again, and a bucket that is not emptied holds little.
        store
            .give_back_day("CDEK", 1, day_of(midnight))
            .await
            .expect("gives back");
        let next = midnight + TimeDelta::hours(35);
        let states = store.account_states().await.expect("reads");
        let left = states[0].left(240, Some(10.0 / 60.0), next);
        assert_eq!(left, 2, "after ten hours without calls");
        assert_eq!(states[0].left(240, None, next), 240);
        // The counter of the day limits the calls even if the bucket holds more.
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
async fn a_pause_that_could_not_be_stored_is_stored_when_the_database_is_back() {
    on_every_store(async |TestStore { store, url, .. }| {
        let database = Database::connect(&url).await.expect("connects");
        let rename = async |from: &str, to: &str| {
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            database.execute_unprepared(&sql).await.expect("renames");
        };
        let pauses = Pauses::new(store.store(), Clock::manual(at(0)));
        rename("carrier_state", "away").await;
        let told = Told::Pause {
            reason: "asked to".to_owned(),
            wait: Duration::from_secs(3_600),
        };
        pauses.note("CDEK", told, at(0)).await;
        rename("away", "carrier_state").await;
        let states = store.account_states().await.expect("reads");
        assert_eq!(states.len(), 0, "none is stored");
        pauses.merge(&states, pauses.mark()).await;
        let states = store.account_states().await.expect("reads");
        assert_eq!(
            (states[0].account.as_str(), states[0].paused_until),
            ("CDEK", Some(at(3_600)))
        );
        assert_eq!(states[0].pause_reason, "asked to");
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_account_stops_no_other_account() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        for account in ["CDEK", "POST_RU"] {
            store
                .pause(account, at(9), "asked to", at(0))
                .await
                .expect("pauses");
        }
        let database = Database::connect(&test.url).await.expect("connects");
        let spoil = |time: &str| {
            format!("UPDATE carrier_state SET paused_until = {time} WHERE budget = 'CDEK'")
        };
        if test.is_sqlite() {
            let spoil = spoil("9223372036854775807");
            database.execute_unprepared(&spoil).await.expect("writes");
            let states = store.account_states().await.expect("reads");
            assert_eq!(states.len(), 1);
            assert_eq!(states[0].account, "POST_RU");
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
