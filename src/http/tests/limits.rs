//! Limits of a tenant or a client leave the others theirs.

use axum::http::header;
use serde_json::{Value, json};

use crate::http::tests::Api;
use crate::http::tests::access::{call, key, shop};
use crate::model::fixture::at;
use crate::model::tenant::{Scope, Tenant};
use crate::model::{CarrierCode, TrackNumber};

async fn limited() -> Api {
    Api::with(|config| {
        config.http.listen = "0.0.0.0:8080".parse().expect("an address");
        config.http.refreshes_per_minute = 3;
        config.http.flood_per_second = 1;
        config.http.flood_burst = 8;
    })
    .await
}

async fn parcel(api: &Api, tenant: Tenant, number: &str) -> String {
    let code = CarrierCode::parse("CDEK").expect("a code");
    let pairs = [(code, TrackNumber::parse(number).expect("a number"))];
    let making = api.serve.current.create_or_get(tenant, &pairs, at(0));
    let id = making.await.expect("creates")[0].id;
    format!("/trackings/{id}/refresh")
}

#[tokio::test]
async fn a_tenant_that_has_used_up_its_refreshes_leaves_the_others_theirs() {
    let api = limited().await;
    let shop = shop(&api).await;
    let (own, other) = (Tenant::DEFAULT, shop);
    let writes = [
        key(&api, own, Scope::Write, false).await,
        key(&api, other, Scope::Write, false).await,
    ];
    let paths = [
        parcel(&api, own, "A1").await,
        parcel(&api, other, "B1").await,
    ];
    let refresh =
        async |place: usize| call(&api, "post", &paths[place], &writes[place], &Value::Null).await;
    for _ in 0..3 {
        refresh(0).await.ok();
    }
    let refused = refresh(0).await;
    let wait = refused.headers[header::RETRY_AFTER]
        .to_str()
        .expect("is text");
    assert!((1..=20).contains(&wait.parse::<u64>().expect("a number")));
    let detail = refused.problem(429);
    assert!(
        detail.contains("this tenant refreshes more than 3 parcels a minute"),
        "{detail}"
    );
    refresh(1).await.ok();
    call(&api, "get", "/trackings", &writes[0], &Value::Null)
        .await
        .ok();
}

#[tokio::test]
async fn a_key_that_floods_uses_up_neither_anothers_requests_nor_those_without_one() {
    let api = limited().await;
    let shop = shop(&api).await;
    let floods = key(&api, Tenant::DEFAULT, Scope::Read, false).await;
    let calm = key(&api, shop, Scope::Read, false).await;
    let get = async |key: &str| call(&api, "get", "/trackings", key, &Value::Null).await;
    // All come from one address, as behind a proxy.
    let mut answered = 0;
    while get(&floods).await.status == 200 {
        answered += 1;
        assert!(answered < 100, "it is never refused");
    }
    assert!(answered >= 8, "{answered}");
    get(&floods).await.problem(429);
    for _ in 0..5 {
        get(&calm).await.ok();
    }
    get("").await.problem(401);
    get("Bearer nonsense").await.problem(401);
}

#[tokio::test]
async fn an_operator_sets_what_a_tenant_weighs() {
    let api = Api::new().await;
    shop(&api).await;
    let change = async |body: &Value| call(&api, "patch", "/tenants/shop", "", body).await;
    let changed = change(&json!({"weight": 5})).await.ok();
    assert_eq!(
        (&changed["weight"], &changed["disabledAt"]),
        (&json!(5), &Value::Null)
    );
    let changed = change(&json!({"weight": 7, "disabled": true})).await.ok();
    assert_eq!(
        (&changed["weight"], &changed["disabledAt"]),
        (&json!(7), &json!(at(0)))
    );
    let listed = api.get("/tenants").await.ok();
    assert_eq!(listed["tenants"][1]["weight"], json!(7));
    for wrong in [json!({"weight": 0}), json!({"weight": 1_001}), json!({})] {
        change(&wrong).await.problem(422);
    }
    let none = call(&api, "patch", "/tenants/nobody", "", &json!({"weight": 2})).await;
    none.problem(404);
}
