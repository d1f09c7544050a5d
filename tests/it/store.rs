//! What every store promises, each promise one function for all kinds.

use std::time::Duration;

use trackbox::model::status::Status;
use trackbox::store::claims::{DueCarriers, Take};
use trackbox::store::lock::StoreLock;
use trackbox::store::trackings::Refresh;

use crate::fixture::{Applier, TestStore, at, code, create, number, on_every_store, read, seen};

const LEASE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn creating_twice_answers_in_order_with_the_same_ids_and_makes_nothing_new() {
    on_every_store(async |TestStore { store, .. }| {
        let pairs: Vec<_> = (0..10_000)
            .map(|n| {
                (
                    code(if n % 3 == 0 { "POST_RU" } else { "CDEK" }),
                    number(&format!("N{n}")),
                )
            })
            .collect();
        let first = store.create_or_get(&pairs, at(0)).await.expect("creates");
        let made: Vec<_> = first
            .iter()
            .map(|row| (row.carrier_code.clone(), row.track_number.clone()))
            .collect();
        assert_eq!(made, pairs);
        assert!(
            first
                .iter()
                .all(|row| row.status == Status::Unknown && row.next_check_at == at(0))
        );
        let again = store.create_or_get(&pairs, at(50)).await.expect("answers");
        assert_eq!(again, first);
        assert_eq!(
            store.status_counts().await.expect("counts")[&Status::Unknown],
            10_000
        );
    })
    .await;
}

#[tokio::test]
async fn a_due_tracking_is_claimed_once_per_lease() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 5).await;
        create(&store, "OTHER", 5).await;
        let first = store
            .claim_due(&code("CDEK"), Take::Due, at(1), LEASE, 3)
            .await
            .expect("claims")
            .trackings;
        assert_eq!(first.len(), 3);
        let second = store
            .claim_due(&code("CDEK"), Take::Due, at(1), LEASE, 100)
            .await
            .expect("claims")
            .trackings;
        assert_eq!(second.len(), 2, "only what nobody holds");
        let mut checks: Vec<_> = first
            .iter()
            .chain(&second)
            .map(|row| row.lease_id)
            .collect();
        checks.sort();
        checks.dedup();
        assert_eq!(checks.len(), 5, "each check has an id of its own");
        let none = store
            .claim_due(&code("CDEK"), Take::Due, at(120), LEASE, 100)
            .await
            .expect("claims")
            .trackings;
        assert_eq!(none, []);
        let after = store
            .claim_due(&code("CDEK"), Take::Due, at(121), LEASE, 100)
            .await
            .expect("claims")
            .trackings;
        assert_eq!(after.len(), 5, "a dead worker costs one lease");
    })
    .await;
}

#[tokio::test]
async fn what_is_given_back_is_due_at_once_unless_somebody_else_holds_it_now() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 1).await;
        let lost = store
            .claim_due(&code("CDEK"), Take::Due, at(1), LEASE, 9)
            .await
            .expect("claims")
            .trackings;
        let held = store
            .claim_due(&code("CDEK"), Take::Due, at(200), LEASE, 9)
            .await
            .expect("claims")
            .trackings;
        let lease = |row: &trackbox::model::Tracking| (row.id, row.lease_id.expect("has a lease"));
        store
            .give_back(&[lease(&lost[0])])
            .await
            .expect("gives back");
        let none = store
            .claim_due(&code("CDEK"), Take::Due, at(201), LEASE, 9)
            .await
            .expect("claims")
            .trackings;
        assert_eq!(none, [], "a lease that ended gives nothing back");
        store
            .give_back(&[lease(&held[0])])
            .await
            .expect("gives back");
        let again = store
            .claim_due(&code("CDEK"), Take::Due, at(201), LEASE, 9)
            .await
            .expect("claims")
            .trackings;
        assert_eq!(again.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_urgent_come_first_then_the_longest_overdue() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 4).await;
        let mut applier = Applier::new(&store).await;
        let checks = vec![
            seen(rows[0].id, 30, 1, &[("IN_TRANSIT", 0)]),
            seen(rows[1].id, 10, 2, &[("IN_TRANSIT", 0)]),
            seen(rows[2].id, 20, 3, &[("DELIVERED", 0)]),
            seen(rows[3].id, 40, 4, &[("IN_TRANSIT", 0)]),
        ];
        applier.apply(&store, checks).await.expect("applies");
        let done = store
            .refresh(rows[2].id, at(95), async |_| {})
            .await
            .expect("refreshes");
        assert!(matches!(done, Refresh::Done(_)));
        let claimed = store
            .claim_due(&code("CDEK"), Take::Due, at(95), LEASE, 9)
            .await
            .expect("claims")
            .trackings;
        let ids: Vec<i64> = claimed.iter().map(|row| row.id).collect();
        assert_eq!(
            ids,
            [rows[2].id, rows[1].id, rows[0].id],
            "and what is not due is not claimed"
        );
    })
    .await;
}

#[tokio::test]
async fn every_carrier_with_something_claimable_is_listed_with_its_earliest_time() {
    on_every_store(async |TestStore { store, .. }| {
        for carrier in ["A", "B", "C", "D"] {
            create(&store, carrier, 2).await;
        }
        store
            .claim_due(&code("B"), Take::Due, at(1), LEASE, 9)
            .await
            .expect("claims");
        let all = store.due_carriers("", 10, at(1)).await.expect("lists");
        let codes = |due: &DueCarriers| -> Vec<String> {
            let codes = due.carriers.iter().map(|due| due.carrier_code.to_string());
            codes.collect()
        };
        assert_eq!(codes(&all), ["A", "C", "D"], "B is held");
        assert!(all.carriers.iter().all(|due| due.earliest == at(0)));
        assert_eq!(all.cut_after, None);
        let after = store.due_carriers("A", 2, at(1)).await.expect("lists");
        assert_eq!(
            codes(&after),
            ["C"],
            "two codes after A, of which B is held"
        );
        assert_eq!(after.cut_after.as_deref(), Some("C"));
    })
    .await;
}

#[tokio::test]
async fn a_refresh_soon_after_a_refresh_or_a_check_changes_nothing() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let id = rows[0].id;
        let first = store
            .refresh(id, at(10), async |_| {})
            .await
            .expect("refreshes");
        let Refresh::Done(change) = first else {
            panic!("{first:?}")
        };
        assert_eq!(change.new, read(&store, id).await);
        let soon = store
            .refresh(id, at(39), async |_| {})
            .await
            .expect("refreshes");
        assert_eq!(soon, Refresh::TooSoon);
        let later = store
            .refresh(id, at(40), async |_| {})
            .await
            .expect("refreshes");
        assert!(matches!(later, Refresh::Done(_)));
        let unknown = store
            .refresh(12_345, at(40), async |_| {})
            .await
            .expect("refreshes");
        assert_eq!(unknown, Refresh::Unknown);
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_kept_through_a_refresh_and_ended_by_its_own_check() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let claimed = store
            .claim_due(&code("CDEK"), Take::Due, at(1), LEASE, 9)
            .await
            .expect("claims")
            .trackings;
        store
            .refresh(rows[0].id, at(40), async |_| {})
            .await
            .expect("refreshes");
        let refreshed = read(&store, rows[0].id).await;
        assert_eq!(refreshed.lease_id, claimed[0].lease_id);
        let mut applier = Applier::new(&store).await;
        let check = claimed[0].lease_id.expect("has a lease").as_u128();
        applier
            .apply(
                &store,
                vec![seen(rows[0].id, 2, check, &[("IN_TRANSIT", 1)])],
            )
            .await
            .expect("applies");
        let row = read(&store, rows[0].id).await;
        assert_eq!(
            (row.lease_id, row.urgent, row.next_check_at),
            (None, true, at(40))
        );
    })
    .await;
}

#[tokio::test]
async fn pauses_only_grow_and_the_days_calls_never_pass_the_limit() {
    on_every_store(async |TestStore { store, .. }| {
        store
            .pause("CDEK", at(100), "429", at(0))
            .await
            .expect("pauses");
        store
            .pause("CDEK", at(50), "shorter", at(1))
            .await
            .expect("pauses");
        let states = store.carrier_states().await.expect("reads");
        assert_eq!(states[0].paused_until, Some(at(100)));
        assert_eq!(states[0].pause_reason, "429");
        let mut taken = 0;
        for _ in 0..5 {
            taken += store
                .take_day("CDEK", 30, 100, None, at(0))
                .await
                .expect("takes");
        }
        assert_eq!(taken, 100);
        store
            .give_back_day("CDEK", 10, at(0))
            .await
            .expect("gives back");
        assert_eq!(
            store
                .take_day("CDEK", 30, 100, None, at(0))
                .await
                .expect("takes"),
            10
        );
        assert_eq!(
            store
                .take_day("CDEK", 30, 100, None, at(86_400))
                .await
                .expect("takes"),
            30,
            "a new day"
        );
        assert_eq!(
            store
                .take_day("CDEK", 30, 100, None, at(0))
                .await
                .expect("takes"),
            30,
            "a clock behind counts on"
        );
    })
    .await;
}

#[tokio::test]
async fn events_are_listed_by_time_and_id_and_an_unknown_tracking_is_none() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        assert_eq!(
            store.events(rows[0].id, 100, 0).await.expect("reads"),
            Some(Vec::new())
        );
        assert_eq!(store.events(4_711, 100, 0).await.expect("reads"), None);
        let mut applier = Applier::new(&store).await;
        let events = [("A", 5), ("B", 1), ("C", 5), ("D", 3)];
        applier
            .apply(&store, vec![seen(rows[0].id, 9, 1, &events)])
            .await
            .expect("applies");
        let page = |limit, offset| {
            let store = store.clone();
            let id = rows[0].id;
            async move {
                let events = store
                    .events(id, limit, offset)
                    .await
                    .expect("reads")
                    .expect("is there");
                events
                    .into_iter()
                    .map(|event| event.event.status_raw)
                    .collect::<Vec<_>>()
            }
        };
        assert_eq!(page(100, 0).await, ["C", "A", "D", "B"]);
        assert_eq!(page(2, 1).await, ["A", "D"]);
        assert_eq!(page(10, u64::MAX).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn whoever_needs_the_database_alone_is_refused_while_others_are_there() {
    on_every_store(async |TestStore { url, .. }| {
        let take = async |alone| StoreLock::take(&url, None, alone).await.expect("answers");
        let mut first = take(false).await.expect("nobody is there");
        let second = take(false).await.expect("they share");
        assert!(take(true).await.is_none(), "two others are there");
        first.release().await;
        second.release().await;
        let mut alone = take(true).await.expect("all are gone");
        assert!(take(false).await.is_none());
        assert!(take(true).await.is_none());
        assert!(alone.keep().await.expect("is held"));
        alone.release().await;
        first = take(false).await.expect("it is gone");
        first.release().await;
    })
    .await;
}

#[tokio::test]
async fn events_are_told_in_the_order_in_which_they_came_to_be_known() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 2).await;
        let mut applier = Applier::new(&store).await;
        applier
            .apply(&store, vec![seen(rows[0].id, 10, 1, &[("IN_TRANSIT", 5)])])
            .await
            .expect("applies");
        let more = vec![
            seen(rows[1].id, 20, 2, &[("DELIVERED", 1)]),
            seen(
                rows[0].id,
                30,
                3,
                &[("IN_TRANSIT", 5), ("OUT_FOR_DELIVERY", 25)],
            ),
        ];
        applier.apply(&store, more).await.expect("applies");
        let first = store.events_after(0, 1).await.expect("reads");
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].event_time, first[0].tracked_at, first[0].seen_at),
            (at(5), at(0), at(500))
        );
        let rest = store.events_after(first[0].id, 100).await.expect("reads");
        let mut known: Vec<_> = rest.iter().map(|it| (it.status, it.event_time)).collect();
        known.sort_by_key(|(_, time)| *time);
        assert_eq!(
            known,
            [(Status::Delivered, at(1)), (Status::OutForDelivery, at(25))]
        );
        assert!(rest.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(rest.iter().all(|it| it.carrier_code == "CDEK"));
    })
    .await;
}
