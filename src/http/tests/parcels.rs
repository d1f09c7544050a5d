//! A shop's own parcels: its words about them, the list, and the feed of changes.

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::tests::{Answer, Api, seen};

/// Creates parcels of CDEK with these numbers and words; their ids.
pub(super) async fn create(api: &Api, items: &[Value]) -> Vec<String> {
    let items: Vec<Value> = items
        .iter()
        .map(|item| {
            let mut item = item.clone();
            item["carrierCode"] = json!("CDEK");
            item
        })
        .collect();
    let answer = api.post("/trackings", &json!({"items": items})).await.ok();
    let lines = answer["results"].as_array().expect("a list").iter();
    lines
        .map(|line| line["id"].as_str().expect("an id").to_owned())
        .collect()
}

pub(super) async fn patch(api: &Api, id: &str, body: &Value) -> Answer {
    let path = format!("/trackings/{id}");
    api.call(Method::PATCH, &path, body.to_string().into_bytes(), &[])
        .await
}

pub(super) async fn delete(api: &Api, id: &str) -> Answer {
    let path = format!("/trackings/{id}");
    api.call(Method::DELETE, &path, Vec::new(), &[]).await
}

/// The ids that a list answers, and its cursor.
pub(super) async fn list(api: &Api, query: &str) -> (Vec<String>, Option<String>) {
    let page = api.get(&format!("/trackings?{query}")).await.ok();
    let rows = page["trackings"].as_array().expect("a list").iter();
    let ids = rows.map(|row| row["id"].as_str().expect("an id").to_owned());
    (
        ids.collect(),
        page["nextCursor"].as_str().map(str::to_owned),
    )
}

#[tokio::test]
async fn a_shops_words_are_kept_shown_and_edited() {
    let api = Api::new().await;
    let words = json!({"trackNumber": "A1", "orderId": "A-17", "labels": ["b", "a", "a"], "metadata": {"k": "v"}});
    let ids = create(&api, &[words]).await;
    let shown = api.get(&format!("/trackings/{}", ids[0])).await.ok();
    assert_eq!(shown["orderId"], "A-17");
    assert_eq!(shown["labels"], json!(["a", "b"]));
    let edit = json!({"title": "Shoes", "orderId": null, "addLabels": ["c"], "removeLabels": ["a"], "metadata": {"k": null, "l": "w"}});
    let edited = patch(&api, &ids[0], &edit).await.ok();
    assert_eq!(edited["labels"], json!(["b", "c"]));
    assert_eq!(edited["metadata"], json!({"l": "w"}));
    assert_eq!(
        (&edited["title"], &edited["orderId"]),
        (&json!("Shoes"), &Value::Null)
    );
    assert_eq!(
        api.get(&format!("/trackings/{}", ids[0])).await.ok(),
        edited
    );
    let by_ids = api
        .post("/trackings/get-by-ids", &json!({"ids": ids}))
        .await
        .ok();
    assert_eq!(by_ids["trackings"][0], edited);
}

#[tokio::test]
async fn an_edit_that_says_nothing_or_too_much_changes_nothing() {
    let api = Api::new().await;
    let ids = create(&api, &[json!({"trackNumber": "A1"})]).await;
    let before = api.get(&format!("/trackings/{}", ids[0])).await.ok();
    for (body, part) in [
        (json!({}), "names nothing"),
        (json!({"lables": ["x"]}), "names nothing"),
        (json!([1]), "must be a JSON object"),
        (json!({"state": "GONE"}), "1 fields are not valid"),
        (
            json!({"title": 7, "labels": [""]}),
            "2 fields are not valid",
        ),
    ] {
        let answer = patch(&api, &ids[0], &body).await;
        let detail = answer.problem(422);
        let whole = answer.json().to_string();
        assert!(whole.contains(part), "{detail} {whole}");
    }
    let labels: Vec<String> = (0..20).map(|n| format!("l{n}")).collect();
    patch(&api, &ids[0], &json!({"labels": labels})).await.ok();
    let one_more = patch(&api, &ids[0], &json!({"addLabels": ["one more"]})).await;
    one_more.problem(422);
    assert_eq!(one_more.pointers(), ["/labels"]);
    assert_eq!(
        before["version"],
        api.get(&format!("/trackings/{}", ids[0])).await.ok()["version"]
    );
    assert_eq!(
        patch(&api, "99", &json!({"title": "x"})).await.problem(404),
        "there is no tracking 99"
    );
}

#[tokio::test]
async fn good_lines_are_taken_beside_bad_ones_if_that_is_wanted() {
    let api = Api::new().await;
    let items = json!({"partial": true, "items": [
        {"carrierCode": "CDEK", "trackNumber": "A"},
        {"carrierCode": "CDEK", "trackNumber": ""},
        {"carrierCode": "CDEK", "trackNumber": "B", "labels": [1]},
        {"carrierCode": "CDEK", "trackNumber": "a"},
    ]});
    let answer = api.post("/trackings", &items).await.ok();
    let lines = answer["results"].as_array().expect("a list");
    let words: Vec<&Value> = lines.iter().map(|line| &line["result"]).collect();
    assert_eq!(words, ["CREATED", "REFUSED", "REFUSED", "CREATED"]);
    assert_eq!(lines[1]["errors"][0]["pointer"], "/items/1/trackNumber");
    assert_eq!(lines[2]["errors"][0]["pointer"], "/items/2/labels/0");
    assert_eq!(lines[3]["id"], lines[0]["id"]);
    assert_eq!(answer["trackings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_exists_keeps_its_words_or_is_given_more() {
    let api = Api::new().await;
    create(
        &api,
        &[json!({"trackNumber": "A", "orderId": "1", "labels": ["x"]})],
    )
    .await;
    let again = |on_existing: &str| {
        json!({"onExisting": on_existing, "items": [
            {"carrierCode": "CDEK", "trackNumber": "A", "orderId": "2", "labels": ["y"]},
        ]})
    };
    let kept = api.post("/trackings", &again("keep")).await.ok();
    assert_eq!(kept["trackings"][0]["orderId"], "1");
    let merged = api.post("/trackings", &again("merge")).await.ok();
    assert_eq!(merged["trackings"][0]["orderId"], "2");
    assert_eq!(merged["trackings"][0]["labels"], json!(["x", "y"]));
    assert_eq!(merged["results"][0]["result"], "EXISTS");
}

#[tokio::test]
async fn parcels_are_found_by_what_people_know_of_them() {
    let api = Api::new().await;
    let words = |number: &str, order: &str, label: &str| json!({"trackNumber": number, "orderId": order, "labels": [label]});
    let ids = create(
        &api,
        &[
            words("RA-123 456", "A-17", "x"),
            words("RA123999", "a-18", "y"),
            words("ZZ1", "A-19", "x"),
        ],
    )
    .await;
    let [a, b, c] = ids.as_slice() else {
        panic!("three");
    };
    api.apply(0, &[seen(b, 1)], Vec::new()).await;
    for (query, expected) in [
        // All of one moment: the newest parcel first.
        ("", vec![c, b, a]),
        ("number=ra%20123", vec![a, b]),
        ("number=RA123456", vec![a]),
        ("orderId=%20A-18", vec![b]),
        ("label=x", vec![c, a]),
        ("status=in_transit", vec![b]),
        ("status=IN_TRANSIT,UNKNOWN", vec![c, b, a]),
        ("carrierCode=cdek", vec![c, b, a]),
        ("carrierCode=cdek&status=UNKNOWN", vec![c, a]),
        ("carrierCode=DHL,CDEK&label=y", vec![b]),
        ("failing=true", vec![]),
        ("failing=false&number=zz", vec![c]),
        ("state=STOPPED", vec![]),
    ] {
        let found = list(&api, query).await;
        assert_eq!(found.0.iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(found.1, None, "{query}");
    }
    patch(&api, a, &json!({"state": "ARCHIVED"})).await.ok();
    assert_eq!(list(&api, "").await.0.iter().collect::<Vec<_>>(), [c, b]);
    assert_eq!(
        list(&api, "state=ARCHIVED")
            .await
            .0
            .iter()
            .collect::<Vec<_>>(),
        [a]
    );
    assert_eq!(
        list(&api, "state=ARCHIVED,FOLLOWED")
            .await
            .0
            .iter()
            .collect::<Vec<_>>(),
        [c, b, a]
    );
    let summary = api.get("/trackings/summary").await.ok();
    assert_eq!(
        (&summary["total"], &summary["archived"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(summary["byStatus"], json!({"IN_TRANSIT": 1, "UNKNOWN": 1}));
    for (query, name) in [
        ("status=LOST", "status"),
        ("state=x", "state"),
        ("limit=ten", "limit"),
        ("cursor=x", "cursor"),
        ("number=--", "number"),
        ("failing=maybe", "failing"),
    ] {
        let answer = api.get(&format!("/trackings?{query}")).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), [name], "{query}");
    }
    api.get("/trackings?statuss=LOST").await.problem(422);
}

#[tokio::test]
async fn paging_gives_each_parcel_once() {
    let api = Api::new().await;
    let items: Vec<Value> = (0..130)
        .map(|n| json!({"trackNumber": format!("N{n}"), "labels": [if n % 2 == 0 { "even" } else { "odd" }]}))
        .collect();
    let ids = create(&api, &items).await;
    for (query, expected) in [
        ("", 130),
        ("label=even", 65),
        ("number=N", 130),
        ("label=odd&number=N1", 21),
    ] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let (page, next) = list(&api, &format!("limit=7&cursor={cursor}&{query}")).await;
            assert!(page.len() <= 7);
            seen.extend(page);
            match next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((count, seen.len()), (expected, expected), "{query}");
        assert!(seen.iter().all(|id| ids.contains(id)));
    }
}

#[tokio::test]
async fn many_parcels_are_edited_and_removed_at_once() {
    let api = Api::new().await;
    let ids = create(
        &api,
        &[json!({"trackNumber": "A"}), json!({"trackNumber": "B"})],
    )
    .await;
    let edit =
        json!({"ids": [ids[0], 99, ids[1]], "set": {"addLabels": ["x"], "state": "ARCHIVED"}});
    let answer = api.post("/trackings/edit", &edit).await.ok();
    let words = |answer: &Value| -> Vec<String> {
        let lines = answer["results"].as_array().expect("a list").iter();
        lines
            .map(|line| line["result"].as_str().expect("a word").to_owned())
            .collect()
    };
    assert_eq!(words(&answer), ["EDITED", "UNKNOWN", "EDITED"]);
    assert_eq!(list(&api, "state=ARCHIVED&label=x").await.0.len(), 2);
    let answer = api
        .post("/trackings/remove", &json!({"ids": [99, ids[1]]}))
        .await
        .ok();
    assert_eq!(words(&answer), ["UNKNOWN", "REMOVED"]);
    assert_eq!(list(&api, "state=ARCHIVED").await.0, ids[..1]);
    let bad = api
        .post("/trackings/edit", &json!({"ids": ids, "set": {}}))
        .await;
    bad.problem(422);
    assert_eq!(bad.pointers(), ["/set"]);
}

#[tokio::test]
async fn a_request_with_a_key_takes_effect_once() {
    let api = Api::new().await;
    let body = json!({"items": [
        {"carrierCode": "CDEK", "trackNumber": "A", "orderId": "1"}, {"carrierCode": "CDEK", "trackNumber": "A"},
    ]});
    let post = async |key: &str, body: &Value| {
        let headers = [("idempotency-key", key)];
        let bytes = body.to_string().into_bytes();
        api.call(Method::POST, "/trackings", bytes, &headers).await
    };
    let first = post("\"one\"", &body).await;
    assert_eq!(first.headers.get("idempotency-replayed"), None);
    let first = first.ok();
    let id = first["trackings"][0]["id"].as_str().expect("an id");
    patch(&api, id, &json!({"title": "Shoes"})).await.ok();
    let again = post("one", &body).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let again = again.ok();
    assert_eq!(again["results"], first["results"], "the results of then");
    assert_eq!(again["trackings"][0]["title"], "Shoes", "the states of now");
    let other = json!({"items": [{"carrierCode": "CDEK", "trackNumber": "B"}]});
    let reused = post("one", &other).await;
    assert!(reused.problem(422).contains("new key"));
    assert_eq!(
        reused.json()["type"],
        "urn:trackbox:problem:idempotency-key-reused"
    );
    post("a b", &other).await.problem(422);
    let bad = json!({"items": [{"carrierCode": "CDEK", "trackNumber": ""}]});
    post("two", &bad).await.problem(422);
    let good = post("two", &other).await.ok();
    assert_eq!(
        good["results"][0]["result"], "CREATED",
        "a refusal leaves the key free"
    );
    assert_eq!(
        api.get("/changes").await.ok()["changes"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
}
