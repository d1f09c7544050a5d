//! What every store promises of claims.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::ConnectionTrait as _;
use trackbox::clock::{Time, hours};
use trackbox::model::Tracking;
use trackbox::model::tenant::{Payer, Tenant};
use trackbox::simulate::queue::{Claim as SimulatedClaim, Group, Queue};
use trackbox::store::claims::{Claim, Early, Share, Take};
use trackbox::store::queues::{After, DueQueues};
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
        let refreshed = store
            .refresh(
                Tenant::DEFAULT,
                rows[2].id,
                at(95),
                |_| Duration::ZERO,
                async |_| {},
            )
            .await;
        assert!(matches!(refreshed, Ok(Some(Refresh::Done(_)))));
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
        let all = store
            .due_queues(&After::default(), 10, at(1))
            .await
            .expect("lists");
        let codes = |due: &DueQueues| -> Vec<String> {
            let codes = due.queues.iter().map(|due| due.carrier_code.to_string());
            codes.collect()
        };
        assert_eq!(codes(&all), ["A", "C", "D"], "B is held");
        assert!(all.queues.iter().all(|due| due.earliest == at(0)));
        assert_eq!(all.cut_after, None);
        let first = store.due_queues(&After::default(), 1, at(1)).await;
        let after = first.expect("lists").cut_after.expect("there are more");
        let after = store.due_queues(&after, 2, at(1)).await.expect("lists");
        assert_eq!(
            codes(&after),
            ["C"],
            "two codes after A, of which B is held"
        );
        assert!(after.cut_after.is_some());
    })
    .await;
}

/// A tracking and who pays for it.
struct Paid {
    row: Tracking,
    payer: Payer,
}

/// What a claim must take, in its order.
fn expected(rows: &[Paid], claim: &Claim<'_>, now: Time) -> Vec<i64> {
    let share = |it: &&Paid| {
        let of =
            |share: &&Share| share.carrier_code == it.row.carrier_code && share.payer == it.payer;
        claim.shares.iter().find(of)
    };
    let wanted = |it: &&Paid| {
        it.row.active && share(it).is_some() && it.row.lease_until.is_none_or(|until| until <= now)
    };
    let limit = claim.limit as usize;
    let by_time = |row: &Tracking| (row.next_check_at, row.id);
    let mut free: Vec<&Paid> = rows.iter().filter(wanted).collect();
    free.sort_by_key(|it| by_time(&it.row));
    let due = free.iter().filter(|it| it.row.next_check_at <= now);
    let due: Vec<&Paid> = due.copied().collect();
    let Take::Due { early } = claim.take else {
        // The first of each kind of each payer.
        let kind = |row: &Tracking| match (row.urgent, row.last_ok_at) {
            (true, _) => 0,
            (false, None) => 1,
            (false, Some(_)) => 2,
        };
        let mut first = BTreeMap::new();
        for it in due {
            first.entry((it.payer, kind(&it.row))).or_insert(&it.row);
        }
        let chosen = first
            .values()
            .min_by_key(|row| (row.last_ok_at.is_none(), kind(row), by_time(row)));
        return chosen.map(|row| row.id).into_iter().collect();
    };
    let mut places: Vec<(i32, &Tracking)> = Vec::new();
    let payers: BTreeSet<Payer> = claim.shares.iter().map(|share| share.payer).collect();
    for payer in payers {
        let mut unanswered = 0;
        let mut own: Vec<(i32, &Tracking)> = Vec::new();
        let of_payer = due.iter().filter(|it| it.payer == payer);
        for (share, row) in of_payer.filter_map(|it| Some((share(it)?, &it.row))) {
            unanswered += u32::from(!row.urgent && row.last_ok_at.is_none());
            let place = match (row.urgent, row.last_ok_at) {
                (true, _) => 0,
                (false, None) if unanswered <= share.unanswered_max => 1,
                (false, None) => 3,
                (false, Some(_)) => 2,
            };
            own.push((place, row));
        }
        own.sort_by_key(|(place, row)| (*place, by_time(row)));
        let mut shares = claim.shares.iter().filter(|share| share.payer == payer);
        own.truncate(shares.next().map_or(0, |share| share.most as usize));
        places.extend(own);
    }
    places.sort_by_key(|(place, row)| (*place, by_time(row)));
    places.truncate(limit);
    let known = free.into_iter().map(|it| &it.row);
    let known = known.filter(|row| !row.urgent && row.next_check_at > now);
    let (room, early): (usize, Vec<&Tracking>) = match early {
        Early::None => (0, Vec::new()),
        Early::Fill { per_call, begun } => {
            let per_call = per_call as usize;
            let nearly = |row: &&Tracking| match (row.last_ok_at, row.last_checked_at) {
                (Some(_), Some(at)) => (row.next_check_at - now) * 10 <= row.next_check_at - at,
                _ => false,
            };
            let numbers = places.len() + begun as usize;
            let room = (per_call - numbers % per_call) % per_call;
            (room, known.filter(nearly).collect())
        }
        Early::Of {
            trackings,
            answered_before,
        } => {
            let may_go = |row: &&Tracking| {
                trackings.contains(&row.id)
                    && row.check_fail_count == 0
                    && row.last_ok_at.is_some_and(|at| at < answered_before)
            };
            let mut early: Vec<&Tracking> = known.filter(may_go).collect();
            early.sort_by_key(|row| trackings.iter().position(|id| *id == row.id));
            (limit - places.len(), early)
        }
    };
    let due = places.into_iter().map(|(_, row)| row);
    let all = due.chain(early.into_iter().take(room));
    all.map(|row| row.id).collect()
}

/// What the simulation's queue lists as early ones, and then takes, if it holds the same trackings.
fn simulated(rows: &[Paid], claim: &Claim<'_>, now: Time) -> Option<(Vec<i64>, Vec<i64>)> {
    let Take::Due {
        early: Early::Of {
            trackings,
            answered_before,
        },
    } = claim.take
    else {
        return None;
    };
    let unanswered_max = claim.shares.first()?.unanswered_max;
    let index = |row: &Tracking| usize::try_from(row.id).expect("a small id");
    let id = |index: usize| i64::try_from(index).expect("a small id");
    let mut queue = Queue::default();
    let mut may_go = BTreeSet::new();
    for Paid { row, .. } in rows {
        let is_free = row.lease_until.is_none_or(|until| until <= now);
        let mut carriers = claim.shares.iter().map(|share| &share.carrier_code);
        if !row.active || !is_free || !carriers.any(|code| *code == row.carrier_code) {
            continue;
        }
        let group = match (row.urgent, row.last_ok_at) {
            (true, _) => Group::Urgent,
            (false, None) => Group::Unanswered,
            (false, Some(_)) => Group::Known,
        };
        queue.push(group, hours(row.next_check_at), index(row));
        if row.check_fail_count == 0 && row.last_ok_at.is_some_and(|at| at < answered_before) {
            may_go.insert(index(row));
        }
    }
    let mut early = queue.early(hours(now), rows.len(), |id| may_go.contains(&id));
    let listed = early.iter().map(|(_, index)| id(*index as usize)).collect();
    early.truncate(trackings.len());
    let simulated = SimulatedClaim {
        now: hours(now),
        limit: claim.limit as usize,
        unanswered_max: unanswered_max as usize,
    };
    let taken = queue.claim(simulated, &mut early).into_iter();
    Some((listed, taken.map(|(_, index)| id(index)).collect()))
}

#[tokio::test]
async fn a_claim_takes_what_its_rules_say_in_their_order_and_so_does_the_simulation() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        create(store, "CDEK", 300).await;
        create(store, "OTHER", 40).await;
        let database = sea_orm::Database::connect(&test.url).await.expect("connects");
        let mut chance = StdRng::seed_from_u64(7);
        for _ in 0..40 {
            // Sets every column that a claim depends on at random, the same in both databases: 0 to 88 s after at(0).
            for column in ["next_check_at", "last_ok_at", "last_checked_at", "lease_until"] {
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
            let payers: i64 = [1, 3][chance.random_range(0..2)];
            let sql = format!(
                "UPDATE trackings SET check_fail_count = CASE WHEN id % {a} = 0 THEN 2 ELSE 0 END, payer = id % {payers}, \
                 priority = CASE WHEN id % {b} = 1 THEN 1 ELSE 0 END, active = {}",
                if test.is_sqlite() { "CASE WHEN id % 11 = 0 THEN 0 ELSE 1 END" } else { "id % 11 <> 0" }
            );
            database.execute_unprepared(&sql).await.expect("sets");
            let payer = |slot: i64| Tenant::from_row(i32::try_from(slot).expect("is small") + 1).payer();
            let all = store.trackings_after(0, 1_000).await.expect("reads").into_iter();
            let all: Vec<Paid> = all.map(|row| Paid { payer: payer(row.id % payers), row }).collect();
            let limit: u32 = [1, 7, 30, 150, 300][chance.random_range(0..5)];
            let now = at(chance.random_range(0..97));
            let answered_before = at(chance.random_range(0..100));
            let carriers = [code("CDEK"), code("OTHER"), code("NONE")];
            let carriers = &carriers[..chance.random_range(1..=3)];
            let mut shares = Vec::new();
            for slot in 0..payers {
                let most = if payers == 1 { limit } else { chance.random_range(0..=limit / 2) };
                let unanswered_max = chance.random_range(0..=limit);
                shares.extend(carriers.iter().map(|code| Share {
                    carrier_code: code.clone(),
                    payer: payer(slot),
                    most,
                    unanswered_max,
                }));
            }
            let for_shelf = shares.iter().map(|share| Share { most: 1_000, ..share.clone() });
            let listed = store.early(&for_shelf.collect::<Vec<_>>(), answered_before, now).await;
            let listed = listed.expect("lists").into_iter().map(|(_, id)| id);
            let listed: Vec<i64> = listed.collect();
            let mut trackings: Vec<i64> = listed.iter().copied().take(100).collect();
            if payers > 1 {
                trackings.reverse();
            }
            let early = match chance.random_range(0..3) {
                0 => Early::None,
                1 => Early::Fill { per_call: [1, 5, 30][chance.random_range(0..3)], begun: chance.random_range(0..9) },
                _ => Early::Of { trackings: &trackings, answered_before },
            };
            let (limit, take) = match chance.random_range(0..4) {
                0 => (1, Take::Trial),
                _ => (limit, Take::Due { early }),
            };
            if take == Take::Trial {
                shares.iter_mut().for_each(|share| share.most = 1);
            }
            let claim = Claim { shares: &shares, limit, take };
            let claimed = store.claim(claim, now, LEASE).await.expect("claims");
            let ids: Vec<i64> = claimed.trackings.iter().map(|row| row.id).collect();
            assert_eq!(ids, expected(&all, &claim, now), "{claim:?} at {now}");
            assert_eq!(claimed.by_payer.values().sum::<u32>() as usize, ids.len());
            if let Some(simulated) = simulated(&all, &claim, now).filter(|_| payers == 1) {
                assert_eq!(simulated, (listed, ids), "{claim:?} at {now}");
            }
        }
        database.close().await.expect("closes");
    })
    .await;
}
