//! The API's document equals the checked-in one, is complete, and has examples that work.

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::tests::{Api, letter, seen};
use crate::serving::snapshot::compare;

#[tokio::test]
async fn the_openapi_document_is_the_checked_in_one() {
    let api = Api::new().await;
    compare("openapi.json", &api.get("/swagger.json").await.ok());
}

#[tokio::test]
async fn every_operation_is_described_with_examples_and_problems() {
    let api = Api::new().await;
    let document = api.get("/swagger.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let place = format!("{method} {path}");
            for field in ["operationId", "summary", "description"] {
                assert!(operation[field].is_string(), "{place}: {field}");
            }
            assert!(operation["tags"][0].is_string(), "{place}: tag");
            if operation["requestBody"].is_object() {
                assert!(
                    !operation["requestBody"]["content"]["application/json"]["example"].is_null(),
                    "{place}"
                );
            }
            for (status, response) in operation["responses"].as_object().expect("responses") {
                for (kind, media) in response["content"].as_object().expect("content") {
                    assert!(!media["example"].is_null(), "{place} {status}: example");
                    assert_eq!(
                        kind == "application/problem+json",
                        status != "200",
                        "{place} {status}: {kind}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn the_examples_of_the_document_work_as_they_stand() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    api.apply(0, &[seen(&id, 1)], Vec::new()).await;
    api.apply(7, &[], (0..3).map(|n| letter(n, b"x", 1)).collect())
        .await;
    api.post("/tenants", &json!({"code": "shop"})).await.ok();
    let operator = json!({"name": "mine", "scope": "ADMIN", "operator": true});
    let made = api.post("/keys", &operator).await.ok();
    let key = format!("Bearer {}", made["secret"].as_str().expect("a key"));
    let key = [("authorization", key.as_str())];
    let other = json!({"name": "till", "scope": "READ"}).to_string();
    api.call(Method::POST, "/keys", other.into_bytes(), &key)
        .await
        .ok();
    let document = api.get("/swagger.json").await.ok();
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().expect("operations").iter();
        operations.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    // What ends a key comes behind what changes it, and what removes the parcel last: one by one, then with others.
    let removes = |(path, method): (&str, &str)| match path {
        "/trackings/remove" => 2,
        "/trackings/{trackingId}" | "/keys/{keyId}" if method == "delete" => 1,
        _ => 0,
    };
    let mut operations: Vec<_> = operations.collect();
    operations.sort_by_key(|(path, method, _)| removes((path, method)));
    for (path, method, operation) in operations {
        let mut url = path.to_owned();
        let mut query = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().expect("a name");
            let text = match &parameter["example"] {
                Value::String(text) => text.clone(),
                Value::Null => continue,
                other => other.to_string(),
            };
            match parameter["in"].as_str() {
                Some("path") => url = url.replace(&format!("{{{name}}}"), &text),
                _ => query.push(format!("{name}={text}")),
            }
        }
        let url = format!("{url}?{}", query.join("&"));
        let body = &operation["requestBody"]["content"]["application/json"]["example"];
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
        let answer = api.call(method, &url, body, &key).await;
        assert_eq!(
            answer.status,
            200,
            "{url}: {}",
            String::from_utf8_lossy(&answer.bytes)
        );
        let example = &operation["responses"]["200"]["content"]["application/json"]["example"];
        if example.is_object() {
            assert_eq!(keys(example), keys(&answer.json()), "{url}");
        }
    }
}

/// The names of the fields of an object, in order.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let mut names: Vec<String> = map.keys().cloned().collect();
            names.sort();
            names
        }
        _ => Vec::new(),
    }
}
