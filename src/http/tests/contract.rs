//! What the API promises its clients.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::tests::{Api, at, letter, seen};
use crate::model::fixture::unspread;
use crate::plan::quota::Shares;

#[tokio::test]
async fn trackings_come_in_the_order_asked_a_repeated_pair_once() {
    let api = Api::new().await;
    let before = api.create("CDEK", "B").await;
    let items = json!({"items": [
        {"carrierCode": "CDEK", "trackNumber": "A"}, {"carrier_code": "CDEK", "track_number": "B", "extra": [1]},
        {"carrierCode": "CDEK", "trackNumber": "A"}, {"carrierCode": "DHL", "trackNumber": "A"},
    ], "unknown": {"field": null}});
    let first = api.post("/trackings", &items).await.ok();
    let numbers: Vec<&Value> = first["trackings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| &row["trackNumber"])
        .collect();
    assert_eq!(numbers, ["A", "B", "A"]);
    assert_eq!(first["trackings"][1]["id"], before.as_str());
    assert_eq!(first["trackings"][2]["carrierCode"], "DHL");
    let again = api.post("/trackings", &items).await.ok();
    assert_eq!(again["trackings"], first["trackings"]);
    assert_eq!(api.count().await, 3);
}

#[tokio::test]
async fn a_new_tracking_has_the_contracts_fields_in_order_and_is_due() {
    let api = Api::new().await;
    let items = json!({"items": [{"carrierCode": "CDEK", "trackNumber": "A1"}]});
    let answer = api.post("/trackings", &items).await;
    let expected = concat!(
        r#"{"trackings":[{"id":"1","carrierCode":"CDEK","trackNumber":"A1","status":"UNKNOWN","statusRaw":"UNKNOWN","#,
        r#""statusAt":null,"lastCheckedAt":null,"nextCheckAt":"2026-11-20T12:00:00Z","checkFailCount":0,"lastError":"","#,
        r#""updatedAt":"2026-11-20T12:00:00Z","subStatus":null,"direction":"FORWARD","version":1,"changeSeq":0,"#,
        r#""changedAt":null,"unreadableEvents":null,"oldHistory":false,"facts":null,"createdAt":"2026-11-20T12:00:00Z","#,
        r#""state":"FOLLOWED","orderId":null,"title":null,"note":null,"labels":[],"metadata":{}}],"#,
        r#""results":[{"index":0,"result":"CREATED","id":"1"}]}"#,
    );
    assert_eq!(String::from_utf8_lossy(&answer.bytes), expected);
}

#[tokio::test]
async fn ten_thousand_trackings_in_one_post_twice_are_the_same_in_order() {
    let api = Api::new().await;
    let items: Vec<Value> = (0..10_000)
        .map(|n| json!({"carrierCode": "CDEK", "trackNumber": format!("N{}", n * 7_919 % 10_000)}))
        .collect();
    let body = json!({"items": items});
    let first = api.post("/trackings", &body).await.ok();
    let numbers = first["trackings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["trackNumber"].clone());
    assert!(numbers.eq(items.iter().map(|item| item["trackNumber"].clone())));
    let again = api.post("/trackings", &body).await.ok();
    assert_eq!(again["trackings"], first["trackings"]);
}

#[tokio::test]
async fn ids_are_answered_in_order_each_time_and_unknown_ones_left_out() {
    let api = Api::new().await;
    let one = api.create("CDEK", "A").await;
    let two: i64 = api.create("CDEK", "B").await.parse().expect("a number");
    let ids = json!({"ids": [
        two, one, "99", "-1", -7, "9223372036854775808", 18_446_744_073_709_551_615_u64, 1e300, two, "000001",
    ]});
    for _ in 0..2 {
        let body = api.post("/trackings/get-by-ids", &ids).await.ok();
        let found: Vec<&str> = body["trackings"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|row| row["id"].as_str())
            .collect();
        assert_eq!(found, ["2", "1", "2", "1"]);
    }
    for body in ["{}", "[]", r#"{"ids":[]}"#, r#"{"ids":null}"#] {
        let answer = api.post_bytes("/trackings/get-by-ids", body.into()).await;
        assert_eq!(answer.ok(), json!({"trackings": []}), "{body}");
    }
}

#[tokio::test]
async fn what_was_read_once_is_answered_from_the_cache() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    let body = json!({"ids": [id]});
    api.post("/trackings/get-by-ids", &body).await.ok();
    api.serve.store.clone().close().await;
    api.post("/trackings/get-by-ids", &body).await.ok();
    let metrics = String::from_utf8(api.get("/metrics").await.bytes).expect("is text");
    assert!(metrics.contains("trackbox_cache_hits_total 1"), "{metrics}");
    assert!(
        metrics.contains("trackbox_cache_misses_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn events_come_newest_first_in_pages() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    api.apply(0, &[seen(&id, 600)], Vec::new()).await;
    let path = format!("/trackings/{id}/events");
    let lengths = [
        ("", 100),
        ("?limit=", 100),
        ("?limit=0", 100),
        ("?limit=-1", 100),
        ("?limit=1", 1),
        ("?limit=500", 500),
        ("?limit=501", 500),
        ("?limit=99999999999999999999", 500),
        ("?limit=500&offset=590", 10),
        ("?offset=", 100),
        ("?offset=-3", 100),
        ("?offset=99999999999999999999", 0),
        ("?other=x", 100),
    ];
    for (query, length) in lengths {
        let body = api.get(&format!("{path}{query}")).await.ok();
        assert_eq!(
            body["events"].as_array().map(Vec::len),
            Some(length),
            "{query}"
        );
    }
    let body = api.get(&format!("{path}?limit=2&offset=1")).await.ok();
    let first = &body["events"][0];
    assert_eq!(first["statusRaw"], "STEP 598");
    assert_eq!(first["trackingId"], id.as_str());
    assert_eq!(first["payloadJson"], r#"{"n":598}"#);
    assert_eq!(first["location"], "Москва");
    assert!(first["id"].is_string() && first["createdAt"].is_string());
    assert_eq!(body["events"][1]["statusRaw"], "STEP 597");
}

#[tokio::test]
async fn a_tracking_without_events_has_none_and_an_unknown_one_is_not_found() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    assert_eq!(
        api.get(&format!("/trackings/{id}/events")).await.ok(),
        json!({"events": []})
    );
    for unknown in [
        "2",
        "0",
        "-5",
        "9223372036854775808",
        "99999999999999999999999",
    ] {
        let detail = api
            .get(&format!("/trackings/{unknown}/events"))
            .await
            .problem(404);
        assert_eq!(detail, format!("there is no tracking {unknown}"));
        api.post(&format!("/trackings/{unknown}/refresh"), &json!({}))
            .await
            .problem(404);
    }
}

#[tokio::test]
async fn a_refresh_makes_a_parcel_due_and_a_second_soon_changes_nothing() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    api.apply(0, &[seen(&id, 1)], Vec::new()).await;
    let ids = json!({"ids": [id]});
    let read = async || api.post("/trackings/get-by-ids", &ids).await.ok()["trackings"][0].clone();
    let refresh = format!("/trackings/{id}/refresh");

    api.serve.clock.advance(Duration::from_secs(29));
    assert_eq!(api.post_bytes(&refresh, Vec::new()).await.ok(), json!({}));
    let unchanged = read().await;

    api.serve.clock.advance(Duration::from_secs(2));
    assert_eq!(
        api.post_bytes(&refresh, b"{broken \xff".to_vec())
            .await
            .ok(),
        json!({})
    );
    let refreshed = read().await;
    assert_eq!(refreshed["nextCheckAt"], json!(at(31)));
    assert!(refreshed["version"].as_i64() > unchanged["version"].as_i64());

    api.serve.clock.advance(Duration::from_secs(29));
    assert_eq!(
        api.post(&refresh, &json!({"any": "body"})).await.ok(),
        json!({})
    );
    assert_eq!(read().await, refreshed);
}

#[tokio::test]
async fn carriers_show_limits_pauses_and_what_waits() {
    let api = Api::with(|config| {
        if let Some(section) = config.carriers.get_mut("CDEK") {
            section.per_day = 1_000;
        }
    })
    .await;
    api.create("CDEK", "A").await;
    api.create("OTHER", "B").await;
    let store = &api.serve.store;
    store
        .pause("CDEK", at(60), "the carrier answered 429", at(0))
        .await
        .expect("pauses");
    store
        .take_calls("CDEK", 7, &unspread(1_000), &Shares::even(), at(0))
        .await
        .expect("takes");
    let body = api.get("/carriers").await.ok();
    let of = |account: &str| {
        let rows = body["carriers"].as_array().expect("a list");
        rows.iter()
            .find(|row| row["account"] == account)
            .cloned()
            .expect("is listed")
    };
    let cdek = of("CDEK");
    assert_eq!(cdek["limits"]["perMinute"], 60);
    assert_eq!(cdek["limits"]["perSecond"], Value::Null);
    assert_eq!(cdek["usedToday"], 7);
    assert_eq!(cdek["pausedUntil"], json!(at(60)));
    assert_eq!(cdek["pauseReason"], "the carrier answered 429");
    assert_eq!(
        (&cdek["active"], &cdek["due"], &cdek["failing"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let any = of("*");
    assert_eq!(
        (&any["due"], &any["pausedUntil"], &any["usedToday"]),
        (&json!(1), &Value::Null, &Value::Null)
    );

    api.serve.clock.advance(Duration::from_secs(61));
    let later = api.get("/carriers").await.ok();
    assert!(
        later["carriers"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|row| row["pausedUntil"].is_null())
    );
    let metrics = String::from_utf8(api.get("/metrics").await.bytes).expect("is text");
    assert!(
        metrics.contains(r#"trackbox_due_trackings{account="CDEK"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn parcels_whose_carrier_left_the_configuration_are_shown_as_unrouted() {
    let api = Api::new().await;
    api.create("GONE", "A").await;
    let mut config = crate::config::Config::default();
    config.carriers.remove("*");
    let routes = crate::carriers::routes::Routes::new(&config).expect("routes");
    let api = api.rebuilt(|serve| serve.routes = std::sync::Arc::new(routes));
    let body = api.get("/carriers").await.ok();
    assert_eq!(
        body["unrouted"],
        json!([{"carrierCode": "GONE", "active": 1}])
    );
}

#[tokio::test]
async fn unmapped_codes_are_listed() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    let mut update = seen(&id, 0);
    update["events"] = json!([{
        "status": "UNKNOWN", "status_raw": "NEW_CODE", "event_time": at(-9), "message": "что-то новое",
    }]);
    api.apply(0, &[update], Vec::new()).await;
    let body = api.get("/carriers/unmapped?limit=5").await.ok();
    let row = &body["unmapped"][0];
    assert_eq!(
        (&row["carrierCode"], &row["statusRaw"], &row["count"]),
        (&json!("CDEK"), &json!("NEW_CODE"), &json!(1))
    );
    assert_eq!(
        (&row["message"], &row["trackingId"]),
        (&json!("что-то новое"), &json!(id))
    );
}

#[tokio::test]
async fn dead_letters_are_listed_by_cursor_newest_first() {
    let api = Api::new().await;
    let letters = (0..5).map(|n| letter(n, b"\xffno text", 8)).collect();
    api.apply(7, &[], letters).await;
    let mut offsets = Vec::new();
    let mut cursor = String::new();
    loop {
        let body = api
            .get(&format!("/dead-letters?limit=2&cursor={cursor}"))
            .await
            .ok();
        for letter in body["deadLetters"].as_array().expect("a list") {
            assert_eq!(letter["value"], "\u{fffd}no text");
            offsets.push(letter["offset"].as_str().expect("text").to_owned());
        }
        match body["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(offsets, ["4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn a_dead_letter_is_published_again_as_it_was_and_forgotten() {
    let api = Api::new().await;
    api.apply(7, &[], vec![letter(0, b"\xffno text", 8)]).await;
    let id = api.get("/dead-letters").await.ok()["deadLetters"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let retry = format!("/dead-letters/{id}/retry");
    assert_eq!(
        api.post_bytes(&retry, Vec::new()).await.ok(),
        json!({"published": true})
    );
    let bus = api.serve.bus.clone().expect("a bus");
    let records = bus
        .fetch(0, 0, Duration::ZERO)
        .await
        .expect("fetches")
        .records;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key.as_deref(), Some(&b"1"[..]));
    assert_eq!(records[0].value.as_deref(), Some(&b"\xffno text"[..]));
    api.post_bytes(&retry, Vec::new()).await.problem(404);
    assert_eq!(
        api.get("/dead-letters").await.ok(),
        json!({"deadLetters": [], "nextCursor": null})
    );
}

#[tokio::test]
async fn a_dead_letter_that_was_cut_or_has_no_bus_stays() {
    let api = Api::new().await;
    api.apply(
        7,
        &[],
        vec![letter(0, b"cut", 100_000), letter(1, b"whole", 5)],
    )
    .await;
    let letters = api.get("/dead-letters").await.ok();
    let retry = |place: usize| {
        let id = letters["deadLetters"][place]["id"].as_str().expect("an id");
        format!("/dead-letters/{id}/retry")
    };
    let detail = api.post_bytes(&retry(1), Vec::new()).await.problem(409);
    assert!(detail.contains("3 of its 100000 bytes"), "{detail}");
    let api = api.rebuilt(|serve| serve.bus = None);
    let detail = api.post_bytes(&retry(0), Vec::new()).await.problem(503);
    assert!(detail.contains("no bus"), "{detail}");
    assert_eq!(api.get("/dead-letters").await.ok(), letters);
    for (id, status) in [
        ("99", 404),
        ("-1", 404),
        ("99999999999999999999", 404),
        ("x", 422),
    ] {
        api.call(
            Method::POST,
            &format!("/dead-letters/{id}/retry"),
            Vec::new(),
            &[],
        )
        .await
        .problem(status);
    }
}
