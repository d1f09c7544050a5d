//! Tenants are made once, and disabled and enabled again.

use trackbox::model::tenant::{Tenant, TenantCode};
use trackbox::store::tenants::TenantEdit;

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

#[tokio::test]
async fn a_tenant_is_made_once_and_the_default_one_is_there_from_the_start() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        let code = |text: &str| TenantCode::parse(text).expect("a code");
        let shop = code("shop");
        let first = store
            .create_tenant(&shop, "Мой магазин", None, None, at(1))
            .await;
        let first = first.expect("creates").expect("is new");
        assert_ne!(first.tenant, Tenant::DEFAULT);
        for taken in [shop, code("default")] {
            let again = store
                .create_tenant(&taken, "Another", None, None, at(2))
                .await;
            assert_eq!(again.expect("answers"), None);
        }

        let all = store.tenants(None, 10).await.expect("lists");
        let codes: Vec<&str> = all.iter().map(|row| row.code.as_str()).collect();
        assert_eq!(codes, ["default", "shop"]);
        assert_eq!((all[0].tenant, &all[1]), (Tenant::DEFAULT, &first));
        let after = store.tenants(Some(1), 10).await.expect("lists");
        assert_eq!(after, [first]);
    })
    .await;
}

#[tokio::test]
async fn disabling_twice_keeps_the_first_time_and_is_noted_once() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        let code = TenantCode::parse("shop").expect("a code");
        let made = store.create_tenant(&code, "Shop", None, None, at(0)).await;
        made.expect("creates").expect("is new");
        for (is_disabled, secs, since) in [
            (true, 1, Some(at(1))),
            (true, 2, Some(at(1))),
            (false, 3, None),
            (false, 4, None),
        ] {
            let row = store.change_tenant(
                &code,
                TenantEdit {
                    disabled: Some(is_disabled),
                    ..TenantEdit::default()
                },
                Some(9),
                at(secs),
            );
            let row = row.await.expect("changes").expect("is there");
            assert_eq!(row.disabled_at, since);
        }
        let acts = store.acts(Tenant::DEFAULT, None, None, 10).await;
        let acts = acts.expect("reads");
        let deeds: Vec<&str> = acts.iter().map(|act| act.deed.as_str()).collect();
        assert_eq!(
            deeds,
            ["TENANT_ENABLED", "TENANT_DISABLED", "TENANT_CREATED"]
        );
        assert_eq!(acts[0].key, Some(9));
        let nobody = TenantCode::parse("nobody").expect("a code");
        let none = store
            .change_tenant(
                &nobody,
                TenantEdit {
                    disabled: Some(true),
                    ..TenantEdit::default()
                },
                None,
                at(5),
            )
            .await;
        assert_eq!(none.expect("answers"), None);
    })
    .await;
}

#[tokio::test]
async fn a_weight_is_one_at_first_and_noted_when_it_changes() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        let code = TenantCode::parse("shop").expect("a code");
        let made = store.create_tenant(&code, "Shop", None, None, at(0)).await;
        assert_eq!(made.expect("creates").expect("is new").weight, 1);
        let weigh = |weight| TenantEdit {
            weight: Some(weight),
            ..TenantEdit::default()
        };
        for weight in [3, 3, 1_000] {
            let row = store.change_tenant(&code, weigh(weight), Some(9), at(1));
            assert_eq!(
                row.await.expect("changes").expect("is there").weight,
                weight
            );
        }
        let acts = store.acts(Tenant::DEFAULT, None, None, 10).await;
        let acts = acts.expect("reads");
        let deeds: Vec<&str> = acts.iter().map(|act| act.deed.as_str()).collect();
        assert_eq!(
            deeds,
            ["TENANT_WEIGHTED", "TENANT_WEIGHTED", "TENANT_CREATED"]
        );
        let nobody = TenantCode::parse("nobody").expect("a code");
        let none = store.change_tenant(&nobody, weigh(2), None, at(5)).await;
        assert_eq!(none.expect("answers"), None);
    })
    .await;
}
