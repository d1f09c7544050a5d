//! What the carrier said of people is shown to those alone whom it belongs to.

use serde_json::{Value, json};

use crate::http::tests::access::{call, key, shop};
use crate::http::tests::{Api, at, seen};
use crate::model::tenant::{Scope, Tenant, TenantCode};
use crate::model::{CarrierCode, TrackNumber};

/// The names and the carrier's own records, as every route tells them to this caller.
async fn told(api: &Api, key: &str, id: &str) -> Vec<(String, bool)> {
    let one = format!("/trackings/{id}");
    let item = json!({"items": [{"carrierCode": "POST_RU", "trackNumber": "N1"}]});
    let requests = [
        ("get", one.clone(), Value::Null),
        ("patch", one.clone(), json!({"title": "x"})),
        ("get", format!("{one}/events"), Value::Null),
        ("get", "/trackings".to_owned(), Value::Null),
        (
            "get",
            "/changes?types=tracking.updated".to_owned(),
            Value::Null,
        ),
        (
            "post",
            "/trackings/get-by-ids".to_owned(),
            json!({"ids": [id]}),
        ),
        ("post", "/trackings".to_owned(), item),
    ];
    let mut all = Vec::new();
    for (method, path, body) in requests {
        let answer = call(api, method, &path, key, &body).await.ok().to_string();
        assert!(answer.contains("STEP"), "{path}: {answer}");
        let is_told = answer.contains("IVANOV") || answer.contains("SECRET");
        all.push((format!("{method} {path}"), is_told));
    }
    all
}

/// Whether all routes agree, and what they tell.
async fn is_told(api: &Api, key: &str, id: &str) -> bool {
    let told = told(api, key, id).await;
    let first = told[0].1;
    for (route, is_told) in told {
        assert_eq!(is_told, first, "{route}");
    }
    first
}

/// A parcel that every tenant of `tenants` follows, and who signed for it.
async fn signed(api: &Api, tenants: &[Tenant]) -> String {
    let code = CarrierCode::parse("POST_RU").expect("a code");
    let pairs = [(code, TrackNumber::parse("N1").expect("a number"))];
    let mut id = 0;
    for tenant in tenants {
        let made = api.serve.current.create_or_get(*tenant, &pairs, at(0));
        id = made.await.expect("creates")[0].id;
    }
    let mut update = seen(&id.to_string(), 1);
    update["facts"] = json!({"signed_by": "IVANOV", "pieces": 2});
    update["events"][0]["payload"] = json!({"name": "SECRET"});
    api.apply(0, &[update], Vec::new()).await;
    id.to_string()
}

#[tokio::test]
async fn where_nobody_else_is_everything_is_shown() {
    let open = Api::new().await;
    let id = signed(&open, &[Tenant::DEFAULT]).await;
    assert!(is_told(&open, "", &id).await);
    let keyed = Api::shut_with(|_| ()).await;
    let ours = key(&keyed, Tenant::DEFAULT, Scope::Write, false).await;
    let id = signed(&keyed, &[Tenant::DEFAULT]).await;
    assert!(is_told(&keyed, &ours, &id).await);
}

#[tokio::test]
async fn a_shop_that_knows_the_number_alone_is_told_nothing_of_people() {
    let api = Api::shut_with(|_| ()).await;
    let other = shop(&api).await;
    let ours = key(&api, Tenant::DEFAULT, Scope::Write, false).await;
    let theirs = key(&api, other, Scope::Write, false).await;
    let id = signed(&api, &[Tenant::DEFAULT, other]).await;
    for key in [&ours, &theirs] {
        assert!(!is_told(&api, key, &id).await);
        let one = call(&api, "get", &format!("/trackings/{id}"), key, &Value::Null).await;
        assert_eq!(one.ok()["facts"]["pieces"], 2, "the rest is shown");
    }
}

#[tokio::test]
async fn a_shop_that_the_section_names_is_told_all() {
    let api = Api::shut_with(|config| {
        let section = config.carriers.get_mut("POST_RU").expect("shipped");
        let named = ["default", "shop"].map(|it| TenantCode::parse(it).expect("a code"));
        section.tenants = Some(named[..1].to_vec());
    })
    .await;
    let other = shop(&api).await;
    let ours = key(&api, Tenant::DEFAULT, Scope::Write, false).await;
    let id = signed(&api, &[Tenant::DEFAULT, other]).await;
    assert!(is_told(&api, &ours, &id).await);
    let theirs = key(&api, other, Scope::Write, false).await;
    let one = call(
        &api,
        "get",
        &format!("/trackings/{id}"),
        &theirs,
        &Value::Null,
    )
    .await;
    assert_eq!(one.ok()["facts"]["signedBy"], Value::Null);
}

#[tokio::test]
async fn a_shop_for_whose_postal_code_the_carrier_answered_is_told_all() {
    let api = Api::shut_with(|_| ()).await;
    let other = shop(&api).await;
    let ours = key(&api, Tenant::DEFAULT, Scope::Write, false).await;
    let theirs = key(&api, other, Scope::Write, false).await;
    let item = |code: &str| json!({"items": [{"carrierCode": "POST_RU", "trackNumber": "N1", "postalCode": code}]});
    call(&api, "post", "/trackings", &ours, &item("10115"))
        .await
        .ok();
    call(&api, "post", "/trackings", &theirs, &item("99999"))
        .await
        .ok();
    let id = signed(&api, &[Tenant::DEFAULT, other]).await;
    assert!(is_told(&api, &ours, &id).await);
    assert!(!is_told(&api, &theirs, &id).await, "it told something else");
    // Neither shop is shown what the other one told.
    let one = call(
        &api,
        "get",
        &format!("/trackings/{id}"),
        &theirs,
        &Value::Null,
    )
    .await;
    assert!(!one.ok().to_string().contains("10115"));
    // What no carrier's file makes anything of opens nothing.
    let phone = json!({"postalCode": null, "extra": {"phone": "10115"}});
    call(&api, "patch", &format!("/trackings/{id}"), &theirs, &phone)
        .await
        .ok();
    assert!(!is_told(&api, &theirs, &id).await);
}
