//! What every request has around it: ids, limits, compression, health, the page.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use futures_util::stream;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::Span;
use crate::http::tests::{Api, at};
use crate::serving::health::ReadyChecks;

#[tokio::test]
async fn a_plain_request_id_comes_back_and_any_other_is_replaced() {
    let api = Api::new().await;
    let id_for = async |given: &str| {
        let headers = [("x-request-id", given)];
        let answer = api
            .call(Method::GET, "/healthz", Vec::new(), &headers)
            .await;
        answer.headers["x-request-id"]
            .to_str()
            .expect("is text")
            .to_owned()
    };
    assert_eq!(id_for("client-7.A_b:c").await, "client-7.A_b:c");
    for bad in ["", "with space", "<script>", &"x".repeat(65)] {
        let id = id_for(bad).await;
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
    }
}

#[tokio::test]
async fn a_web_page_of_another_site_may_read_but_not_change() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    let cross = [("sec-fetch-site", "cross-site")];
    for path in [
        "/trackings".to_owned(),
        format!("/trackings/{id}/refresh"),
        "/dead-letters/1/retry".to_owned(),
    ] {
        api.call(Method::POST, &path, b"{}".to_vec(), &cross)
            .await
            .problem(403);
    }
    api.call(Method::GET, "/carriers", Vec::new(), &cross)
        .await
        .ok();
    let refresh = format!("/trackings/{id}/refresh");
    let beside = [("sec-fetch-site", "same-site")];
    let answer = api.call(Method::POST, &refresh, Vec::new(), &beside).await;
    // Such as a page at another port of this machine: without a key nothing else keeps it out.
    answer.problem(403);
    for site in ["same-origin", "none"] {
        api.call(
            Method::POST,
            &refresh,
            Vec::new(),
            &[("sec-fetch-site", site)],
        )
        .await
        .ok();
    }
}

#[tokio::test]
async fn a_busy_client_is_told_when_to_retry_and_health_still_answers() {
    let api = Api::with(|config| {
        config.http.flood_per_second = 1;
        config.http.flood_burst = 3;
    })
    .await;
    for _ in 0..3 {
        api.get("/carriers").await.ok();
    }
    for path in ["/carriers", "/nothing", "/docs/"] {
        let answer = api.get(path).await;
        answer.problem(429);
        let wait: u64 = answer.headers[header::RETRY_AFTER]
            .to_str()
            .expect("is text")
            .parse()
            .expect("a number");
        assert!(wait >= 1);
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(api.get(path).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_url_longer_than_eight_kilobytes_is_refused() {
    let api = Api::new().await;
    api.get(&format!("/trackings/1/events?x={}", "a".repeat(9_000)))
        .await
        .problem(414);
}

#[tokio::test]
async fn without_its_database_the_api_says_when_to_retry() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    api.serve.store.clone().close().await;
    let create = json!({"items": [{"carrierCode": "CDEK", "trackNumber": "B"}]});
    for answer in [
        api.get("/readyz").await,
        api.get("/carriers").await,
        api.get(&format!("/trackings/{id}/events")).await,
        api.post("/trackings", &create).await,
        api.post_bytes(&format!("/trackings/{id}/refresh"), Vec::new())
            .await,
    ] {
        let detail = answer.problem(503);
        assert!(
            detail == "the database is not available" || detail == "not ready: missing database",
            "{detail}"
        );
        assert_eq!(answer.headers[header::RETRY_AFTER], "2");
    }
    api.get("/healthz").await.ok();
    assert_eq!(api.get("/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_nothing_else() {
    let api = Api::new().await;
    assert_eq!(api.get("/readyz").await.ok(), json!({"status": "ready"}));
    assert_eq!(api.get("/healthz").await.ok(), json!({"status": "ok"}));
    let ready = ReadyChecks::default()
        .with("bus", async || Err(anyhow::anyhow!("password=secret")))
        .with("database", async || anyhow::Ok(()));
    let api = api.rebuilt(|serve| serve.ready = ready);
    let answer = api.get("/readyz").await;
    assert_eq!(answer.problem(503), "not ready: missing bus");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("secret"));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_ends_with_the_request_time() {
    let api = Api::with(|config| config.http.request_timeout = Span::from_millis(500)).await;
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/trackings").body(never).expect("a request");
    let answer = api.send(request).await;
    assert_eq!(answer.problem(408), "the body did not arrive in time");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let api = Api::new().await;
    let chunks = [
        Ok(b"{\"items\"".to_vec()),
        Err(std::io::Error::other("gone")),
    ];
    let request = Request::post("/trackings")
        .body(Body::from_stream(stream::iter(chunks)))
        .expect("a request");
    let detail = api.send(request).await.problem(422);
    assert!(detail.starts_with("the body broke off"), "{detail}");
}

#[tokio::test]
async fn large_answers_are_compressed_for_clients_that_accept_it() {
    let api = Api::new().await;
    let accept = [("accept-encoding", "gzip")];
    let page = api.call(Method::GET, "/docs/", Vec::new(), &accept).await;
    assert_eq!(page.headers[header::CONTENT_ENCODING], "gzip");
    assert!(page.bytes.len() < 700_000);
    let small = api.call(Method::GET, "/healthz", Vec::new(), &accept).await;
    assert!(!small.headers.contains_key(header::CONTENT_ENCODING));
    let plain = api.get("/docs/").await;
    assert!(!plain.headers.contains_key(header::CONTENT_ENCODING) && plain.bytes.len() > 1_000_000);
}

#[tokio::test]
async fn a_large_problem_reads_the_same_compressed_or_not() {
    let api = Api::new().await;
    let body = json!({"items": vec![json!({}); 100]})
        .to_string()
        .into_bytes();
    let headers = [("accept-encoding", "gzip")];
    let answer = api.call(Method::POST, "/trackings", body, &headers).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers[header::CONTENT_ENCODING], "gzip");
    assert_eq!(&answer.bytes[..2], b"\x1f\x8b");
}

#[tokio::test]
async fn the_page_loads_nothing_from_outside() {
    let api = Api::new().await;
    let page = api.get("/docs/").await;
    let policy = page.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .expect("is text");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("connect-src 'self'"));
    let html = String::from_utf8(page.bytes).expect("is text");
    assert!(!html.contains("<link") && !html.contains("<script src"));
    for (from, to) in [("/docs", "/docs/"), ("/", "/docs/")] {
        let answer = api.get(from).await;
        assert!(answer.status.is_redirection());
        assert_eq!(answer.headers[header::LOCATION], to);
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let api = Api::new().await;
    api.get("/trackings/4711/events").await;
    api.get("/no/such/path").await;
    api.call(
        Method::from_bytes(b"BREW").expect("a method"),
        "/trackings",
        Vec::new(),
        &[],
    )
    .await;
    let text = String::from_utf8(api.get("/metrics").await.bytes).expect("is text");
    for line in [
        r#"trackbox_http_requests_total{route="/trackings/{trackingId}/events",method="GET",status="404"} 1"#,
        r#"trackbox_http_requests_total{route="(none)",method="GET",status="404"} 1"#,
        r#"trackbox_http_requests_total{route="/trackings",method="OTHER",status="405"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains("4711") && !text.contains("/no/such"));
}

#[tokio::test]
async fn a_quiet_client_is_forgotten_until_the_stop() {
    let api = Api::new().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(api.serve.flood.clone().run(stop.clone()));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .expect("in time")
        .expect("ends");
}

#[tokio::test]
async fn a_corrected_event_is_listed_only_if_that_is_wanted() {
    let api = Api::new().await;
    let id = api.create("CDEK", "A").await;
    let update = |check: u128, location: &str| {
        json!({
            "tracking_id": id.parse::<i64>().expect("a number"), "checked_at": at(i64::try_from(check).expect("small")),
            "check_id": Uuid::from_u128(check), "status": "IN_TRANSIT", "status_raw": "SORTED", "derived": true,
            "events": [{"status": "IN_TRANSIT", "status_raw": "SORTED", "event_time": at(-60), "location": location}],
        })
    };
    api.apply(0, &[update(1, ""), update(2, "Омск")], Vec::new())
        .await;
    let places = async |query: &str| {
        let body = api
            .get(&format!("/trackings/{id}/events{query}"))
            .await
            .ok();
        let events = body["events"].as_array().expect("a list").clone();
        let of = |event: &Value| (event["location"].clone(), event["superseded"].clone());
        events.iter().map(of).collect::<Vec<_>>()
    };
    let now = (json!("Омск"), json!(false));
    for query in ["", "?superseded=", "?superseded=false", "?superseded=0"] {
        assert_eq!(places(query).await, std::slice::from_ref(&now), "{query}");
    }
    for query in ["?superseded=true", "?superseded=1&limit=5"] {
        assert_eq!(
            places(query).await,
            [now.clone(), (json!(""), json!(true))],
            "{query}"
        );
    }
    let refused = api
        .get(&format!("/trackings/{id}/events?superseded=maybe"))
        .await;
    assert!(
        refused
            .problem(422)
            .contains("superseded must be true or false")
    );
}
