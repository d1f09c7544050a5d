//! Who may call what: a case for every operation, and the keys that the API itself makes.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::tests::{Answer, Api, at};
use crate::model::key::ApiKey;
use crate::model::tenant::{Scope, Tenant, TenantCode};
use crate::store::api_keys::NewKey;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum May {
    /// Without a key.
    All,
    /// With any key.
    Read,
    Write,
    Admin,
    /// With an operator's key, of any scope.
    Operate,
    /// With an operator's key of scope WRITE or ADMIN.
    OperateAndWrite,
    /// With an operator's key of scope ADMIN.
    OperateAndAdminister,
}

/// Every operation of the document. A new one needs a line here.
const OPERATIONS: &[(&str, &str, May)] = &[
    ("get", "/acts", May::Admin),
    ("get", "/carriers", May::Read),
    ("get", "/carriers/unmapped", May::Operate),
    ("get", "/carriers/{code}/budget", May::Operate),
    ("delete", "/carriers/{code}/pause", May::OperateAndWrite),
    ("get", "/dead-letters", May::Operate),
    (
        "post",
        "/dead-letters/{deadLetterId}/retry",
        May::OperateAndWrite,
    ),
    ("get", "/changes", May::Read),
    ("get", "/healthz", May::All),
    ("get", "/keys", May::Admin),
    ("post", "/keys", May::Admin),
    ("delete", "/keys/{keyId}", May::Admin),
    ("patch", "/keys/{keyId}", May::Admin),
    ("get", "/metrics", May::Operate),
    ("get", "/readyz", May::All),
    ("get", "/tenants", May::Operate),
    ("post", "/tenants", May::OperateAndAdminister),
    ("patch", "/tenants/{tenantCode}", May::OperateAndAdminister),
    (
        "post",
        "/tenants/{tenantCode}/keys",
        May::OperateAndAdminister,
    ),
    ("get", "/trackings", May::Read),
    ("post", "/trackings", May::Write),
    ("post", "/trackings/edit", May::Write),
    ("post", "/trackings/remove", May::Write),
    ("get", "/trackings/summary", May::Read),
    ("get", "/trackings/{trackingId}", May::Read),
    ("patch", "/trackings/{trackingId}", May::Write),
    ("delete", "/trackings/{trackingId}", May::Write),
    ("post", "/trackings/get-by-ids", May::Read),
    ("get", "/trackings/{trackingId}/events", May::Read),
    ("post", "/trackings/{trackingId}/refresh", May::Write),
    ("get", "/trackings/{trackingId}/schedule", May::Read),
];

/// An API that other machines may reach.
pub(super) async fn shut() -> Api {
    Api::shut_with(|_| ()).await
}

/// A new key; returns it as the header that it is sent in.
pub(super) async fn key(api: &Api, tenant: Tenant, scope: Scope, is_operator: bool) -> String {
    let new = NewKey {
        tenant,
        key: ApiKey::generate().expect("has random numbers"),
        name: "test".to_owned(),
        scope,
        is_operator,
        per_second: 0,
        expires_at: None,
    };
    let added = api.serve.store.add_key(&new, None, at(0)).await;
    added.expect("adds").expect("there is room");
    format!("Bearer {}", new.key.expose())
}

pub(super) async fn shop(api: &Api) -> Tenant {
    let code = TenantCode::parse("shop").expect("a code");
    let made = api
        .serve
        .store
        .create_tenant(&code, "Shop", None, None, at(0));
    made.await.expect("creates").expect("is new").tenant
}

pub(super) async fn call(api: &Api, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let headers = [("authorization", key)];
    let headers = if key.is_empty() { &[][..] } else { &headers };
    api.call(method, path, body, headers).await
}

#[tokio::test]
async fn every_operation_has_a_case() {
    let api = Api::new().await;
    let document = api.get("/swagger.json").await.ok();
    let mut documented = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            documented.push((method.clone(), path.clone()));
        }
    }
    documented.sort();
    let cases = OPERATIONS.iter();
    let mut cases: Vec<_> = cases
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    cases.sort();
    assert_eq!(documented, cases);
}

#[tokio::test]
async fn strangers_get_401_and_keys_403_where_they_may_not() {
    let api = shut().await;
    let shop = shop(&api).await;
    let mut keys = BTreeMap::new();
    for scope in [Scope::Read, Scope::Write, Scope::Admin] {
        keys.insert((false, scope), key(&api, shop, scope, false).await);
        keys.insert((true, scope), key(&api, Tenant::DEFAULT, scope, true).await);
    }
    for (method, path, may) in OPERATIONS {
        let url = path
            .replace("{code}", "CDEK")
            .replace("{tenantCode}", "nobody")
            .replace("{deadLetterId}", "4711")
            .replace("{trackingId}", "4711")
            .replace("{keyId}", "4711");
        let stranger = call(&api, method, &url, "", &json!({})).await;
        assert_eq!(stranger.status == 401, *may != May::All, "{method} {path}");
        if *may != May::All {
            stranger.problem(401);
            assert_eq!(stranger.headers["www-authenticate"], "Bearer");
        }
        for ((is_operator, scope), key) in &keys {
            let answer = call(&api, method, &url, key, &json!({})).await;
            let allowed = match may {
                May::All | May::Read => true,
                May::Write => *scope >= Scope::Write,
                May::Admin => *scope >= Scope::Admin,
                May::Operate => *is_operator,
                May::OperateAndWrite => *is_operator && *scope >= Scope::Write,
                May::OperateAndAdminister => *is_operator && *scope >= Scope::Admin,
            };
            let who = format!("{method} {path}: {scope} {is_operator}");
            assert_ne!(answer.status, 401, "{who}");
            assert_eq!(answer.status != 403, allowed, "{who}");
            if !allowed {
                let detail = answer.problem(403);
                assert!(detail.contains("key"), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn the_document_says_of_each_operation_what_its_key_needs() {
    let api = Api::new().await;
    let document = api.get("/swagger.json").await.ok();
    let scheme = &document["components"]["securitySchemes"]["key"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    for (method, path, may) in OPERATIONS {
        let operation = &document["paths"][path][method];
        let roles = match may {
            May::All => json!(null),
            May::Read => json!(["READ"]),
            May::Write => json!(["WRITE"]),
            May::Admin => json!(["ADMIN"]),
            May::Operate | May::OperateAndWrite => json!(["OPERATOR"]),
            May::OperateAndAdminister => json!(["OPERATOR", "ADMIN"]),
        };
        assert_eq!(operation["security"][0]["key"], roles, "{method} {path}");
        let refused = ["401", "421"].map(|status| operation["responses"][status].is_object());
        assert_eq!(refused, [*may != May::All; 2], "{method} {path}");
    }
}

#[tokio::test]
async fn others_than_operators_see_the_codes_of_carriers_and_nothing_more() {
    let api = shut().await;
    let shop = shop(&api).await;
    let reader = key(&api, shop, Scope::Read, false).await;
    let seen = call(&api, "get", "/carriers", &reader, &Value::Null)
        .await
        .ok();
    let codes =
        json!({"carriers": [{"codes": ["*"]}, {"codes": ["CDEK"]}, {"codes": ["POST_RU"]}]});
    assert_eq!(seen, codes);
}

#[tokio::test]
async fn an_operator_makes_a_tenant_whose_admin_makes_and_revokes_its_keys() {
    let api = shut().await;
    let operator = key(&api, Tenant::DEFAULT, Scope::Admin, true).await;
    let made = json!({"code": "books", "name": " Книги "});
    let made = call(&api, "post", "/tenants", &operator, &made).await.ok();
    assert_eq!(
        (&made["code"], &made["name"]),
        (&json!("books"), &json!("Книги"))
    );
    let wanted = json!({"name": "admin", "scope": "ADMIN"});
    let first = call(&api, "post", "/tenants/books/keys", &operator, &wanted).await;
    assert_eq!(first.headers["cache-control"], "no-store");
    let admin = format!("Bearer {}", first.ok()["secret"].as_str().expect("a key"));

    let wanted = json!({"name": "till", "scope": "READ", "perSecond": 5, "expiresAt": at(60)});
    let till = call(&api, "post", "/keys", &admin, &wanted).await.ok();
    let (id, till) = (
        till["key"]["id"].as_str().expect("an id").to_owned(),
        till["secret"].clone(),
    );
    let till = format!("Bearer {}", till.as_str().expect("a key"));
    call(&api, "get", "/carriers", &till, &Value::Null)
        .await
        .ok();
    let list = call(&api, "get", "/keys?limit=1", &admin, &Value::Null)
        .await
        .ok();
    assert_eq!(
        (&list["keys"][0]["name"], &list["nextCursor"]),
        (&json!("till"), &json!(id))
    );
    let secret = &till["Bearer ".len()..];
    assert_eq!(list["keys"][0]["hint"], secret[..8]);
    assert!(!list.to_string().contains(secret));

    let change = json!({"expiresAt": at(120)});
    let path = format!("/keys/{id}");
    let changed = call(&api, "patch", &path, &admin, &change).await.ok();
    assert_eq!(changed["expiresAt"], json!(at(120)));
    let revoked = call(&api, "delete", &path, &admin, &Value::Null).await.ok();
    assert_eq!(revoked["revokedAt"], json!(at(0)));
    // In the process that revoked it at once.
    call(&api, "get", "/carriers", &till, &Value::Null)
        .await
        .problem(401);

    let acts = call(&api, "get", "/acts", &admin, &Value::Null).await.ok();
    let acts = acts["acts"].as_array().expect("a list");
    let shown: Vec<_> = acts
        .iter()
        .map(|act| (act["act"].as_str(), act["keyId"].as_str()))
        .collect();
    let expected = [
        ("KEY_REVOKED", "2"),
        ("KEY_CHANGED", "2"),
        ("KEY_CREATED", "2"),
        ("KEY_CREATED", "1"),
    ];
    assert_eq!(shown, expected.map(|(act, key)| (Some(act), Some(key))));
    let disabled = json!({"disabled": true});
    call(&api, "patch", "/tenants/books", &operator, &disabled)
        .await
        .ok();
    let refused = call(&api, "get", "/keys", &admin, &Value::Null)
        .await
        .problem(401);
    assert_eq!(refused, "the tenant of this key is disabled");
    let kept = call(&api, "patch", "/tenants/default", &operator, &disabled).await;
    assert!(kept.problem(409).contains("cannot be disabled"));
}

#[tokio::test]
async fn a_tenant_sees_no_difference_between_anothers_key_and_none() {
    let api = shut().await;
    let shop = shop(&api).await;
    let operator = key(&api, Tenant::DEFAULT, Scope::Admin, true).await;
    let admin = key(&api, shop, Scope::Admin, false).await;
    for method in ["delete", "patch"] {
        let body = json!({"expiresAt": null});
        let others = call(&api, method, "/keys/1", &admin, &body)
            .await
            .problem(404);
        let none = call(&api, method, "/keys/4711", &admin, &body)
            .await
            .problem(404);
        assert_eq!(others.replace('1', "4711"), none);
    }
    call(&api, "get", "/carriers", &operator, &Value::Null)
        .await
        .ok();
    let wanted = json!({"name": "x", "scope": "READ", "operator": true});
    call(&api, "post", "/keys", &admin, &wanted)
        .await
        .problem(403);
    call(&api, "post", "/tenants/shop/keys", &operator, &wanted)
        .await
        .problem(403);
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused_with_its_place() {
    let api = Api::new().await;
    for (body, pointer) in [
        (json!({"scope": "READ"}), ""),
        (json!({"name": " ", "scope": "READ"}), "/name"),
        (json!({"name": "x".repeat(101), "scope": "READ"}), "/name"),
        (json!({"name": "a\nb", "scope": "READ"}), "/name"),
        (json!({"name": "x", "scope": "ROOT"}), "/scope"),
        (
            json!({"name": "x", "scope": "READ", "perSecond": 10_001}),
            "/perSecond",
        ),
        (
            json!({"name": "x", "scope": "READ", "perSecond": -1}),
            "/perSecond",
        ),
        (
            json!({"name": "x", "scope": "READ", "expiresAt": at(0)}),
            "/expiresAt",
        ),
        (
            json!({"name": "x", "scope": "READ", "expiresAt": "9999-01-01T00:00:00Z"}),
            "/expiresAt",
        ),
        (
            json!({"name": "x", "scope": "READ", "expiresAt": "tomorrow"}),
            "/expiresAt",
        ),
    ] {
        let answer = api.post("/keys", &body).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    for code in ["", "Shop", "a b", "магазин", &"x".repeat(41)] {
        let answer = api.post("/tenants", &json!({"code": code})).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), ["/code"], "{code}");
    }
    let taken = api.post("/tenants", &json!({"code": "default"})).await;
    assert_eq!(taken.problem(409), "there is a tenant default already");
    let missing = call(&api, "patch", "/keys/1", "", &json!({})).await;
    assert!(missing.problem(422).contains("expiresAt"));
}

#[tokio::test]
async fn the_first_key_ends_the_open_mode_and_the_log_knows_who_lifted_a_pause() {
    let api = Api::new().await;
    api.call(Method::DELETE, "/carriers/CDEK/pause", Vec::new(), &[])
        .await
        .ok();
    let wanted = json!({"name": "mine", "scope": "ADMIN", "operator": true});
    let made = api.post("/keys", &wanted).await.ok();
    let mine = format!("Bearer {}", made["secret"].as_str().expect("a key"));
    api.get("/carriers").await.problem(401);
    api.get("/healthz").await.ok();
    assert_eq!(api.get("/docs/").await.status, 200);
    call(&api, "delete", "/carriers/CDEK/pause", &mine, &Value::Null)
        .await
        .ok();
    api.serve.clock.advance(Duration::from_secs(3_600));
    let acts = call(&api, "get", "/acts?trackingId=", &mine, &Value::Null)
        .await
        .ok();
    let acts = acts["acts"].as_array().expect("a list").iter();
    let shown: Vec<_> = acts
        .map(|act| format!("{} {} {}", act["act"], act["object"], act["keyId"]))
        .collect();
    let expected = [
        r#""PAUSE_LIFTED" "account CDEK" "1""#,
        r#""KEY_CREATED" "key 1" null"#,
        r#""PAUSE_LIFTED" "account CDEK" null"#,
    ];
    assert_eq!(shown, expected);
    let of_one = call(&api, "get", "/acts?trackingId=7", &mine, &Value::Null)
        .await
        .ok();
    assert_eq!(of_one, json!({"acts": [], "nextCursor": null}));
    call(&api, "get", "/acts?trackingId=x", &mine, &Value::Null)
        .await
        .problem(422);
}
