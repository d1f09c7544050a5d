//! The claim of every store against the heap that the simulation claims from: the same parcels, in the same order.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::ConnectionTrait as _;
use trackbox::clock::Time;
use trackbox::clock::hours;
use trackbox::model::Tracking;
use trackbox::simulate::queue::Queue;
use trackbox::store::claims::Take;

use crate::fixture::{TestStore, at, code, create, on_every_store};

const LEASE: Duration = Duration::from_secs(120);

/// What a claim must give: urgent parcels first, then those that are due, then early ones where they are asked for.
fn expected(rows: &[Tracking], take: Take, now: Time, limit: usize) -> Vec<i64> {
    let free = |row: &&Tracking| row.active && row.lease_until.is_none_or(|until| until <= now);
    let may_go = |row: &&Tracking| {
        let due = row.next_check_at <= now;
        let early = match take {
            Take::Due => false,
            Take::Early { answered_before } => {
                !row.urgent
                    && row.check_fail_count == 0
                    && row.last_ok_at.is_some_and(|at| at < answered_before)
            }
        };
        due || early
    };
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
async fn a_claim_takes_what_the_simulations_heap_would_give_in_the_same_order() {
    on_every_store(async |TestStore { store, url, .. }| {
        create(&store, "CDEK", 300).await;
        create(&store, "OTHER", 20).await;
        let database = sea_orm::Database::connect(&url).await.expect("connects");
        let mut chance = StdRng::seed_from_u64(7);
        for _ in 0..25 {
            // Every column that a claim goes by, at random, the same in both databases; 0 to 99 s around at(50).
            for column in ["next_check_at", "last_ok_at", "lease_until"] {
                let (a, b) = (chance.random_range(1..97), chance.random_range(0..97));
                let empty = if column == "next_check_at" { 0 } else { 3 };
                let time = if url.starts_with("sqlite") {
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
                if url.starts_with("sqlite") { "CASE WHEN id % 11 = 0 THEN 0 ELSE 1 END" } else { "id % 11 <> 0" }
            );
            database.execute_unprepared(&sql).await.expect("sets");
            let all: Vec<Tracking> = store
                .trackings_after(0, 1_000)
                .await
                .expect("reads")
                .into_iter()
                .filter(|row| row.carrier_code.as_str() == "CDEK")
                .collect();
            let take = match chance.random_range(0..3) {
                0 => Take::Due,
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
