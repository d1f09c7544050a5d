//! What every store promises of applying a batch: it takes effect once and whole, with the same end in any order.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use trackbox::model::Update;
use trackbox::model::facts::Facts;
use trackbox::model::status::Status;
use trackbox::store::error::StoreError;
use trackbox::store::updates::Batch;
use uuid::Uuid;

use crate::support::fixture::{Applier, TOPIC, TestStore, create, events, on_every_store, read};
use crate::support::messages::{event, message, seen};
use crate::support::time::at;

#[tokio::test]
async fn a_batch_takes_effect_exactly_once() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 500).await;
        let mut applier = Applier::new(&store).await;
        let journey = [("IN_TRANSIT", 1), ("OUT_FOR_DELIVERY", 2), ("DELIVERED", 3)];
        let updates: Vec<_> = rows
            .iter()
            .map(|row| seen(row.id, 5, 1, &journey))
            .collect();
        let before = applier.offset;
        let applied = applier
            .apply(&store, updates.clone())
            .await
            .expect("applies");
        assert_eq!((applied.changes.len(), applied.events_new), (500, 1_500));
        let after = applier.offset;
        applier.offset = before;
        let replayed = applier.apply(&store, updates.clone()).await;
        assert!(
            matches!(replayed, Err(StoreError::OffsetMoved { .. })),
            "{replayed:?}"
        );
        applier.offset = after;
        let repeated = applier.apply(&store, updates).await.expect("applies");
        assert_eq!(
            (
                repeated.changes.len(),
                repeated.events_new,
                repeated.without_effect
            ),
            (0, 0, 500)
        );
        let row = read(&store, rows[7].id).await;
        assert_eq!(
            (row.status, row.version, row.active),
            (Status::Delivered, 2, false)
        );
        let events = events(&store, rows[7].id).await;
        let statuses: Vec<Status> = events.iter().map(|event| event.event.status).collect();
        assert_eq!(
            statuses,
            [Status::Delivered, Status::OutForDelivery, Status::InTransit]
        );
    })
    .await;
}

#[tokio::test]
async fn only_the_newest_owner_of_a_partition_applies() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let mut old = Applier::new(&store).await;
        let mut new = Applier::new(&store).await;
        let late = old
            .apply(&store, vec![seen(rows[0].id, 5, 1, &[("DELIVERED", 1)])])
            .await;
        assert!(matches!(late, Err(StoreError::OffsetMoved { .. })));
        assert_eq!(read(&store, rows[0].id).await.status, Status::Unknown);
        new.apply(&store, vec![seen(rows[0].id, 5, 1, &[("DELIVERED", 1)])])
            .await
            .expect("applies");
        assert_eq!(read(&store, rows[0].id).await.status, Status::Delivered);
    })
    .await;
}

#[tokio::test]
async fn an_update_of_an_unknown_tracking_is_skipped_and_counted() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let mut applier = Applier::new(&store).await;
        let updates = vec![
            seen(999_999, 5, 1, &[("DELIVERED", 1)]),
            seen(rows[0].id, 5, 1, &[("DELIVERED", 1)]),
        ];
        let applied = applier.apply(&store, updates).await.expect("applies");
        assert_eq!((applied.unknown_trackings, applied.changes.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn the_fence_is_raised_before_the_change_is_visible() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let applier = Applier::new(&store).await;
        let batch = applier.batch(vec![seen(rows[0].id, 5, 1, &[("DELIVERED", 1)])]);
        let reader = store.clone();
        let id = rows[0].id;
        store
            .apply(std::slice::from_ref(&batch), at(6), async |changes| {
                assert_eq!((changes[0].new.id, changes[0].new.version), (id, 2));
                assert_eq!(read(&reader, id).await.version, 1);
            })
            .await
            .expect("applies");
        assert_eq!(read(&store, id).await.version, 2);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_changes_nothing_is_neither_a_status_nor_an_unmapped_code() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let mut applier = Applier::new(&store).await;
        let keeps = |secs: i64| {
            let mut event = event("UNKNOWN", "a date was updated", secs);
            event["own_status"] = serde_json::json!("PENDING");
            event
        };
        let told = |check: u128, events: &[serde_json::Value]| {
            message(&serde_json::json!({
                "tracking_id": rows[0].id, "checked_at": at(60), "status": "IN_TRANSIT", "status_raw": "IN_TRANSIT",
                "check_id": Uuid::from_u128(check), "mapping_version": 1, "events": events,
            }))
        };
        let scan = event("IN_TRANSIT", "IN_TRANSIT", 2);
        let events_told = [keeps(1), scan, keeps(3)];
        applier.apply(&store, vec![told(1, &events_told)]).await.expect("applies");
        let row = read(&store, rows[0].id).await;
        assert_eq!((row.status, row.status_raw.as_str()), (Status::InTransit, "IN_TRANSIT"));
        let kept = events(&store, rows[0].id).await;
        let mut shown: Vec<Status> = kept.iter().map(|kept| kept.event.status).collect();
        shown.sort();
        assert_eq!(shown, [Status::Unknown, Status::InTransit, Status::InTransit]);
        assert_eq!(store.unmapped(10).await.expect("reports"), []);
    })
    .await;
}

#[tokio::test]
async fn only_a_newer_mapping_updates_the_status_of_an_event() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 1).await;
        let mut applier = Applier::new(&store).await;
        let mapped = |version: i32, status: &str, check: u128| {
            message(&serde_json::json!({
                "tracking_id": rows[0].id, "checked_at": at(i64::from(version)), "status": status, "status_raw": "77",
                "check_id": Uuid::from_u128(check), "mapping_version": version, "events": [event(status, "77", 1)],
            }))
        };
        applier.apply(&store, vec![mapped(1, "UNKNOWN", 1)]).await.expect("applies");
        let unmapped = store.unmapped(10).await.expect("reports");
        assert_eq!((unmapped[0].status_raw.as_str(), unmapped[0].count), ("77", 1));
        applier.apply(&store, vec![mapped(3, "EXCEPTION", 2)]).await.expect("applies");
        applier.apply(&store, vec![mapped(2, "IN_TRANSIT", 3)]).await.expect("applies");
        let events = events(&store, rows[0].id).await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event.status, Status::Exception);
        assert_eq!(store.unmapped(10).await.expect("reports"), []);
    })
    .await;
}

#[tokio::test]
async fn a_batch_at_a_wrong_offset_is_refused_with_its_partition() {
    on_every_store(async |TestStore { store, .. }| {
        let mut applier = Applier::new(&store).await;
        applier.offset = 17;
        let error = applier
            .apply(&store, Vec::new())
            .await
            .expect_err("is refused");
        assert_eq!(
            error.to_string(),
            format!("one of the partitions [0] of {TOPIC} has another owner or offset by now")
        );
    })
    .await;
}

#[tokio::test]
async fn batches_of_several_partitions_take_effect_together_or_not_at_all() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 3).await;
        let mut batches = Vec::new();
        for (partition, row) in (0..).zip(&rows) {
            let taken = store.take_partition(TOPIC, partition, Uuid::now_v7(), at(0));
            let (ownership, offset) = taken.await.expect("takes the partition");
            batches.push(Batch {
                ownership,
                first_offset: offset,
                next_offset: offset + 1,
                updates: vec![seen(row.id, 5, 1, &[("DELIVERED", 1)])],
                dead_letters: Vec::new(),
            });
        }
        // One of them has moved meanwhile.
        let moved = &batches[1..2];
        let alone = store.apply(moved, at(500), async |_| {}).await;
        assert_eq!(alone.expect("applies").changes.len(), 1);
        let together = store.apply(&batches, at(500), async |_| {}).await;
        assert!(
            matches!(&together, Err(StoreError::OffsetMoved { partitions, .. }) if *partitions == [0, 1, 2]),
            "{together:?}"
        );
        let status = async |place: usize| read(&store, rows[place].id).await.status;
        assert_eq!(
            [status(0).await, status(1).await, status(2).await],
            [Status::Unknown, Status::Delivered, Status::Unknown]
        );
        batches.remove(1);
        let applied = store.apply(&batches, at(500), async |_| {}).await;
        let applied = applied.expect("applies");
        assert_eq!((applied.changes.len(), applied.events_new), (2, 2));
        let again = store.apply(&batches, at(500), async |_| {}).await;
        assert!(matches!(again, Err(StoreError::OffsetMoved { .. })));
    })
    .await;
}

/// The same twelve checks in random orders, repetitions and batches.
#[tokio::test]
async fn every_order_repetition_and_batching_ends_in_the_same_state() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 12).await;
        let mut applier = Applier::new(&store).await;
        let mut ends = Vec::new();
        for (round, row) in rows.iter().enumerate() {
            let mut chance = StdRng::seed_from_u64(round as u64);
            let words = [
                "INFO_RECEIVED",
                "IN_TRANSIT",
                "OUT_FOR_DELIVERY",
                "DELIVERED",
            ];
            let mut updates: Vec<_> = (1..=12_u128)
                .map(|n| {
                    let secs = i64::try_from(n / 2).expect("small");
                    let last = words[usize::try_from(n).expect("small") % words.len()];
                    let pieces = u32::try_from(n).expect("small");
                    Update {
                        facts: (n % 3 == 0).then(|| Facts {
                            pieces: Some(pieces),
                            ..Facts::default()
                        }),
                        ..seen(row.id, secs, n, &[("IN_TRANSIT", 0), (last, secs)])
                    }
                })
                .collect();
            let repeated: Vec<_> = (0..8)
                .filter_map(|_| updates.choose(&mut chance).cloned())
                .collect();
            updates.extend(repeated);
            updates.shuffle(&mut chance);
            for batch in updates.chunks(1 + round % 5) {
                applier
                    .apply(&store, batch.to_vec())
                    .await
                    .expect("applies");
            }
            let end = read(&store, row.id).await;
            let events = events(&store, row.id).await;
            let mut events: Vec<_> = events.into_iter().map(|event| event.event).collect();
            events.sort_by_key(|event| (event.event_time, event.status_raw.clone()));
            ends.push((
                end.status,
                end.status_at,
                end.last_checked_at,
                end.next_check_at,
                end.active,
                end.facts,
                events,
            ));
        }
        for end in &ends {
            assert_eq!(end, &ends[0]);
        }
    })
    .await;
}
