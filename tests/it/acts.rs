//! The log of acts: each tenant reads its own, also by parcel, for 90 days.

use trackbox::model::act::{Act, Deed};
use trackbox::model::tenant::{Tenant, TenantCode};
use trackbox::store::acts::ACTS_KEPT;

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

#[tokio::test]
async fn acts_are_read_by_tenant_and_by_parcel_and_end_after_90_days() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        let code = TenantCode::parse("shop").expect("a code");
        let shop = store.create_tenant(&code, "Shop", None, None, at(0)).await;
        let shop = shop.expect("creates").expect("is new").tenant;
        for (secs, tenant, tracking) in [
            (1, Tenant::DEFAULT, None),
            (2, shop, Some(7)),
            (3, Tenant::DEFAULT, Some(7)),
        ] {
            let act = Act {
                tenant,
                key: Some(5),
                deed: Deed::PauseLifted,
                object: "carrier ДПД".to_owned(),
                tracking,
            };
            store.note_act(&act, at(secs)).await.expect("notes");
        }
        let read = async |tenant, tracking, before| -> Vec<(String, i64)> {
            let acts = store
                .acts(tenant, tracking, before, 10)
                .await
                .expect("reads");
            let shown = acts.into_iter();
            shown
                .map(|act| {
                    (
                        format!("{} {}", act.deed, act.object),
                        (act.at - at(0)).num_seconds(),
                    )
                })
                .collect()
        };
        let lifted = || "PAUSE_LIFTED carrier ДПД".to_owned();
        let created = ("TENANT_CREATED tenant shop".to_owned(), 0);
        let all = [(lifted(), 3), (lifted(), 1), created.clone()];
        assert_eq!(read(Tenant::DEFAULT, None, None).await, all);
        assert_eq!(read(shop, None, None).await, [(lifted(), 2)]);
        assert_eq!(read(Tenant::DEFAULT, Some(7), None).await, [(lifted(), 3)]);
        assert_eq!(read(Tenant::DEFAULT, Some(8), None).await, []);
        let newest = store.acts(Tenant::DEFAULT, None, None, 1).await;
        let newest = newest.expect("reads")[0].clone();
        assert_eq!((newest.key, newest.tracking), (Some(5), Some(7)));
        let older = read(Tenant::DEFAULT, None, Some(newest.id)).await;
        assert_eq!(older, [(lifted(), 1), created]);

        assert_eq!(
            store.prune_acts(at(0) + ACTS_KEPT).await.expect("prunes"),
            0
        );
        assert_eq!(
            store.prune_acts(at(2) + ACTS_KEPT).await.expect("prunes"),
            2
        );
        assert_eq!(read(Tenant::DEFAULT, None, None).await, [(lifted(), 3)]);
    })
    .await;
}
