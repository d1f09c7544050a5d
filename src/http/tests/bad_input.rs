//! Every bad request is answered with a problem and changes nothing.

use axum::http::{Method, header};
use serde_json::{Value, json};

use crate::http::tests::Api;

fn item(carrier: &str, number: &str) -> Value {
    json!({"carrierCode": carrier, "trackNumber": number})
}

#[tokio::test]
async fn one_bad_item_in_ten_thousand_is_named_and_nothing_is_created() {
    let api = Api::new().await;
    let mut items: Vec<Value> = (0..10_000)
        .map(|n| item("CDEK", &format!("N{n}")))
        .collect();
    items[7_777] = item("CDEK", "");
    let answer = api.post("/trackings", &json!({"items": items})).await;
    assert_eq!(
        answer.problem(422),
        "1 of 10000 items is refused; nothing was created"
    );
    assert_eq!(answer.pointers(), ["/items/7777/trackNumber"]);
    assert_eq!(api.count().await, 0);
}

#[tokio::test]
async fn every_bad_item_is_named_with_its_place() {
    let api = Api::new().await;
    let long = "x".repeat(65);
    let cases = [
        (json!("text"), vec!["/items/1"]),
        (json!(17), vec!["/items/1"]),
        (json!(null), vec!["/items/1"]),
        (json!([1]), vec!["/items/1"]),
        (
            json!({}),
            vec!["/items/1/carrierCode", "/items/1/trackNumber"],
        ),
        (json!({"trackNumber": "A"}), vec!["/items/1/carrierCode"]),
        (
            json!({"carrier_code": null, "track_number": 5}),
            vec!["/items/1/carrier_code", "/items/1/track_number"],
        ),
        (
            json!({"carrierCode": true, "trackNumber": {"a": [1]}}),
            vec!["/items/1/carrierCode", "/items/1/trackNumber"],
        ),
        (item("", "A"), vec!["/items/1/carrierCode"]),
        (item("CDEK", &long), vec!["/items/1/trackNumber"]),
        (item(&long, "A"), vec!["/items/1/carrierCode"]),
        (item("CDEK", "A\u{0}B"), vec!["/items/1/trackNumber"]),
        (item("CDEK", "A\nB"), vec!["/items/1/trackNumber"]),
        (item("CD\u{7f}EK", "A"), vec!["/items/1/carrierCode"]),
        (item("CDEK", "A\u{85}B"), vec!["/items/1/trackNumber"]),
    ];
    for (bad, pointers) in cases {
        let answer = api
            .post(
                "/trackings",
                &json!({"items": [item("CDEK", "A"), bad, item("CDEK", "B")]}),
            )
            .await;
        answer.problem(422);
        assert_eq!(answer.pointers(), pointers, "{bad}");
    }
    assert_eq!(api.count().await, 0);
}

#[tokio::test]
async fn sixty_four_characters_of_any_script_are_a_number() {
    let api = Api::new().await;
    api.create("CDEK", &"ж".repeat(64)).await;
    api.create("CDEK", "· —").await;
    assert_eq!(api.count().await, 2);
}

#[tokio::test]
async fn more_than_a_hundred_bad_items_are_counted() {
    let api = Api::new().await;
    let items = vec![json!({}); 130];
    let answer = api.post("/trackings", &json!({"items": items})).await;
    let detail = answer.problem(422);
    assert_eq!(
        detail,
        "130 of 130 items are refused; nothing was created; 160 more errors are not listed"
    );
    assert_eq!(answer.pointers().len(), 100);
    assert_eq!(answer.json()["moreErrors"], 160);
}

#[tokio::test]
async fn empty_and_oversized_lists_are_refused() {
    let api = Api::new().await;
    for body in ["{}", "[]", r#"{"items":[]}"#, r#"{"items":null}"#] {
        let answer = api.post_bytes("/trackings", body.into()).await;
        assert_eq!(
            answer.problem(422),
            "must have 1 to 10000 items, this has 0",
            "{body}"
        );
        assert_eq!(answer.pointers(), ["/items"]);
    }
    let answer = api.post_bytes("/trackings", b"[[]]".to_vec()).await;
    let refused = "must be a JSON object, this is a list";
    assert_eq!(answer.problem(422), refused);
    let items = vec![item("CDEK", "A"); 10_001];
    let answer = api.post("/trackings", &json!({"items": items})).await;
    assert_eq!(
        answer.problem(422),
        "must have 1 to 10000 items, this has 10001"
    );
    let ids = vec!["1"; 10_001];
    let answer = api
        .post("/trackings/get-by-ids", &json!({"ids": ids}))
        .await;
    assert_eq!(
        answer.problem(422),
        "must have at most 10000 ids, this has 10001"
    );
    assert_eq!(answer.pointers(), ["/ids"]);
    assert_eq!(api.count().await, 0);
}

#[tokio::test]
async fn every_bad_id_is_named_with_its_place() {
    let api = Api::new().await;
    let ids = json!({"ids": [1, "x", 2, 1.5, null, true, [], {}, "", "1 "]});
    let answer = api.post("/trackings/get-by-ids", &ids).await;
    assert_eq!(answer.problem(422), "8 of 10 ids are not valid");
    assert_eq!(
        answer.pointers(),
        [
            "/ids/1", "/ids/3", "/ids/4", "/ids/5", "/ids/6", "/ids/7", "/ids/8", "/ids/9"
        ]
    );
}

#[tokio::test]
async fn wrong_types_are_named_with_their_place() {
    let api = Api::new().await;
    for (path, body, pointers) in [
        ("/trackings", r#"{"items": 5}"#, vec!["/items"]),
        (
            "/trackings",
            r#"{"items": {"carrierCode": "CDEK"}}"#,
            vec!["/items"],
        ),
        ("/trackings", r#""text""#, vec![""]),
        ("/trackings", "17", vec![""]),
        ("/trackings", "null", vec![""]),
        ("/trackings/get-by-ids", r#"{"ids": "1,2"}"#, vec!["/ids"]),
    ] {
        let answer = api.post_bytes(path, body.into()).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
}

#[tokio::test]
async fn broken_json_and_invalid_utf_8_are_refused_with_their_place() {
    let api = Api::new().await;
    for path in ["/trackings", "/trackings/get-by-ids"] {
        for (body, part) in [
            (&b""[..], "the body is empty"),
            (b"{", "line 1 column 1"),
            (b"{\"items\":\n[,]}", "line 2 column 2"),
            (b"{} {}", "trailing characters at line 1 column 4"),
            (
                b"{\"items\":[{\"carrierCode\":\"\xff\"}]}",
                "the body is not UTF-8: byte 26",
            ),
            (b"\x1f\x8b\x08\x00", "the body is not UTF-8: byte 1"),
        ] {
            let detail = api.post_bytes(path, body.to_vec()).await.problem(422);
            assert!(detail.contains(part), "{part} in {detail}");
        }
        let detail = api
            .post_bytes(path, "[".repeat(200_000).into_bytes())
            .await
            .problem(422);
        assert!(detail.contains("the body is not JSON"), "{detail}");
    }
}

#[tokio::test]
async fn json_that_rust_cannot_hold_is_named_by_its_pointer() {
    let api = Api::new().await;
    for value in ["1e999", r#""\ud800""#] {
        let body = format!(r#"{{"items": [{value}], "ids": [{value}]}}"#);
        for (path, pointer) in [
            ("/trackings", "/items/0"),
            ("/trackings/get-by-ids", "/ids/0"),
        ] {
            let answer = api.post_bytes(path, body.clone().into_bytes()).await;
            answer.problem(422);
            assert_eq!(answer.pointers(), [pointer], "{body}");
        }
    }
    let item = br#"{"items": [{"carrierCode": "CDEK", "trackNumber": "\ud800"}]}"#;
    let answer = api.post_bytes("/trackings", item.to_vec()).await;
    answer.problem(422);
    assert_eq!(answer.pointers(), ["/items/0/trackNumber"]);
}

#[tokio::test]
async fn a_field_given_twice_is_refused_and_either_spelling_will_do() {
    let api = Api::new().await;
    let twice = br#"{"items": [{"carrierCode": "CDEK", "trackNumber": "A", "trackNumber": "B"}]}"#;
    let answer = api.post_bytes("/trackings", twice.to_vec()).await;
    answer.problem(422);
    assert_eq!(answer.pointers(), ["/items/0"]);
    let mixed = json!({"items": [{"carrierCode": "CDEK", "track_number": "A"}]});
    api.post("/trackings", &mixed).await.ok();
}

#[tokio::test]
async fn parameters_that_are_not_numbers_are_refused_and_named() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    for (path, name) in [
        ("/trackings/x/events".to_owned(), "trackingId"),
        ("/trackings/1.5/events".to_owned(), "trackingId"),
        ("/trackings/%D0%B6/events".to_owned(), "trackingId"),
        ("/trackings/0x1/events".to_owned(), "trackingId"),
        (format!("/trackings/{id}/events?limit=ten"), "limit"),
        (format!("/trackings/{id}/events?offset=1e3"), "offset"),
        ("/dead-letters?limit=x".to_owned(), "limit"),
        ("/dead-letters?cursor=x".to_owned(), "cursor"),
        ("/carriers/unmapped?limit=x".to_owned(), "limit"),
    ] {
        let answer = api.get(&path).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), [name], "{path}");
    }
    api.get("/trackings/%FF/events").await.problem(422);
    api.get(&format!("/trackings/{id}/events?limit=1&limit=2"))
        .await
        .problem(422);
    let answer = api.post_bytes("/trackings/x/refresh", Vec::new()).await;
    answer.problem(422);
    assert_eq!(answer.pointers(), ["trackingId"]);
}

#[tokio::test]
async fn unknown_carriers_are_refused_unless_a_section_takes_them() {
    let api = Api::with(|config| {
        config.carriers.remove("*");
    })
    .await;
    let items =
        json!({"items": [item("CDEK", "A"), {"carrier_code": "UNKNOWN", "track_number": "B"}]});
    let answer = api.post("/trackings", &items).await;
    answer.problem(422);
    assert_eq!(answer.pointers(), ["/items/1/carrier_code"]);
    assert_eq!(
        answer.json()["errors"][0]["detail"],
        "is not a known carrier; known are CDEK, POST_RU"
    );
    assert_eq!(api.count().await, 0);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let api = Api::new().await;
    for path in [
        "/nothing",
        "/trackings/1",
        "/trackings/1/events/2",
        "/docs/x",
        "/%00",
        "/trackings/",
        "//",
    ] {
        api.get(path).await.problem(404);
    }
    for (method, path, allow) in [
        (Method::DELETE, "/trackings", "POST,GET,HEAD"),
        (Method::GET, "/trackings/get-by-ids", "POST"),
        (Method::POST, "/healthz", "GET,HEAD"),
        (Method::PUT, "/trackings/1/events", "GET,HEAD"),
        (Method::POST, "/swagger.json", "GET,HEAD"),
        (
            Method::from_bytes(b"BREW").expect("a method"),
            "/changes",
            "GET,HEAD",
        ),
    ] {
        let answer = api.call(method, path, Vec::new(), &[]).await;
        answer.problem(405);
        assert_eq!(answer.headers[header::ALLOW], allow, "{path}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_cut_off() {
    let api = Api::with(|config| config.http.body_limit_bytes = 1_000).await;
    let answer = api.post_bytes("/trackings", vec![b' '; 1_001]).await;
    assert_eq!(answer.problem(413), "a body may have at most 1000 bytes");
    let announced = [("content-length", "5000000000")];
    api.call(Method::POST, "/trackings", Vec::new(), &announced)
        .await
        .problem(413);
    let mut body = json!({"items": [item("CDEK", "A")]}).to_string();
    body.push_str(&" ".repeat(1_000 - body.len()));
    api.post_bytes("/trackings", body.into_bytes()).await.ok();
}

#[tokio::test]
async fn a_compressed_body_is_refused_unread() {
    let api = Api::new().await;
    for coding in [
        "gzip",
        "deflate",
        "br",
        "zstd",
        "identity, gzip",
        "x-nonsense",
    ] {
        let headers = [("content-encoding", coding)];
        let answer = api
            .call(Method::POST, "/trackings", vec![0x1f; 10], &headers)
            .await;
        assert_eq!(
            answer.problem(415),
            "send the body without Content-Encoding"
        );
        assert_eq!(answer.headers[header::ACCEPT_ENCODING], "identity");
    }
    let body = json!({"items": [item("CDEK", "A")]})
        .to_string()
        .into_bytes();
    let headers = [("content-encoding", "identity")];
    api.call(Method::POST, "/trackings", body, &headers)
        .await
        .ok();
}

#[tokio::test]
async fn the_content_type_is_ignored() {
    let api = Api::new().await;
    let body = json!({"items": [item("CDEK", "A")]})
        .to_string()
        .into_bytes();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "nonsense",
    ] {
        api.call(
            Method::POST,
            "/trackings",
            body.clone(),
            &[("content-type", kind)],
        )
        .await
        .ok();
    }
}
