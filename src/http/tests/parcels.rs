//! A shop's own parcels: its words about them, the list, and the feed of changes.

use axum::http::Method;
use serde_json::{Value, json};

use crate::current::Told;
use crate::http::tests::{Answer, Api, seen};
use tokio_util::sync::CancellationToken;

/// Creates parcels of CDEK with these numbers and words; their ids.
async fn create(api: &Api, items: &[Value]) -> Vec<String> {
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

async fn patch(api: &Api, id: &str, body: &Value) -> Answer {
    let path = format!("/trackings/{id}");
    api.call(Method::PATCH, &path, body.to_string().into_bytes(), &[])
        .await
}

async fn delete(api: &Api, id: &str) -> Answer {
    let path = format!("/trackings/{id}");
    api.call(Method::DELETE, &path, Vec::new(), &[]).await
}

/// The ids that a list answers, and its cursor.
async fn list(api: &Api, query: &str) -> (Vec<String>, Option<String>) {
    let page = api.get(&format!("/trackings?{query}")).await.ok();
    let rows = page["trackings"].as_array().expect("a list").iter();
    let ids = rows.map(|row| row["id"].as_str().expect("an id").to_owned());
    (
        ids.collect(),
        page["nextCursor"].as_str().map(str::to_owned),
    )
}

/// The types and change numbers of a parcel's changes.
fn types(page: &Value) -> Vec<(String, i64)> {
    let changes = page["changes"].as_array().expect("a list").iter();
    let change = |it: &Value| {
        let kind = it["type"].as_str().expect("a type").to_owned();
        (kind, it["data"]["changeSeq"].as_i64().expect("a number"))
    };
    changes.map(change).collect()
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
        (json!([1]), "must be an object"),
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
async fn a_removed_parcel_is_gone_with_all_that_was_told_of_it() {
    let api = Api::new().await;
    let ids = create(
        &api,
        &[
            json!({"trackNumber": "A", "orderId": "17"}),
            json!({"trackNumber": "B"}),
        ],
    )
    .await;
    api.apply(0, &[seen(&ids[0], 2)], Vec::new()).await;
    let before = api.get("/changes").await.ok();
    assert_eq!(before["changes"].as_array().map(Vec::len), Some(3));
    delete(&api, &ids[0]).await.ok();
    delete(&api, &ids[0]).await.problem(404);
    for path in ["", "/events", "/schedule"] {
        api.get(&format!("/trackings/{}{path}", ids[0]))
            .await
            .problem(404);
    }
    api.post(&format!("/trackings/{}/refresh", ids[0]), &json!({}))
        .await
        .problem(404);
    assert_eq!(list(&api, "").await.0, ids[1..]);
    let after = api.get("/changes").await.ok();
    let told = types(&after);
    assert_eq!(told.len(), 2, "{told:?}");
    let removed = &after["changes"][1];
    assert_eq!(removed["type"], "tracking.removed");
    assert_eq!(removed["data"]["orderId"], "17");
    assert_eq!(removed["data"]["trackNumber"], "A");
    let acts = api.get(&format!("/acts?trackingId={}", ids[0])).await.ok();
    assert_eq!(acts["acts"][0]["act"], "PARCEL_REMOVED", "{acts}");
    assert_eq!(acts["acts"].as_array().map(Vec::len), Some(1));
    // Who follows from before goes on without a gap.
    let cursor = before["cursor"].as_str().expect("a cursor");
    let rest = api.get(&format!("/changes?after={cursor}")).await.ok();
    assert_eq!(types(&rest), [("tracking.removed".to_owned(), 1)]);
}

#[tokio::test]
async fn a_change_tells_the_new_events_and_what_was_before() {
    let api = Api::new().await;
    let ids = create(&api, &[json!({"trackNumber": "A", "labels": ["x"]})]).await;
    let start = api.get("/changes?after=latest").await.ok();
    let cursor = start["cursor"].as_str().expect("a cursor").to_owned();
    api.apply(0, &[seen(&ids[0], 2)], Vec::new()).await;
    api.apply(1, &[seen(&ids[0], 2)], Vec::new()).await;
    let page = api.get(&format!("/changes?after={cursor}")).await.ok();
    assert_eq!(
        types(&page),
        [("tracking.updated".to_owned(), 1)],
        "a repetition is no news"
    );
    let data = &page["changes"][0]["data"];
    assert_eq!(data["eventsTotal"], 2);
    assert_eq!(data["events"][1]["statusRaw"], "STEP 1");
    assert_eq!(data["previous"]["status"], "UNKNOWN");
    assert_eq!(data["statusChanged"], true);
    assert_eq!(data["labels"], json!(["x"]));
    assert_eq!(page["more"], false);
    let none = api.get("/changes?types=tracking.removed").await.ok();
    assert_eq!(none["changes"], json!([]));
    assert_eq!(none["cursor"], page["cursor"]);
}

#[tokio::test]
async fn a_stopped_parcel_is_not_told_and_goes_on_where_it_stands() {
    let api = Api::new().await;
    let ids = create(&api, &[json!({"trackNumber": "A"})]).await;
    let stopped = patch(&api, &ids[0], &json!({"state": "STOPPED"}))
        .await
        .ok();
    assert_eq!(stopped["state"], "STOPPED");
    let schedule = api
        .get(&format!("/trackings/{}/schedule", ids[0]))
        .await
        .ok();
    assert_eq!(schedule["reason"], "DONE", "{schedule}");
    api.apply(0, &[seen(&ids[0], 2)], Vec::new()).await;
    let resumed = patch(&api, &ids[0], &json!({"state": "FOLLOWED"}))
        .await
        .ok();
    assert_eq!(resumed["nextCheckAt"], "2026-11-20T12:00:00Z", "it is due");
    let page = api.get("/changes").await.ok();
    let edited = |seq| ("tracking.edited".to_owned(), seq);
    assert_eq!(
        types(&page)[1..],
        [edited(0), edited(1)],
        "the gap is announced"
    );
}

#[tokio::test]
async fn a_cursor_of_another_feed_or_of_none_is_refused_with_advice() {
    let api = Api::new().await;
    create(&api, &[json!({"trackNumber": "A"})]).await;
    let page = api.get("/changes").await.ok();
    let cursor = page["cursor"].as_str().expect("a cursor");
    let other = Api::new().await;
    other
        .get(&format!("/changes?after={cursor}"))
        .await
        .problem(410);
    create(&other, &[json!({"trackNumber": "B"})]).await;
    let detail = other
        .get(&format!("/changes?after={cursor}"))
        .await
        .problem(410);
    assert!(detail.contains("after=latest"), "{detail}");
    for (query, name) in [
        ("after=x", "after"),
        ("wait=soon", "wait"),
        ("types=webhook.sent", "types"),
        ("trackingId=x", "trackingId"),
    ] {
        let answer = api.get(&format!("/changes?{query}")).await;
        answer.problem(422);
        assert_eq!(answer.pointers(), [name]);
    }
    api.get("/changes?untill=1").await.problem(422);
}

#[tokio::test]
async fn a_long_poll_is_answered_when_there_is_a_change_and_empty_after_its_time() {
    let api = Api::new().await;
    let ids = create(&api, &[json!({"trackNumber": "A"})]).await;
    let stop = CancellationToken::new();
    let told: Told = api.serve.current.told().clone();
    let watching = api.serve.feed.clone();
    let watching = tokio::spawn(watching.watch(api.serve.store.clone(), told, stop.clone()));
    let page = api.get("/changes").await.ok();
    let cursor = page["cursor"].as_str().expect("a cursor");
    let empty = api.get(&format!("/changes?wait=1&after={cursor}")).await;
    let empty = empty.ok();
    assert_eq!(
        (&empty["changes"], &empty["cursor"]),
        (&json!([]), &page["cursor"])
    );
    let waiting = format!("/changes?wait=20&after={cursor}");
    let edit = json!({"title": "x"});
    let (answer, edited) = tokio::join!(api.get(&waiting), patch(&api, &ids[0], &edit));
    edited.ok();
    assert_eq!(types(&answer.ok()), [("tracking.edited".to_owned(), 0)]);
    stop.cancel();
    watching.await.expect("ends").expect("without an error");
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
