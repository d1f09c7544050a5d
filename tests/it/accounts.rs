//! What workers share of an account: its pause and its failures.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};
use trackbox::clock::Clock;
use trackbox::scheduler::pauses::{Pauses, Told};

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

#[tokio::test]
async fn a_pause_is_never_shortened() {
    on_every_store(async |TestStore { store, .. }| {
        for (until, reason, now) in [(100, "429", 0), (50, "shorter", 1)] {
            let paused = store.pause("CDEK", at(until), reason, at(now));
            paused.await.expect("pauses");
        }
        let states = store.account_states(at(0)).await.expect("reads");
        assert_eq!(states[0].paused_until, Some(at(100)));
        assert_eq!(states[0].pause_reason, "429");
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
        let states = store.account_states(at(0)).await.expect("reads");
        assert_eq!(states.len(), 0, "none is stored");
        pauses.merge(&states, pauses.mark()).await;
        let states = store.account_states(at(0)).await.expect("reads");
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
            let states = store.account_states(at(0)).await.expect("reads");
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
