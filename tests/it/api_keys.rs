//! API keys: found by their hash, changed by their own tenant alone, and never stored.

use sea_orm::ConnectionTrait as _;
use trackbox::model::key::ApiKey;
use trackbox::model::tenant::{Scope, Tenant, TenantCode};
use trackbox::store::Store;
use trackbox::store::api_keys::{KeyRow, NewKey};
use trackbox::store::tenants::TenantEdit;

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

async fn add(store: &Store, tenant: Tenant) -> (ApiKey, KeyRow) {
    let key = ApiKey::generate().expect("has random numbers");
    let new = NewKey {
        tenant,
        key: key.clone(),
        name: "till".to_owned(),
        scope: Scope::Write,
        is_operator: tenant == Tenant::DEFAULT,
        per_second: 10,
        expires_at: Some(at(100)),
    };
    let row = store.add_key(&new, None, at(0)).await.expect("adds");
    (key, row.expect("there is room"))
}

async fn shop(store: &Store) -> Tenant {
    let code = TenantCode::parse("shop").expect("a code");
    let row = store.create_tenant(&code, "Shop", None, None, at(0)).await;
    row.expect("creates").expect("is new").tenant
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_with_what_its_tenant_is() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        let shop = shop(&store).await;
        let (key, row) = add(&store, shop).await;
        let found = store.key_by_hash(&key.hash()).await.expect("looks");
        let found = found.expect("is there");
        assert_eq!((&found.row, found.tenant_is_disabled), (&row, false));
        let code = TenantCode::parse("shop").expect("a code");
        let disabled = store
            .change_tenant(
                &code,
                TenantEdit {
                    disabled: Some(true),
                    ..TenantEdit::default()
                },
                None,
                at(1),
            )
            .await;
        disabled.expect("disables");
        let found = store.key_by_hash(&key.hash()).await.expect("looks");
        assert!(found.expect("is there").tenant_is_disabled);
        let other = ApiKey::generate().expect("has random numbers");
        let none = store.key_by_hash(&other.hash()).await.expect("looks");
        assert_eq!(none, None);
    })
    .await;
}

#[tokio::test]
async fn only_its_own_tenant_lists_changes_and_revokes_a_key() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        let shop = shop(&store).await;
        let (_, own) = add(&store, shop).await;
        let (_, others) = add(&store, Tenant::DEFAULT).await;
        assert_eq!(
            store.keys(shop, None, 10).await.expect("lists"),
            std::slice::from_ref(&own)
        );
        let strange = store.revoke_key(shop, others.id, None, at(1)).await;
        assert_eq!(strange.expect("answers"), None);
        let strange = store.set_key_expiry(shop, others.id, None, None, at(1));
        assert_eq!(strange.await.expect("answers"), None);
        let kept = store.keys(Tenant::DEFAULT, None, 10).await.expect("lists");
        assert_eq!(kept, [others]);

        let changed = store.set_key_expiry(shop, own.id, None, Some(own.id), at(2));
        let changed = changed.await.expect("changes").expect("is there");
        assert_eq!(changed.expires_at, None);
        for secs in [3, 4] {
            let revoked = store.revoke_key(shop, own.id, None, at(secs)).await;
            let revoked = revoked.expect("revokes").expect("is there");
            assert_eq!(revoked.revoked_at, Some(at(3)));
        }
        let late = store.set_key_expiry(shop, own.id, Some(at(9)), None, at(5));
        let late = late.await.expect("answers").expect("is there");
        assert_eq!(late.expires_at, None, "a revoked key stays as it is");
        let acts = store.acts(shop, None, None, 10).await.expect("reads");
        let deeds: Vec<&str> = acts.iter().map(|act| act.deed.as_str()).collect();
        assert_eq!(deeds, ["KEY_REVOKED", "KEY_CHANGED", "KEY_CREATED"]);
        assert_eq!(acts[1].object, format!("key {}", own.id));
    })
    .await;
}

#[tokio::test]
async fn once_there_was_a_key_an_emptied_table_does_not_hide_it() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        assert!(!store.had_a_key().await.expect("looks"));
        add(&store, Tenant::DEFAULT).await;
        assert!(store.had_a_key().await.expect("looks"));
        let judge = sea_orm::Database::connect(&test.url)
            .await
            .expect("connects");
        let emptied = judge.execute_unprepared("DELETE FROM api_keys").await;
        emptied.expect("empties the table");
        judge.close().await.expect("closes");
        let (_, row) = add(&store, Tenant::DEFAULT).await;
        let revoked = store.revoke_key(Tenant::DEFAULT, row.id, None, at(1)).await;
        revoked.expect("revokes");
        assert!(store.had_a_key().await.expect("looks"));
    })
    .await;
}

#[tokio::test]
async fn the_time_of_the_last_use_never_goes_back() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        let (_, first) = add(&store, Tenant::DEFAULT).await;
        let (_, second) = add(&store, Tenant::DEFAULT).await;
        let uses = [(first.id, at(60)), (second.id, at(70))];
        store.note_key_uses(&uses).await.expect("notes");
        let uses = [(first.id, at(10)), (second.id, at(80)), (4_711, at(1))];
        store.note_key_uses(&uses).await.expect("notes");
        store.note_key_uses(&[]).await.expect("notes nothing");
        let keys = store.keys(Tenant::DEFAULT, None, 10).await.expect("lists");
        let used: Vec<_> = keys.iter().map(|row| row.last_used_at).collect();
        assert_eq!(used, [Some(at(80)), Some(at(60))]);
    })
    .await;
}
