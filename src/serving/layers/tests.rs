//! How the layers treat handlers that fail.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Kit, with_fallbacks, wrap};
use crate::config::{Config, Http, Span};
use crate::metrics::Metrics;
use crate::serving::extract::Json;
use crate::serving::problem::Problem;
use crate::serving::server::Server;

/// Small bodies, and `millis` for an answer.
fn http(millis: u64) -> Http {
    let mut http = Config::default().http;
    http.body_limit_bytes = 1_000;
    http.request_timeout = Span::from_millis(millis);
    http
}

fn router(http: &Http) -> Router {
    let router = Router::new()
        .route(
            "/panics",
            get(async || -> Response { panic!("secret: {}", 7) }),
        )
        .route(
            "/fails",
            get(async || Problem::internal(anyhow::anyhow!("secret").context("while reading"))),
        )
        .route("/hangs", get(std::future::pending::<()>))
        .route(
            "/echo",
            post(async |Json(value): Json<Value>| axum::Json(value).into_response()),
        );
    wrap(
        with_fallbacks(router),
        Kit::new(http, Arc::new(Metrics::new())),
    )
}

async fn problem_at(path: &str) -> (Response<()>, Value) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router(&http(100))
        .oneshot(request)
        .await
        .expect("is infallible");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a whole body");
    (
        Response::from_parts(parts, ()),
        serde_json::from_slice(&bytes).expect("is JSON"),
    )
}

#[tokio::test]
async fn a_failure_tells_the_client_nothing_but_the_requests_id() {
    for path in ["/panics", "/fails"] {
        let (response, body) = problem_at(path).await;
        assert_eq!(response.status(), 500);
        assert_eq!(
            body["requestId"].as_str(),
            response.headers()["x-request-id"].to_str().ok()
        );
        assert_eq!(
            body["detail"],
            "the cause is in the log, under the id of this request"
        );
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let (response, body) = problem_at("/hangs").await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body["detail"], "the answer took more than 0.1 s");
}

#[tokio::test]
async fn no_answer_is_taken_for_a_page() {
    let (response, _) = problem_at("/nothing").await;
    assert_eq!(
        response.headers()[header::X_CONTENT_TYPE_OPTIONS],
        "nosniff"
    );
}

#[tokio::test]
async fn a_client_that_sends_too_much_gets_to_read_why() {
    let any_port = ([127, 0, 0, 1], 0).into();
    let http = http(20_000);
    let server = Server::bind(any_port, router(&http), &http, Arc::default())
        .await
        .expect("binds");
    let address = server.address();
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    let head =
        "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 8000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("is sent");
    stream
        .write_all(&[b' '; 8_000_000])
        .await
        .expect("is sent whole");
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer));
    read.await.expect("in time").expect("is read");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(
        answer.contains("a body may have at most 1000 bytes"),
        "{answer}"
    );
    stop.cancel();
    running.await.expect("is no panic").expect("ends well");
}
