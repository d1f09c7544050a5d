//! The consumer's chores, and what the program before owners left.

use trackbox::model::parcel::Edit;
use trackbox::model::tenant::Tenant;
use trackbox::store::feed::Kind;

use crate::owners::{counts, execute, have, kinds, no_cache, texts, told};
use crate::support::fixture::{Applier, TestStore, create, on_every_store};
use crate::support::messages::seen;
use crate::support::time::at;

/// The chores: what was left by the program before is adopted, what nobody has is deleted, old changes end.
#[tokio::test]
async fn chores_adopt_forget_and_prune_in_steps() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let rows = create(store, "CDEK", 5).await;
        execute(
            &test,
            &[
                "DELETE FROM parcels",
                "DELETE FROM parcel_counts",
                "UPDATE trackings SET owners = -1",
            ],
        )
        .await;
        assert_eq!(store.to_adopt(3).await.expect("counts"), 3);
        assert_eq!(store.adopt_some().await.expect("adopts"), 5);
        assert_eq!(store.adopt_some().await.expect("adopts"), 0);
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        store
            .remove(Tenant::DEFAULT, &ids[..2], at(50), no_cache)
            .await
            .expect("removes");
        have(store, Tenant::from_row(2), "N1", at(60)).await;
        let mut consumer = Applier::new(store).await;
        consumer
            .apply(store, vec![seen(ids[0], 5, 1, &[("3", 0)])])
            .await
            .expect("applies");
        assert_eq!(
            store.forget_some().await.expect("forgets"),
            1,
            "the other one has a new owner"
        );
        assert_eq!(store.forget_some().await.expect("forgets"), 0);
        let left: Vec<i64> = store
            .trackings_after(0, 10)
            .await
            .expect("reads")
            .iter()
            .map(|row| row.id)
            .collect();
        assert_eq!(left, ids[1..]);
        let late = consumer
            .apply(store, vec![seen(ids[0], 6, 2, &[("3", 0)])])
            .await
            .expect("applies");
        assert_eq!(late.unknown_trackings, 1);
        let all = store
            .changes(Tenant::DEFAULT, None, 100)
            .await
            .expect("reads");
        let middle = store
            .changes(Tenant::DEFAULT, None, 3)
            .await
            .expect("reads")
            .next;
        assert_eq!(
            store.prune_changes(at(40)).await.expect("prunes"),
            6,
            "five changes, and the head moves"
        );
        let left = store
            .changes(Tenant::DEFAULT, None, 100)
            .await
            .expect("reads");
        assert_eq!(
            kinds(&left.changes),
            [(Kind::Removed, 0), (Kind::Removed, 0)]
        );
        assert!(
            store
                .changes(Tenant::DEFAULT, Some(middle), 10)
                .await
                .is_err(),
            "it is not kept any more"
        );
        let rest = store
            .changes(Tenant::DEFAULT, Some(all.next), 10)
            .await
            .expect("goes on");
        assert!(rest.changes.is_empty() && !rest.more);
        store.count_day(20_000).await.expect("counts");
        store.count_day(20_000).await.expect("counts again");
        let day = texts(
            &test,
            "SELECT carrier_code || CAST(n AS TEXT) FROM parcel_counts_daily WHERE tenant_id = 1",
        )
        .await;
        assert_eq!(day, ["CDEK3"]);
        let (kept, counted) = counts(&test).await;
        assert_eq!(kept, counted);
    })
    .await;
}

#[tokio::test]
async fn finished_parcels_are_found_by_their_age() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let rows = create(store, "CDEK", 3).await;
        let mut consumer = Applier::new(store).await;
        consumer
            .apply(store, vec![seen(rows[0].id, 5, 1, &[("DELIVERED", 0)])])
            .await
            .expect("applies");
        assert_eq!(store.finished_parcels(at(500)).await.expect("reads"), None);
        let found = store.finished_parcels(at(501)).await.expect("reads");
        assert_eq!(found, Some((Tenant::DEFAULT, vec![rows[0].id])));
    })
    .await;
}

/// What the program before owners left: the default tenant's, from the first moment.
#[tokio::test]
async fn trackings_from_before_are_the_default_tenants_and_are_adopted_when_touched() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let rows = create(store, "CDEK", 3).await;
        execute(
            &test,
            &[
                "DELETE FROM parcels",
                "DELETE FROM changes",
                "DELETE FROM feed_heads",
                "DELETE FROM parcel_counts",
                "UPDATE trackings SET owners = -1",
            ],
        )
        .await;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let stranger = Tenant::from_row(2);
        for id in &ids {
            assert!(store.owns(Tenant::DEFAULT, *id).await.expect("reads"));
            assert!(!store.owns(stranger, *id).await.expect("reads"));
        }
        let mut consumer = Applier::new(store).await;
        consumer
            .apply(store, vec![seen(ids[0], 5, 1, &[("3", 0)])])
            .await
            .expect("applies");
        have(store, stranger, "N1", at(10)).await;
        let edit = Edit {
            title: Some(Some("x".to_owned())),
            ..Edit::default()
        };
        store
            .edit(Tenant::DEFAULT, &ids[2..], &edit, at(10), no_cache)
            .await
            .expect("edits");
        assert_eq!(
            kinds(&told(store, Tenant::DEFAULT).await),
            [(Kind::Updated, 1), (Kind::Edited, 0)]
        );
        assert_eq!(kinds(&told(store, stranger).await), [(Kind::Created, 0)]);
        let owners = texts(
            &test,
            "SELECT CAST(owners AS TEXT) FROM trackings ORDER BY id",
        )
        .await;
        assert_eq!(owners, ["1", "2", "1"]);
        let (kept, counted) = counts(&test).await;
        assert_eq!(kept, counted);
    })
    .await;
}
