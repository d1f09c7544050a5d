//! The limits of the server, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{FULL, Served, Server};
use crate::config::{Config, Http, Span};
use crate::metrics::Metrics;

/// Longer than any of these tests takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    served: Served,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
    metrics: Arc<Metrics>,
    /// Notified when `/slow` has begun.
    begun: Arc<Notify>,
    /// Notified when the answer of `/endless` is dropped.
    dropped: Arc<Notify>,
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn start(adapt: impl FnOnce(&mut Http)) -> Running {
    let mut http = Config::default().http;
    adapt(&mut http);
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let slow = async move || {
        told.notify_one();
        tokio::time::sleep(Duration::from_millis(200)).await;
        "done"
    };
    let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string();
    let dropped = Arc::new(Notify::new());
    let kept = Arc::clone(&dropped);
    let endless = async move || {
        let guard = NotifyOnDrop(kept);
        Body::from_stream(stream::repeat_with(move || {
            let NotifyOnDrop(_) = &guard;
            std::io::Result::Ok(Bytes::from_static(&[b'x'; 64 * 1024]))
        }))
    };
    let router = Router::new()
        .route("/endless", get(endless))
        .route("/peer", get(peer))
        .route("/slow", get(slow));
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let metrics = Arc::new(Metrics::new());
    let server = Server::bind(any_port, router, &http, Arc::clone(&metrics))
        .await
        .expect("binds");
    let (address, served) = (server.address(), server.served());
    let stop = CancellationToken::new();
    let ended = tokio::spawn(server.run(stop.clone()));
    Running {
        address,
        served,
        stop,
        ended,
        metrics,
        begun,
        dropped,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    /// Sends `bytes` and reads until the server closes.
    async fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("is sent");
        read_all(stream).await
    }
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("is closed in time");
    // A reset after the answer is as good as an end.
    match read {
        Ok(_) | Err(_) => String::from_utf8_lossy(&answer).into_owned(),
    }
}

#[tokio::test]
async fn a_request_is_answered_and_told_its_peer() {
    let server = start(|_| ()).await;
    let answer = server
        .talk(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("127.0.0.1"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_router_that_is_set_later_answers_on_open_connections_too() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    let unknown = b"GET /later HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(unknown).await.expect("is sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("is answered"));
    }
    assert!(head.starts_with(b"HTTP/1.1 404 "));
    let later = Router::new().route("/later", get(async || "later"));
    server.served.set(later);
    let known = b"GET /later HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(known).await.expect("is sent");
    assert!(read_all(stream).await.ends_with("later"));
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_cut_off() {
    let server = start(|http| http.header_timeout = Span::from_millis(200)).await;
    for half in [
        &b""[..],
        b"GET /peer HT",
        b"GET /peer HTTP/1.1\r\nhost: x\r\n",
    ] {
        let began = Instant::now();
        let answer = server.talk(half).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        assert!(began.elapsed() >= Duration::from_millis(150));
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off() {
    let server = start(|http| http.request_timeout = Span::from_millis(50)).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("is sent");
    tokio::time::timeout(PATIENCE, server.dropped.notified())
        .await
        .expect("is cut off");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(|http| http.header_timeout = Span::from_millis(200)).await;
    let answer = server.talk(b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let server = start(|_| ()).await;
    let header = format!(
        "GET /peer HTTP/1.1\r\nhost: x\r\nx-big: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    let url = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let many = format!(
        "GET /peer HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x-many: a\r\n".repeat(500)
    );
    for request in [header, url, many] {
        let answer = server.talk(request.as_bytes()).await;
        let refused = answer.is_empty()
            || answer.starts_with("HTTP/1.1 431")
            || answer.starts_with("HTTP/1.1 414");
        assert!(refused, "{answer}");
    }
    let answer = server
        .talk(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn one_connection_too_many_is_refused_until_another_ends() {
    let server = start(|http| http.connections_max = 2).await;
    let held = [server.connect().await, server.connect().await];
    let refused = read_all(server.connect().await).await;
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"),
        "{refused}"
    );
    assert_eq!(server.metrics.http_connections().get(), 2);
    assert_eq!(server.metrics.http_connections_refused().get(), 1);
    drop(held);
    let began = Instant::now();
    loop {
        let answer = server
            .talk(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await;
        if answer.starts_with("HTTP/1.1 200 OK") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
    }
    server.stop.cancel();
    server.ended.await.expect("is no panic").expect("ends well");
    assert_eq!(server.metrics.http_connections().get(), 0, "all have ended");
}

#[test]
fn the_answer_to_a_refused_connection_is_well_formed() {
    let text = std::str::from_utf8(FULL).expect("is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{}",
        body.len()
    );
    let body: serde_json::Value = serde_json::from_str(body).expect("is JSON");
    assert_eq!(body["status"], 503);
}

#[tokio::test]
async fn a_stop_lets_the_request_in_progress_end_and_accepts_no_other() {
    let server = start(|_| ()).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("is sent");
    let idle = server.connect().await;
    server.begun.notified().await;
    server.stop.cancel();
    assert!(read_all(busy).await.ends_with("done"));
    assert!(read_all(idle).await.is_empty());
    tokio::time::timeout(PATIENCE, server.ended)
        .await
        .expect("in time")
        .expect("is no panic")
        .expect("ends well");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_stop_waits_for_no_request_longer_than_it_may() {
    let server = start(|http| http.stop_wait = Span::from_millis(20)).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("is sent");
    let mut first = [0; 1];
    busy.read_exact(&mut first).await.expect("has begun");
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, server.ended)
        .await
        .expect("in time")
        .expect("is no panic")
        .expect("ends well");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = start(|_| ()).await;
    let http = Config::default().http;
    let error = Server::bind(server.address, Router::new(), &http, Arc::default())
        .await
        .expect_err("is taken");
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {}", server.address)
    );
}
