//! What every store promises of claims.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::ConnectionTrait as _;
use trackbox::clock::{Time, hours};
use trackbox::model::Tracking;
use trackbox::simulate::queue::Queue;
use trackbox::store::claims::{DueCarriers, Take};
use trackbox::store::trackings::Refresh;

use crate::support::fixture::{Applier, LEASE, TestStore, claim, code, create, on_every_store};
use crate::support::messages::seen;
use crate::support::time::at;

#[tokio::test]
async fn a_due_tracking_is_claimed_once_per_lease() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 5).await;
        create(&store, "OTHER", 5).await;
        let first = claim(&store, "CDEK", 1, 3).await;
        assert_eq!(first.len(), 3);
        let second = claim(&store, "CDEK", 1, 100).await;
        assert_eq!(second.len(), 2, "only what is free");
        let mut checks: Vec<_> = first
            .iter()
            .chain(&second)
            .map(|row| row.lease_id)
            .collect();
        checks.sort();
        checks.dedup();
        assert_eq!(checks.len(), 5, "each check has an id of its own");
        assert_eq!(claim(&store, "CDEK", 120, 100).await, []);
        let after = claim(&store, "CDEK", 121, 100).await;
        assert_eq!(after.len(), 5, "a dead worker costs one lease");
    })
    .await;
}

#[tokio::test]
async fn a_tracking_released_by_the_holder_of_its_lease_is_due_at_once() {
    on_every_store(async |TestStore { store, .. }| {
        create(&store, "CDEK", 1).await;
        let lease = |rows: &[Tracking]| (rows[0].id, rows[0].lease_id.expect("has a lease"));
        let lost = lease(&claim(&store, "CDEK", 1, 9).await);
        let held = lease(&claim(&store, "CDEK", 200, 9).await);
        store.give_back(&[lost]).await.expect("answers");
        let none = claim(&store, "CDEK", 201, 9).await;
        assert_eq!(none, [], "a lease that has ended releases nothing");
        store.give_back(&[held]).await.expect("releases");
        assert_eq!(claim(&store, "CDEK", 201, 9).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn urgent_trackings_are_claimed_first_then_the_longest_overdue() {
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
        let refreshed = store.refresh(rows[2].id, at(95), async |_| {}).await;
        assert!(matches!(refreshed, Ok(Refresh::Done(_))));
        let claimed = claim(&store, "CDEK", 95, 9).await;
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
async fn every_carrier_with_something_to_claim_is_listed_with_its_time() {
    on_every_store(async |TestStore { store, .. }| {
        for carrier in ["A", "B", "C", "D"] {
            create(&store, carrier, 2).await;
        }
        claim(&store, "B", 1, 9).await;
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

/// What a claim must take: first the urgent parcels, then those that are due, then early ones if `take` asks for them. For
/// a trial, those that were answered before are chosen first.
fn expected(rows: &[Tracking], take: Take, now: Time, limit: usize) -> Vec<i64> {
    let free = |row: &&Tracking| row.active && row.lease_until.is_none_or(|until| until <= now);
    let may_go = |row: &&Tracking| {
        let due = row.next_check_at <= now;
        let early = match take {
            Take::Due | Take::Trial => false,
            Take::Early { answered_before } => {
                !row.urgent
                    && row.check_fail_count == 0
                    && row.last_ok_at.is_some_and(|at| at < answered_before)
            }
        };
        due || early
    };
    if take == Take::Trial {
        let mut due: Vec<&Tracking> = rows.iter().filter(free).filter(may_go).collect();
        due.sort_by_key(|row| {
            (
                row.last_ok_at.is_none(),
                !row.urgent,
                row.next_check_at,
                row.id,
            )
        });
        due.truncate(limit);
        due.sort_by_key(|row| (!row.urgent, row.next_check_at, row.id));
        return due.iter().map(|row| row.id).collect();
    }
    let (mut urgent, mut others) = (Queue::default(), Queue::default());
    for row in rows.iter().filter(free).filter(may_go) {
        let queue = if row.urgent { &mut urgent } else { &mut others };
        queue.push(
            hours(row.next_check_at),
            usize::try_from(row.id).expect("a small id"),
        );
    }
    std::iter::from_fn(|| urgent.pop().or_else(|| others.pop()))
        .take(limit)
        .map(|(_, id)| i64::try_from(id).expect("a small id"))
        .collect()
}

#[tokio::test]
async fn a_claim_takes_the_same_parcels_as_the_simulations_heap_in_its_order() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        create(store, "CDEK", 300).await;
        create(store, "OTHER", 20).await;
        let database = sea_orm::Database::connect(&test.url).await.expect("connects");
        let mut chance = StdRng::seed_from_u64(7);
        for _ in 0..25 {
            // Sets every column that a claim depends on at random, the same in both databases: 0 to 88 s after at(0).
            for column in ["next_check_at", "last_ok_at", "lease_until"] {
                let (a, b) = (chance.random_range(1..97), chance.random_range(0..97));
                let empty = if column == "next_check_at" { 0 } else { 3 };
                let time = if test.is_sqlite() {
                    format!("{} + (id * {a} + {b}) % 23 * 4000000", at(0).timestamp_micros())
                } else {
                    format!("to_timestamp({}) + (id * {a} + {b}) % 23 * interval '4 s'", at(0).timestamp())
                };
                let sql = format!(
                    "UPDATE trackings SET {column} = CASE WHEN id % 10 < {empty} THEN NULL ELSE {time} END"
                );
                database.execute_unprepared(&sql).await.expect("sets");
            }
            let (a, b) = (chance.random_range(2..9), chance.random_range(2..9));
            let sql = format!(
                "UPDATE trackings SET check_fail_count = CASE WHEN id % {a} = 0 THEN 2 ELSE 0 END, \
                 priority = CASE WHEN id % {b} = 1 THEN 1 ELSE 0 END, active = {}",
                if test.is_sqlite() { "CASE WHEN id % 11 = 0 THEN 0 ELSE 1 END" } else { "id % 11 <> 0" }
            );
            database.execute_unprepared(&sql).await.expect("sets");
            let all: Vec<Tracking> = store
                .trackings_after(0, 1_000)
                .await
                .expect("reads")
                .into_iter()
                .filter(|row| row.carrier_code.as_str() == "CDEK")
                .collect();
            let take = match chance.random_range(0..4) {
                0 => Take::Due,
                1 => Take::Trial,
                _ => Take::Early { answered_before: at(chance.random_range(0..100)) },
            };
            let limit = [1, 7, 40, 150, 300][chance.random_range(0..5)];
            let now = at(chance.random_range(0..97));
            let claimed = store
                .claim_due(&code("CDEK"), take, now, LEASE, limit)
                .await
                .expect("claims");
            let ids: Vec<i64> = claimed.trackings.iter().map(|row| row.id).collect();
            assert_eq!(ids, expected(&all, take, now, limit as usize), "{take:?} at {now}, limit {limit}");
        }
        database.close().await.expect("closes");
    })
    .await;
}
