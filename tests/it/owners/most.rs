//! A tenant that may have so many parcels has no more, however many requests come at once.

use std::sync::Arc;

use tokio::task::JoinSet;
use trackbox::model::parcel::Edit;
use trackbox::model::tenant::{Tenant, TenantCode};
use trackbox::store::WholeStore;
use trackbox::store::creating::{Creation, OnExisting, Wish};
use trackbox::store::tenants::TenantEdit;

use super::{counts, no_cache};
use crate::support::fixture::{TestStore, code, number, on_every_store};
use crate::support::time::at;

async fn limited(store: &WholeStore, parcels_max: Option<u32>) {
    let edit = TenantEdit {
        parcels_max: Some(parcels_max),
        ..TenantEdit::default()
    };
    let code = TenantCode::default();
    let changed = store.change_tenant(&code, edit, None, at(0));
    let row = changed.await.expect("changes").expect("is there");
    assert_eq!(row.parcels_max, parcels_max);
}

async fn create(store: &WholeStore, names: &[String]) -> Creation {
    let wishes = names.iter().map(|name| Wish {
        pair: (code("CDEK"), number(name)),
        edit: Edit::default(),
    });
    let wishes: Vec<Wish> = wishes.collect();
    let keep = OnExisting::Keep;
    let creating = store.create(Tenant::DEFAULT, &wishes, keep, None, at(1), no_cache);
    creating.await.expect("answers")
}

/// Of each wish, whether the tenant has it now.
fn fit(creation: &Creation) -> Vec<bool> {
    let made = creation.made.iter();
    made.map(|made| matches!(made, Some(Ok(_)))).collect()
}

fn names(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{of}{n}")).collect()
}

#[tokio::test]
async fn what_is_beyond_the_most_is_refused_by_its_place_and_nothing_is_done() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        limited(store, Some(3)).await;
        assert_eq!(fit(&create(store, &names("A", 2)).await), [true; 2]);
        // A known one and a repeated one take no room.
        let wished = ["A1", "B0", "B0", "B1", "A0"].map(str::to_owned);
        let refused = create(store, &wished).await;
        assert_eq!(fit(&refused), [true, true, true, false, true]);
        let why = refused.made[3].clone().expect("has an answer");
        let (field, detail) = why.expect_err("is refused");
        assert_eq!(field, "");
        assert!(detail.contains("at most 3 parcels and has 2"), "{detail}");
        let rows = store.trackings_after(0, 10).await.expect("reads");
        assert_eq!(rows.len(), 2, "nothing was done");
        assert_eq!(fit(&create(store, &wished[..3]).await), [true; 3]);
        // What it has beyond a lower limit stays, and a lifted one holds no more.
        limited(store, Some(1)).await;
        assert_eq!(
            fit(&create(store, &names("A", 3)).await),
            [true, true, false]
        );
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let removed = store.remove(Tenant::DEFAULT, &ids, at(2), no_cache).await;
        removed.expect("removes");
        assert_eq!(fit(&create(store, &names("C", 1)).await), [false]);
        limited(store, None).await;
        assert_eq!(fit(&create(store, &names("C", 9)).await), [true; 9]);
    })
    .await;
}

#[tokio::test]
async fn twenty_requests_at_once_do_not_pass_the_most() {
    on_every_store(async |test: TestStore| {
        limited(&test.store, Some(50)).await;
        let store = Arc::new(test.store.clone());
        let mut requests = JoinSet::new();
        for request in 0..20 {
            let store = Arc::clone(&store);
            requests.spawn(async move {
                // As a client that takes what fits, and tries again without the rest.
                let mut names = names(&format!("R{request}-"), 7);
                loop {
                    let fits = fit(&create(&store, &names).await);
                    let mut fits = fits.into_iter();
                    let before = names.len();
                    names.retain(|_| fits.next().unwrap_or(false));
                    if names.len() == before || names.is_empty() {
                        return names.len();
                    }
                }
            });
        }
        let made: usize = requests.join_all().await.into_iter().sum();
        assert_eq!(made, 50, "all room is used, and no more");
        let rows = test.store.trackings_after(0, 1_000).await.expect("reads");
        assert_eq!(rows.len(), 50);
        let (kept, true_ones) = counts(&test).await;
        assert_eq!(kept, true_ones);
    })
    .await;
}
