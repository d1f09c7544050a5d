//! What every store promises of subscriptions to what carriers push.

use std::time::Duration;

use trackbox::model::Tracking;
use trackbox::model::tenant::Tenant;
use trackbox::store::WholeStore;
use trackbox::store::subscriptions::{Ending, Subscribing, SubscriptionState};

use crate::support::fixture::{Applier, TestStore, create, on_every_store};
use crate::support::messages::seen;
use crate::support::time::at;

const HOLD: Duration = Duration::from_secs(120);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const DAY: i64 = 86_400;

async fn meet(store: &WholeStore, address: &str, secs: i64) {
    let met = store.meet_subscription("UPS", address, at(secs)).await;
    met.expect("notes");
}

async fn take(store: &WholeStore, numbers: usize, secs: i64) -> Option<Subscribing> {
    let taken = store.take_subscriptions("UPS", numbers, HOLD, at(secs));
    taken.await.expect("answers")
}

async fn want(store: &WholeStore, ids: &[i64], secs: i64) {
    let wanted = store.want_subscriptions("UPS", ids, at(secs)).await;
    wanted.expect("notes");
}

async fn end(store: &WholeStore, held: &Subscribing, ending: Ending<'_>, secs: i64) {
    let ended = store.end_subscriptions(held, ending, at(secs)).await;
    ended.expect("notes");
}

fn made(not_taken: &[i64]) -> Ending<'_> {
    Ending::Made {
        lasts: Some(WEEK),
        not_taken,
    }
}

async fn state(store: &WholeStore) -> SubscriptionState {
    let states = store.subscription_states().await.expect("reads");
    assert_eq!(states.len(), 1, "{states:?}");
    states[0].clone()
}

fn ids(rows: &[Tracking]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn an_account_is_subscribed_once_and_renewed_before_it_ends() {
    on_every_store(async |TestStore { store, .. }| {
        assert!(take(&store, 0, 0).await.is_none(), "no section is known");
        meet(&store, "a", 0).await;
        let held = take(&store, 0, 0).await.expect("its time has come");
        assert!(take(&store, 0, 0).await.is_none(), "another worker has it");
        meet(&store, "a", 1).await;
        assert!(
            take(&store, 0, 1).await.is_none(),
            "a restart changes nothing"
        );
        end(&store, &held, made(&[]), 2).await;
        let state = state(&store).await;
        assert_eq!((state.made_at, state.fails), (Some(at(2)), 0));
        assert_eq!(state.ends_at, Some(at(2 + 7 * DAY)));
        assert!(take(&store, 0, 1 + 6 * DAY).await.is_none());
        assert!(take(&store, 0, 2 + 6 * DAY).await.is_some());
    })
    .await;
}

#[tokio::test]
async fn what_does_not_end_is_asked_for_again_only_under_another_address() {
    on_every_store(async |TestStore { store, .. }| {
        meet(&store, "a", 0).await;
        let held = take(&store, 0, 0).await.expect("its time has come");
        let ending = Ending::Made {
            lasts: None,
            not_taken: &[],
        };
        end(&store, &held, ending, 1).await;
        assert_eq!(state(&store).await.ask_at, None);
        meet(&store, "a", 400 * DAY).await;
        assert!(take(&store, 0, 400 * DAY).await.is_none());
        meet(&store, "b", 401 * DAY).await;
        assert!(take(&store, 0, 401 * DAY).await.is_some());
    })
    .await;
}

#[tokio::test]
async fn failures_are_at_most_six_a_day_and_a_dead_worker_is_one() {
    on_every_store(async |TestStore { store, .. }| {
        meet(&store, "a", 0).await;
        let (mut tries, mut held) = (Vec::new(), None);
        for secs in (0..3 * DAY).step_by(60) {
            let Some(taken) = take(&store, 0, secs).await else {
                continue;
            };
            tries.push(secs);
            // Every second worker dies.
            if tries.len() % 2 == 0 {
                let reason = "the address is wrong";
                end(&store, &taken, Ending::Failed { reason }, secs).await;
                let state = state(&store).await;
                assert_eq!(
                    (state.fails as usize, state.error.as_str()),
                    (tries.len(), reason)
                );
            }
            held = Some(taken);
        }
        for first in &tries {
            let in_a_day = tries.iter().filter(|it| (*first..first + DAY).contains(it));
            assert!(in_a_day.count() <= 6, "{tries:?}");
        }
        assert!((6..=9).contains(&tries.len()), "{tries:?}");
        meet(&store, "b", 3 * DAY).await;
        end(&store, &held.expect("tried"), made(&[]), 3 * DAY).await;
        assert!(
            state(&store).await.made_at.is_none(),
            "the dead one is late"
        );
        assert!(
            take(&store, 0, 3 * DAY).await.is_some(),
            "another address is tried at once"
        );
    })
    .await;
}

#[tokio::test]
async fn a_call_that_was_not_made_is_no_failure() {
    on_every_store(async |TestStore { store, .. }| {
        meet(&store, "a", 0).await;
        let held = take(&store, 0, 0).await.expect("its time has come");
        end(&store, &held, Ending::Unmade, 1).await;
        assert_eq!(state(&store).await.fails, 0);
        assert!(take(&store, 0, 1).await.is_some());
    })
    .await;
}

#[tokio::test]
async fn numbers_are_subscribed_once_each_and_one_call_at_a_time() {
    on_every_store(async |TestStore { store, .. }| {
        meet(&store, "a", 0).await;
        let rows = create(&store, "UPS", 5).await;
        assert!(take(&store, 3, 0).await.is_none(), "none is wanted");
        for wanted in [&rows[..4], &rows[..]] {
            want(&store, &ids(wanted), 1).await;
        }
        let first = take(&store, 3, 1).await.expect("five are wanted");
        assert_eq!(ids(&first.rows), ids(&rows[..3]));
        assert!(take(&store, 3, 1).await.is_none(), "one call at a time");
        end(&store, &first, made(&[rows[1].id]), 2).await;
        let second = take(&store, 3, 2).await.expect("two are left");
        assert_eq!(ids(&second.rows), ids(&rows[3..]));
        end(&store, &second, made(&[]), 2).await;
        want(&store, &ids(&rows), 3).await;
        assert!(take(&store, 9, DAY).await.is_none());
        let third = take(&store, 9, DAY + 2).await.expect("a day has passed");
        assert_eq!(ids(&third.rows), [rows[1].id], "the one that was not taken");
        end(&store, &third, made(&[]), DAY + 2).await;
        let renewed = take(&store, 9, 6 * DAY + 2).await.expect("they end soon");
        assert_eq!(renewed.rows.len(), 4);
        end(&store, &renewed, made(&[]), 6 * DAY + 2).await;
        meet(&store, "b", 6 * DAY + 3).await;
        let anew = take(&store, 9, 6 * DAY + 3)
            .await
            .expect("the address is another");
        assert_eq!(anew.rows.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn parcels_that_have_ended_or_are_gone_are_not_renewed() {
    on_every_store(async |TestStore { store, .. }| {
        meet(&store, "a", 0).await;
        let rows = create(&store, "UPS", 3).await;
        want(&store, &ids(&rows), 1).await;
        let mut applier = Applier::new(&store).await;
        let delivered = seen(rows[0].id, 2, 1, &[("DELIVERED", 1)]);
        applier
            .apply(&store, vec![delivered])
            .await
            .expect("applies");
        let gone = [rows[1].id];
        let removed = store
            .remove(Tenant::DEFAULT, &gone, at(3), async |_| {})
            .await;
        removed.expect("removes");
        while store.forget_some().await.expect("forgets") > 0 {}
        let held = take(&store, 9, 5).await.expect("one is left");
        assert_eq!(ids(&held.rows), [rows[2].id]);
        end(&store, &held, Ending::Unmade, 5).await;
        meet(&store, "b", 6).await;
        let held = take(&store, 9, 6).await.expect("one is left");
        assert_eq!(ids(&held.rows), [rows[2].id]);
    })
    .await;
}
