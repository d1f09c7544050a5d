//! What every store promises of what it learns and forgets.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::ConnectionTrait as _;
use trackbox::model::history::History;
use trackbox::model::merge::merge;
use trackbox::plan::hazard::Counts;
use trackbox::plan::parcel::{class_of, learn_from};
use trackbox::plan::{Sections, hazard};
use trackbox::store::updates::Batch;
use uuid::Uuid;

use crate::support::fixture::{Applier, TestStore, create, on_every_store};
use crate::support::messages::{failed, seen};
use crate::support::prices::{lead, pricing};
use crate::support::time::at;

const HOUR: i64 = 3_600;

fn assert_close(ours: &BTreeMap<&'static str, Counts>, theirs: &BTreeMap<&'static str, Counts>) {
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        theirs.keys().collect::<Vec<_>>()
    );
    let close = |a: f64, b: f64| (a - b).abs() < 1e-6 * a.abs().max(1.0);
    for (code, ours) in ours {
        let theirs = &theirs[code];
        for (a, b) in ours
            .cells
            .as_flattened()
            .iter()
            .zip(theirs.cells.as_flattened())
        {
            let same = close(a.events, b.events)
                && close(a.hours, b.hours)
                && close(a.fast_events, b.fast_events)
                && close(a.fast_hours, b.fast_hours);
            assert!(same, "{code}: {a:?} and {b:?}");
        }
        let (a, b) = (ours.leave, theirs.leave);
        let same =
            close(a.events, b.events) && close(a.weights, b.weights) && close(a.ended, b.ended);
        assert!(same, "{code}: {a:?} and {b:?}");
    }
}

#[tokio::test]
async fn the_store_learns_from_each_answer_once_and_what_the_plan_does() {
    on_every_store(async |TestStore { store, .. }| {
        let store = store.learning_by(Sections::new(["CDEK".to_owned()]));
        let rows = create(&store, "CDEK", 20).await;
        let other = create(&store, "ELSE", 1).await;
        let mut applier = Applier::new(&store).await;
        let mut chance = StdRng::seed_from_u64(3);
        let codes = [
            "INFO_RECEIVED",
            "IN_TRANSIT",
            "OUT_FOR_DELIVERY",
            "DELIVERED",
        ];
        let mut model: BTreeMap<&'static str, Counts> = BTreeMap::new();
        let mut known: BTreeMap<i64, _> = rows.iter().map(|row| (row.id, row.clone())).collect();
        let mut histories: BTreeMap<i64, History> = BTreeMap::new();
        let mut check = 0;
        for round in 1..12_i64 {
            let mut updates = Vec::new();
            for row in &rows {
                check += 1;
                let secs = round * 3 * HOUR + chance.random_range(0..HOUR);
                let update = match chance.random_range(0..10) {
                    0 => failed(row.id, secs, check),
                    _ => {
                        let events: Vec<(&str, i64)> = (0..(round as usize / 3 + 1).min(4))
                            .map(|n| (codes[n], n as i64 * 9 * HOUR + row.id * 7))
                            .collect();
                        seen(row.id, secs, check, &events)
                    }
                };
                updates.push(update.clone());
                if chance.random_range(0..4) == 0 {
                    // Nothing is learned from a repetition.
                    updates.push(update);
                }
            }
            for update in &updates {
                let row = &known[&update.tracking_id];
                learn_from(row, update, |code, gain| {
                    model
                        .entry(code)
                        .or_insert_with(|| Counts::new(class_of(code)))
                        .add(&gain);
                });
                let history = histories.entry(update.tracking_id).or_default();
                let next = merge(row, update, history, at(500));
                known.insert(update.tracking_id, next);
            }
            applier
                .apply(&store, updates.clone())
                .await
                .expect("applies");
            let after = store.learned("CDEK").await.expect("reads");
            // The same records again, as after a crash between the commit and the next fetch.
            applier.apply(&store, updates).await.expect("applies");
            assert_close(&store.learned("CDEK").await.expect("reads"), &after);
        }
        let learned = store.learned("CDEK").await.expect("reads");
        assert_close(&learned, &model);
        assert!(learned["OUT_FOR_DELIVERY"].leave.ended > 0.0);
        let hours: f64 = learned["IN_TRANSIT"]
            .cells
            .as_flattened()
            .iter()
            .map(|cell| cell.hours)
            .sum();
        assert!(hours > 100.0, "{hours}");
        // What a carrier without a section teaches goes into the rest.
        let of_else = vec![
            seen(other[0].id, 10, 9_001, &[("IN_TRANSIT", 1)]),
            seen(other[0].id, HOUR, 9_002, &[("IN_TRANSIT", 1)]),
        ];
        applier.apply(&store, of_else).await.expect("applies");
        let rest = store.learned(Sections::REST).await.expect("reads");
        let hours: f64 = rest["IN_TRANSIT"]
            .cells
            .as_flattened()
            .iter()
            .map(|cell| cell.hours)
            .sum();
        assert!((hours - 3_590.0 / 3_600.0).abs() < 1e-9, "{hours}");
        assert_close(&store.learned("CDEK").await.expect("reads"), &learned);
    })
    .await;
}

#[tokio::test]
async fn what_is_forgotten_is_subtracted_once_by_one_worker() {
    on_every_store(async |TestStore { store, .. }| {
        let store = store.learning_by(Sections::new(["CDEK".to_owned(), "OTHER".to_owned()]));
        let mut applier = Applier::new(&store).await;
        for carrier in ["CDEK", "OTHER"] {
            let rows = create(&store, carrier, 1).await;
            let updates = vec![
                seen(rows[0].id, 10, 1, &[("IN_TRANSIT", 1)]),
                seen(
                    rows[0].id,
                    5 * HOUR,
                    2,
                    &[("IN_TRANSIT", 1), ("DELIVERED", HOUR)],
                ),
            ];
            applier.apply(&store, updates).await.expect("applies");
        }
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        lead(&store, one, 0).await.expect("leads");
        let mut learned = store.learned("CDEK").await.expect("reads");
        let untouched = store.learned("OTHER").await.expect("reads");
        let mut found = pricing("CDEK", 1.0);
        found.refitted_at = at(6 * HOUR);
        let sections = ["CDEK".to_owned()];
        let refit = Some((at(0), sections.as_slice()));
        assert!(
            store
                .set_account_plan(&found, one, refit)
                .await
                .expect("writes")
        );
        assert!(
            !store
                .set_account_plan(&found, other, refit)
                .await
                .expect("asks")
        );
        learned.values_mut().for_each(|counts| counts.forget(6.0));
        assert_close(&store.learned("CDEK").await.expect("reads"), &learned);
        assert_close(&store.learned("OTHER").await.expect("reads"), &untouched);
        assert!(hazard::left_after(6.0).1 < 0.95);
    })
    .await;
}

/// Adds and forgets at once, in every order, without a deadlock.
#[tokio::test]
async fn learning_and_forgetting_at_once_never_deadlock() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 40).await;
        let member = Uuid::now_v7();
        lead(&store, member, 0).await.expect("leads");
        let forgetting = {
            let store = store.clone();
            tokio::spawn(async move {
                let sections = [Sections::REST.to_owned()];
                for _ in 0..30 {
                    let refit = Some((at(0), sections.as_slice()));
                    let set = store
                        .set_account_plan(&pricing("CDEK", 1.0), member, refit)
                        .await;
                    assert!(set.expect("writes"));
                }
            })
        };
        let mut learning = Vec::new();
        for (partition, chunk) in rows.chunks(20).enumerate() {
            let (store, chunk) = (store.clone(), chunk.to_vec());
            learning.push(tokio::spawn(async move {
                let partition = i32::try_from(partition).expect("few") + 1;
                let taken = store
                    .take_partition("t", partition, Uuid::now_v7(), at(0))
                    .await;
                let (ownership, mut offset) = taken.expect("takes");
                for round in 1..30_i64 {
                    let updates: Vec<_> = chunk
                        .iter()
                        .map(|row| {
                            let check = u128::from(row.id.unsigned_abs()) * 100 + round as u128;
                            seen(row.id, round * HOUR, check, &[("IN_TRANSIT", 1)])
                        })
                        .collect();
                    let batch = Batch {
                        ownership: ownership.clone(),
                        first_offset: offset,
                        next_offset: offset + 20,
                        updates,
                        dead_letters: Vec::new(),
                    };
                    store
                        .apply(std::slice::from_ref(&batch), at(0), async |_| {})
                        .await
                        .expect("applies");
                    offset += 20;
                }
            }));
        }
        for task in learning {
            task.await.expect("learns");
        }
        forgetting.await.expect("forgets");
        let learned = store.learned(Sections::REST).await.expect("reads");
        let hours: f64 = learned["IN_TRANSIT"]
            .cells
            .as_flattened()
            .iter()
            .map(|cell| cell.hours)
            .sum();
        // 40 parcels over 28 hours. All forgetting is from at(0) to at(0), so it subtracts nothing.
        assert!((hours - 40.0 * 28.0).abs() < 1e-6, "{hours}");
    })
    .await;
}

#[tokio::test]
async fn unreadable_counts_are_skipped_and_an_unreadable_price_is_replaced() {
    on_every_store(async |TestStore { store, url, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let mut applier = Applier::new(&store).await;
        let updates = vec![
            seen(rows[0].id, 10, 1, &[("IN_TRANSIT", 1)]),
            seen(
                rows[0].id,
                9 * HOUR,
                2,
                &[("IN_TRANSIT", 1), ("DELIVERED", HOUR)],
            ),
        ];
        applier.apply(&store, updates).await.expect("applies");
        let member = Uuid::now_v7();
        lead(&store, member, 0).await.expect("leads");
        let database = sea_orm::Database::connect(&url).await.expect("connects");
        for sql in [
            "UPDATE hazard_cells SET hours = -1 WHERE age = 0",
            "UPDATE hazard_leaves SET weights = -5",
            "UPDATE prices SET by_hour = '[1, 2]'",
        ] {
            database.execute_unprepared(sql).await.expect("spoils");
        }
        let learned = store.learned(Sections::REST).await.expect("reads the rest");
        let cells = learned["IN_TRANSIT"].cells.as_flattened();
        assert!(cells.iter().all(|cell| cell.hours >= 0.0));
        let error = store.account_plan("CDEK").await.expect_err("is no price");
        assert_eq!(
            error.to_string(),
            "table prices, row CDEK: by_hour is unreadable: not 24 numbers"
        );
        // The worker that leads replaces it.
        assert!(
            store
                .set_account_plan(&pricing("CDEK", 1.0), member, None)
                .await
                .expect("writes")
        );
        assert_eq!(
            store.account_plan("CDEK").await.expect("reads"),
            Some(pricing("CDEK", 1.0))
        );
    })
    .await;
}
