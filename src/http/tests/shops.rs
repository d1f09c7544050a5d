//! Shops that share an installation see nothing of each other.

use serde_json::{Value, json};

use crate::http::tests::Answer;
use crate::http::tests::access::{call, key, shop, shut};
use crate::model::tenant::{Scope, Tenant};

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
