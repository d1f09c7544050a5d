//! Shops that share an installation see nothing of each other.

use serde_json::{Value, json};

use crate::http::tests::access::{call, key, shop, shut};
use crate::http::tests::{Answer, Api, at};
use crate::model::tenant::{Scope, Tenant, TenantCode};
use crate::model::{CarrierCode, TrackNumber};

/// Whatever a shop asks about another's parcel, it hears what it hears of one that does not exist.
#[tokio::test]
async fn another_shops_parcels_do_not_exist() {
    let api = shut().await;
    let theirs = key(&api, Tenant::DEFAULT, Scope::Write, false).await;
    let ours = key(&api, shop(&api).await, Scope::Write, false).await;
    let item = json!({"items": [{"carrierCode": "CDEK", "trackNumber": "N1", "orderId": "SECRET-17", "labels": ["SECRET"]}]});
    let made = call(&api, "post", "/trackings", &theirs, &item).await.ok();
    let id = made["trackings"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let unknown = "4711";
    let requests = |id: &str| {
        let one = format!("/trackings/{id}");
        vec![
            ("get", one.clone(), Value::Null),
            ("patch", one.clone(), json!({"title": "x"})),
            ("delete", one.clone(), Value::Null),
            ("get", format!("{one}/events"), Value::Null),
            ("get", format!("{one}/schedule"), Value::Null),
            ("post", format!("{one}/refresh"), Value::Null),
            (
                "post",
                "/trackings/get-by-ids".to_owned(),
                json!({"ids": [id]}),
            ),
            (
                "post",
                "/trackings/edit".to_owned(),
                json!({"ids": [id], "set": {"title": "x"}}),
            ),
            ("post", "/trackings/remove".to_owned(), json!({"ids": [id]})),
            ("get", format!("/changes?trackingId={id}"), Value::Null),
        ]
    };
    for ((method, path, body), (_, other_path, other_body)) in
        requests(&id).into_iter().zip(requests(unknown))
    {
        let text = |answer: &Answer| {
            let text = String::from_utf8_lossy(&answer.bytes)
                .replace(unknown, "ID")
                .replace(&id, "ID");
            // What differs for each request.
            let mut json: Value = serde_json::from_str(&text).unwrap_or_default();
            json["requestId"].take();
            json
        };
        let answer = call(&api, method, &path, &ours, &body).await;
        let other = call(&api, method, &other_path, &ours, &other_body).await;
        assert_eq!(
            (answer.status, text(&answer)),
            (other.status, text(&other)),
            "{method} {path}"
        );
    }
    for path in [
        "/trackings",
        "/trackings?orderId=SECRET-17",
        "/trackings?label=SECRET",
        "/trackings?number=N1",
        "/trackings/summary",
        "/changes",
    ] {
        let answer = call(&api, "get", path, &ours, &Value::Null).await;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(
            !text.contains("SECRET") && !text.contains("N1"),
            "{path}: {text}"
        );
    }
    // The same number is one tracking, of which each sees its own words.
    let mine = json!({"items": [{"carrierCode": "CDEK", "trackNumber": "N1", "orderId": "MINE"}]});
    let shared = call(&api, "post", "/trackings", &ours, &mine).await.ok();
    assert_eq!(shared["trackings"][0]["id"], id.as_str());
    assert_eq!(shared["trackings"][0]["orderId"], "MINE");
    assert_eq!(shared["results"][0]["result"], "CREATED");
    let list = call(&api, "get", "/trackings", &theirs, &Value::Null)
        .await
        .ok();
    assert_eq!(list["trackings"][0]["orderId"], "SECRET-17");
    call(
        &api,
        "delete",
        &format!("/trackings/{id}"),
        &theirs,
        &Value::Null,
    )
    .await
    .ok();
    let kept = call(
        &api,
        "get",
        &format!("/trackings/{id}"),
        &ours,
        &Value::Null,
    )
    .await
    .ok();
    assert_eq!(kept["orderId"], "MINE", "the other one keeps it");
}

/// To a shop that a section does not name, its code is what a code without a section is.
#[tokio::test]
async fn the_section_of_another_shop_does_not_exist() {
    for has_any in [false, true] {
        let api = Api::shut_with(|config| {
            let section = config.carriers.get_mut("CDEK").expect("shipped");
            section.tenants = Some(vec![TenantCode::parse("shop").expect("a code")]);
            if !has_any {
                config.carriers.remove("*");
            }
        })
        .await;
        let theirs = key(&api, shop(&api).await, Scope::Write, false).await;
        let ours = key(&api, Tenant::DEFAULT, Scope::Write, false).await;
        let item = |code: &str| json!({"items": [{"carrierCode": code, "trackNumber": "N1"}]});
        let made = call(&api, "post", "/trackings", &theirs, &item("cdek"))
            .await
            .ok();
        assert_eq!(made["trackings"][0]["carrierCode"], "CDEK");
        let refused = call(&api, "post", "/trackings", &ours, &item("CDEK")).await;
        refused.problem(422);
        let error = &refused.json()["errors"][0];
        let known = if has_any { "*, POST_RU" } else { "POST_RU" };
        assert_eq!(
            error["detail"],
            format!("is not a known carrier; known are {known}"),
        );
        if !has_any {
            let unknown = call(&api, "post", "/trackings", &ours, &item("NOPE")).await;
            assert_eq!(unknown.json()["errors"][0], *error, "the same words");
        }
        // A name like it gives nothing away either.
        let near = call(&api, "post", "/trackings", &ours, &item("CDEC")).await;
        let text = String::from_utf8_lossy(&near.bytes).into_owned();
        assert!(!text.contains("CDEK"), "{text}");
        let codes = async |key: &str| {
            let carriers = call(&api, "get", "/carriers", key, &Value::Null).await.ok();
            carriers.to_string().contains("CDEK")
        };
        assert!(codes(&theirs).await);
        assert!(!codes(&ours).await);
    }
}

/// A parcel that a shop has already stays its own when the section is given to another one.
#[tokio::test]
async fn a_parcel_that_was_there_before_is_shown_on() {
    let api = Api::shut_with(|config| {
        let section = config.carriers.get_mut("CDEK").expect("shipped");
        section.tenants = Some(vec![TenantCode::parse("shop").expect("a code")]);
    })
    .await;
    let pair = CarrierCode::parse("CDEK").expect("a code");
    let pairs = [(pair, TrackNumber::parse("N1").expect("a number"))];
    let made = api
        .serve
        .current
        .create_or_get(Tenant::DEFAULT, &pairs, at(0));
    let id = made.await.expect("creates")[0].id;
    let ours = key(&api, Tenant::DEFAULT, Scope::Write, false).await;
    let get = async |path: String| call(&api, "get", &path, &ours, &Value::Null).await.ok();
    assert_eq!(get(format!("/trackings/{id}")).await["carrierCode"], "CDEK");
    let listed = get("/trackings?carrierCode=CDEK".to_owned()).await;
    assert_eq!(listed["trackings"][0]["id"], id.to_string());
    let title = json!({"title": "mine"});
    let edited = call(&api, "patch", &format!("/trackings/{id}"), &ours, &title).await;
    assert_eq!(edited.ok()["title"], "mine");
}

/// A shop that has all the parcels that it may is told so by line, and what fits is created if it says `partial`.
#[tokio::test]
async fn a_parcel_too_many_is_refused_with_what_to_do() {
    let api = shut().await;
    let operator = key(&api, Tenant::DEFAULT, Scope::Admin, true).await;
    let ours = key(&api, shop(&api).await, Scope::Write, false).await;
    let limit = |max: Value| json!({"parcelsMax": max});
    let set = async |max: Value| call(&api, "patch", "/tenants/shop", &operator, &limit(max)).await;
    assert_eq!(set(json!(2)).await.ok()["parcelsMax"], 2);
    let items = ["N1", "N2", "N3"].map(|it| json!({"carrierCode": "CDEK", "trackNumber": it}));
    let all = json!({"items": items});
    let refused = call(&api, "post", "/trackings", &ours, &all).await;
    let detail = refused.problem(422);
    assert!(
        detail.contains("1 of 3 items is refused; nothing was created"),
        "{detail}"
    );
    assert_eq!(refused.pointers(), ["/items/2"]);
    let why = refused.json()["errors"][0]["detail"].to_string();
    assert!(why.contains("at most 2 parcels and has 0"), "{why}");
    assert!(why.contains("DELETE /trackings/{trackingId}"), "{why}");
    let partial = json!({"items": items, "partial": true});
    let made = call(&api, "post", "/trackings", &ours, &partial).await.ok();
    for (at, result) in ["CREATED", "CREATED", "REFUSED"].iter().enumerate() {
        assert_eq!(made["results"][at]["result"], *result);
    }
    // Another shop's parcels do not count, and without the limit there is room.
    call(&api, "post", "/trackings", &operator, &all).await.ok();
    assert_eq!(set(Value::Null).await.ok()["parcelsMax"], Value::Null);
    call(&api, "post", "/trackings", &ours, &all).await.ok();
    let nothing = call(&api, "patch", "/tenants/shop", &operator, &json!({})).await;
    assert!(
        nothing
            .problem(422)
            .contains("disabled, parcelsMax or weight")
    );
}
