//! What a shop is told of its parcels, and how it follows.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::current::Told;
use crate::http::tests::parcels::{create, delete, list, patch};
use crate::http::tests::{Api, seen};

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
