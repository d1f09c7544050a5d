//! Who may log in, and when: the same on every store, for all workers.

use std::time::Duration;

use trackbox::store::WholeStore;
use trackbox::store::logins::{Begun, Ending, Leave, LoginOf};

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

const HOLD: Duration = Duration::from_secs(15);

fn of(credentials: &str) -> LoginOf<'_> {
    LoginOf {
        account: "CDEK",
        credentials,
    }
}

async fn begin(store: &WholeStore, credentials: &str, secs: i64) -> Leave {
    let begun = store.begin_login(of(credentials), false, HOLD, at(secs));
    begun.await.expect("asks")
}

async fn begun(store: &WholeStore, credentials: &str, secs: i64) -> Box<Begun> {
    match begin(store, credentials, secs).await {
        Leave::Begun(begun) => begun,
        leave => panic!("at {secs}: {leave:?}"),
    }
}

async fn end(store: &WholeStore, begun: &Begun, ending: Ending, secs: i64) -> Option<i64> {
    let until = store.end_login(begun, ending, at(secs)).await;
    until
        .expect("notes")
        .map(|at| at.timestamp() - self::at(0).timestamp())
}

fn refused() -> Ending {
    Ending::Refused {
        reason: "invalid_client".to_owned(),
    }
}

#[tokio::test]
async fn one_worker_at_a_time_logs_in_and_a_dead_one_for_its_time_only() {
    on_every_store(async |TestStore { store, .. }| {
        let first = begun(&store, "a", 0).await;
        assert_eq!(begin(&store, "a", 14).await, Leave::Busy);
        let second = begun(&store, "a", 15).await;
        // The first comes back late, and changes nothing.
        end(&store, &first, Ending::Well, 16).await;
        assert_eq!(begin(&store, "a", 16).await, Leave::Busy);
        assert_eq!(end(&store, &second, Ending::Well, 17).await, None);
        begun(&store, "a", 17).await;
    })
    .await;
}

#[tokio::test]
async fn of_many_workers_at_once_one_begins() {
    on_every_store(async |TestStore { store, .. }| {
        let all = (0..8).map(|_| begin(&store, "a", 0));
        let leaves = futures_util::future::join_all(all).await;
        let began = leaves.iter().filter(|it| matches!(it, Leave::Begun(_)));
        assert_eq!(began.count(), 1, "{leaves:?}");
    })
    .await;
}

#[tokio::test]
async fn a_refused_login_is_tried_again_ever_more_seldom() {
    on_every_store(async |TestStore { store, .. }| {
        let (mut now, mut tries) = (0, Vec::new());
        for _ in 0..9 {
            let login = begun(&store, "a", now).await;
            tries.push(now);
            let until = end(&store, &login, refused(), now).await.expect("rests");
            let denied = Leave::Rest {
                until: at(until),
                reason: "invalid_client".to_owned(),
            };
            assert_eq!(begin(&store, "a", until - 1).await, denied);
            now = until;
        }
        let (minute, hour, day) = (60, 3_600, 86_400);
        assert_eq!(tries[..3], [0, minute, 31 * minute]);
        let waits: Vec<i64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits[2..], [hour, 2 * hour, 4 * hour, day, day, day]);
        for (place, start) in tries.iter().enumerate() {
            let in_a_day = tries[place..].iter().filter(|at| **at < start + day);
            assert!(in_a_day.count() <= 6, "{tries:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_ends_the_refusals_and_a_failure_on_the_way_adds_none() {
    on_every_store(async |TestStore { store, .. }| {
        let login = begun(&store, "a", 0).await;
        assert_eq!(end(&store, &login, refused(), 0).await, Some(60));
        let login = begun(&store, "a", 60).await;
        let failed = Ending::Failed {
            reason: "the carrier answered 502".to_owned(),
        };
        assert_eq!(end(&store, &login, failed, 60).await, Some(70));
        let login = begun(&store, "a", 70).await;
        assert_eq!(end(&store, &login, refused(), 70).await, Some(70 + 1_800));
        let login = begun(&store, "a", 2_000).await;
        assert_eq!(end(&store, &login, Ending::Well, 2_000).await, None);
        let login = begun(&store, "a", 2_000).await;
        assert_eq!(end(&store, &login, refused(), 2_000).await, Some(2_060));
    })
    .await;
}

#[tokio::test]
async fn uncounted_logins_are_five_at_once_and_ten_in_an_hour() {
    on_every_store(async |TestStore { store, .. }| {
        let mut taken = Vec::new();
        for minute in 0..180 {
            for _ in 0..6 {
                let now = at(minute * 60);
                let leave = store.begin_login(of("a"), true, HOLD, now).await;
                let Leave::Begun(begun) = leave.expect("asks") else {
                    break;
                };
                // One in two is not made, and counts for nothing.
                store
                    .end_login(&begun, Ending::Unmade, now)
                    .await
                    .expect("notes");
                let leave = store.begin_login(of("a"), true, HOLD, now).await;
                let Leave::Begun(begun) = leave.expect("asks") else {
                    panic!("what was not made was given back");
                };
                store
                    .end_login(&begun, Ending::Well, now)
                    .await
                    .expect("notes");
                taken.push(minute);
            }
        }
        assert_eq!(taken[..7], [0, 0, 0, 0, 0, 12, 24]);
        for start in 0..180 {
            let within = taken.iter().filter(|at| (start..=start + 60).contains(*at));
            assert!(within.count() <= 10, "from minute {start}: {taken:?}");
        }
        let leave = store.begin_login(of("a"), true, HOLD, at(179 * 60)).await;
        assert_eq!(
            leave.expect("asks"),
            Leave::Spent {
                until: at(180 * 60)
            }
        );
    })
    .await;
}

#[tokio::test]
async fn a_lifted_pause_and_other_credentials_may_log_in_at_once() {
    on_every_store(async |TestStore { store, .. }| {
        assert!(!store.meet_credentials(of("a"), at(0)).await.expect("notes"));
        let login = begun(&store, "a", 0).await;
        end(&store, &login, refused(), 0).await;
        store.lift_pause("CDEK", at(1)).await.expect("lifts");
        let login = begun(&store, "a", 1).await;
        assert_eq!(end(&store, &login, refused(), 1).await, Some(61));
        store
            .pause("CDEK", at(61), "refused", at(1))
            .await
            .expect("pauses");
        let paused = async || store.account_states(at(2)).await.expect("reads")[0].paused_until;
        assert!(!store.meet_credentials(of("a"), at(2)).await.expect("notes"));
        assert_eq!(paused().await, Some(at(61)));
        assert!(store.meet_credentials(of("b"), at(2)).await.expect("notes"));
        assert_eq!(paused().await, None);
        begun(&store, "b", 2).await;
        // Once: the account may be paused for other reasons.
        assert!(!store.meet_credentials(of("b"), at(3)).await.expect("notes"));
    })
    .await;
}

#[tokio::test]
async fn a_wait_that_a_clock_far_ahead_stored_is_not_believed() {
    on_every_store(async |TestStore { store, .. }| {
        let year = 365 * 86_400;
        let login = begun(&store, "a", year).await;
        end(&store, &login, refused(), year).await;
        begun(&store, "a", 0).await;
    })
    .await;
}
