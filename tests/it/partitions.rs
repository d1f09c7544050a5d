//! What every store promises consumers that share the partitions of a topic.

use trackbox::clock::Time;
use trackbox::store::Store;
use trackbox::store::error::StoreError;
use trackbox::store::partitions::Ownership;
use trackbox::store::updates::Batch;
use uuid::Uuid;

use crate::support::fixture::{TOPIC, TestStore, on_every_store};
use crate::support::time::at;

const PARTITIONS: usize = 5;

fn member(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

async fn store_with_partitions(store: &Store) {
    let all: Vec<i32> = (0..5).collect();
    for _ in 0..2 {
        store
            .add_partitions(TOPIC, &all, at(0))
            .await
            .expect("adds");
    }
}

async fn acquire(
    store: &Store,
    who: u128,
    limit: usize,
    now: Time,
    until: Time,
) -> Vec<(Ownership, i64)> {
    store
        .acquire_partitions(TOPIC, member(who), limit, PARTITIONS, until, now)
        .await
        .expect("acquires")
}

async fn renew(
    store: &Store,
    who: u128,
    ends: &[(i32, i64)],
    until: Time,
) -> Vec<(Ownership, i64)> {
    let renewed = store.renew_partitions(TOPIC, member(who), ends, until);
    renewed.await.expect("renews")
}

fn numbers(owned: &[(Ownership, i64)]) -> Vec<i32> {
    owned.iter().map(|(o, _)| o.partition).collect()
}

/// An empty batch that moves the offset from `first` to `next`.
fn moving(ownership: &Ownership, first: i64, next: i64) -> Batch {
    Batch {
        ownership: ownership.clone(),
        first_offset: first,
        next_offset: next,
        updates: Vec::new(),
        dead_letters: Vec::new(),
    }
}

#[tokio::test]
async fn a_partition_has_one_owner_until_its_lease_ends() {
    on_every_store(async |TestStore { store, .. }| {
        store_with_partitions(&store).await;
        let first = acquire(&store, 1, 3, at(0), at(10)).await;
        assert_eq!(numbers(&first), [0, 1, 2]);
        let second = acquire(&store, 2, 5, at(0), at(20)).await;
        assert_eq!(numbers(&second), [3, 4], "only what is free");
        assert_eq!(acquire(&store, 2, 5, at(10), at(20)).await, []);
        let after = acquire(&store, 2, 5, at(11), at(20)).await;
        assert_eq!(numbers(&after), [0, 1, 2]);
        assert!(after.iter().all(|(o, _)| o.epoch == first[0].0.epoch + 1));
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_missed_the_loss_of_its_partition_changes_nothing() {
    on_every_store(async |TestStore { store, .. }| {
        store_with_partitions(&store).await;
        let zombie = acquire(&store, 1, 1, at(0), at(10)).await.remove(0).0;
        let batch = moving(&zombie, 0, 7);
        store
            .apply(std::slice::from_ref(&batch), at(1), async |_| {})
            .await
            .expect("owns it");
        let (owner, next_offset) = acquire(&store, 2, 1, at(11), at(20)).await.remove(0);
        assert_eq!(next_offset, 7, "it goes on where the other one stopped");
        let late = store
            .apply(&[moving(&zombie, 7, 9)], at(12), async |_| {})
            .await;
        assert!(
            matches!(late, Err(StoreError::OffsetMoved { .. })),
            "{late:?}"
        );
        assert_eq!(renew(&store, 1, &[(0, 50)], at(90)).await, []);
        store
            .apply(&[moving(&owner, 7, 8)], at(12), async |_| {})
            .await
            .expect("owns it");
        let state = &store.partition_states(TOPIC).await.expect("reads")[0];
        assert_eq!((state.owner, state.next_offset), (Some(member(2)), 8));
        assert_eq!(state.lease_until, Some(at(20)));
        assert_eq!(state.high_watermark, None);
    })
    .await;
}

#[tokio::test]
async fn an_expired_lease_that_was_not_taken_is_renewed_in_its_epoch() {
    on_every_store(async |TestStore { store, .. }| {
        store_with_partitions(&store).await;
        let mine = acquire(&store, 1, 2, at(0), at(10)).await;
        assert_eq!(renew(&store, 1, &[], at(40)).await, mine);
        let others = acquire(&store, 2, 5, at(30), at(50)).await;
        assert_eq!(numbers(&others), [2, 3, 4]);
    })
    .await;
}

#[tokio::test]
async fn a_renewal_stores_the_ends_of_the_log_that_it_knows() {
    on_every_store(async |TestStore { store, .. }| {
        store_with_partitions(&store).await;
        acquire(&store, 1, 2, at(0), at(10)).await;
        for known in [&[(1, 42)][..], &[]] {
            assert_eq!(renew(&store, 1, known, at(40)).await.len(), 2);
            let states = store.partition_states(TOPIC).await.expect("reads");
            let ends: Vec<_> = states.iter().map(|s| s.high_watermark).collect();
            assert_eq!(ends, [None, Some(42), None, None, None]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_partition_released_by_its_owner_is_free_at_once() {
    on_every_store(async |TestStore { store, .. }| {
        store_with_partitions(&store).await;
        let old = acquire(&store, 1, 5, at(0), at(10)).await;
        let (zombie, rest) = (old[0].0.clone(), &old[1..3]);
        let rest: Vec<Ownership> = rest.iter().map(|(o, _)| o.clone()).collect();
        store.release_partitions(&rest).await.expect("releases");
        let taken = acquire(&store, 2, 5, at(1), at(10)).await;
        assert_eq!(numbers(&taken), [1, 2]);
        store.release_partitions(&rest).await.expect("is too late");
        store.release_partitions(&[]).await.expect("is nothing");
        assert_eq!(acquire(&store, 3, 5, at(1), at(10)).await, []);
        store
            .release_partitions(&[Ownership {
                epoch: 99,
                ..zombie
            }])
            .await
            .expect("is another epoch");
        assert_eq!(acquire(&store, 3, 5, at(1), at(10)).await, []);
    })
    .await;
}

#[tokio::test]
async fn a_member_is_seen_by_all_until_its_heartbeats_stop() {
    on_every_store(async |TestStore { store, .. }| {
        let keep = async |who: u128, now: i64| {
            store
                .keep_member(member(who), at(now + 10), at(now))
                .await
                .expect("keeps")
        };
        assert_eq!(keep(2, 0).await, [member(2)]);
        assert_eq!(keep(1, 2).await, [member(1), member(2)]);
        assert_eq!(keep(1, 10).await, [member(1), member(2)]);
        assert_eq!(keep(1, 11).await, [member(1)]);
        assert_eq!(keep(2, 12).await, [member(1), member(2)]);
        store.leave(member(1)).await.expect("leaves");
        assert_eq!(keep(2, 13).await, [member(2)]);
    })
    .await;
}

#[tokio::test]
async fn a_hundred_consumers_at_once_never_acquire_the_same_partition() {
    on_every_store(async |TestStore { store, .. }| {
        let all: Vec<i32> = (0..50).collect();
        store
            .add_partitions(TOPIC, &all, at(0))
            .await
            .expect("adds");
        let asks = (0..100_u128).map(|who| {
            let store = store.clone();
            async move {
                store
                    .acquire_partitions(TOPIC, member(who), 3, 50, at(10), at(0))
                    .await
                    .expect("acquires")
            }
        });
        let got = futures_util::future::join_all(asks).await;
        let mut taken: Vec<i32> = got.iter().flat_map(|owned| numbers(owned)).collect();
        let count = taken.len();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), count, "one owner each");
        let rest = store
            .acquire_partitions(TOPIC, member(200), 50, 50, at(10), at(0))
            .await
            .expect("acquires");
        assert_eq!(count + rest.len(), 50);
    })
    .await;
}
