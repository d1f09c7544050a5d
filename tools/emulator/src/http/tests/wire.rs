//! Each fault as a client sees it on the wire: the bytes, and how the connection ends.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::emulator::Emulator;
use crate::options::{Options, Progress};
use crate::serve::serve;
use crate::time::Time;

/// An emulator on a port of its own.
struct Wire {
    address: std::net::SocketAddr,
    _stop: DropGuard,
}

impl Wire {
    /// Starts one with a fault for every call of carrier A.
    async fn with(fault: Value) -> Self {
        let options = Options {
            progress: Progress::Clock,
            ..Options::default()
        };
        let emulator = Emulator::new(options, Time::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let stop = CancellationToken::new();
        tokio::spawn(serve(emulator, listener, stop.clone()));
        let wire = Self {
            address,
            _stop: stop.drop_guard(),
        };
        let mut rule = fault;
        rule["carrier"] = json!("A");
        let body = rule.to_string();
        let head = "POST /v1/admin/faults HTTP/1.1\r\nhost: x\r\nconnection: close";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = wire.send(&request, Duration::from_secs(5)).await.0;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        wire
    }

    /// Sends a request. Returns the bytes that came until the connection ended, and whether it ended in time.
    async fn send(&self, request: &str, within: Duration) -> (String, bool) {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut bytes = Vec::new();
        let read = async {
            let mut piece = [0; 65_536];
            // A reset ends it as well.
            while let Ok(size @ 1..) = stream.read(&mut piece).await {
                bytes.extend_from_slice(&piece[..size]);
            }
        };
        let ended = tokio::time::timeout(within, read).await.is_ok();
        (String::from_utf8_lossy(&bytes).into_owned(), ended)
    }

    async fn ask(&self) -> (String, bool) {
        let request = "GET /v1/tracking/A/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        self.send(request, Duration::from_secs(2)).await
    }
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("has a head").1
}

fn announced(answer: &str) -> usize {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    line.and_then(|length| length.trim().parse().ok())
        .expect("announces a length")
}

#[tokio::test]
async fn a_truncated_answer_has_a_head_and_half_of_what_it_announces() {
    let wire = Wire::with(json!({"fault": "truncated"})).await;
    let (answer, ended) = wire.ask().await;
    assert!(ended && answer.starts_with("HTTP/1.1 200"), "{answer}");
    let length = announced(&answer);
    assert_eq!(body_of(&answer).len(), length / 2);
    assert!(body_of(&answer).starts_with("{\"carrier\""), "{answer}");
}

#[tokio::test]
async fn a_closed_connection_ends_without_a_byte() {
    let wire = Wire::with(json!({"fault": "closed"})).await;
    assert_eq!(wire.ask().await, (String::new(), true));
}

#[tokio::test]
async fn a_hanging_carrier_says_nothing_and_keeps_the_connection() {
    let wire = Wire::with(json!({"fault": "hang"})).await;
    assert_eq!(wire.ask().await, (String::new(), false));
}

#[tokio::test]
async fn a_slow_drip_comes_byte_by_byte() {
    let wire = Wire::with(json!({"fault": "slowDrip", "everyMs": 100})).await;
    let (answer, ended) = wire.ask().await;
    assert!(!ended && answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    assert!(body.len() < 400, "two seconds of it: {body}");
}

#[tokio::test]
async fn a_huge_body_has_the_size_asked_for() {
    let wire = Wire::with(json!({"fault": "hugeBody", "bytes": 3_000_000})).await;
    let (answer, ended) = wire.ask().await;
    assert!(ended && answer.len() > 3_000_000, "{} bytes", answer.len());
}

#[tokio::test]
async fn other_faults_answer_in_full_and_in_time() {
    let told: [(Value, &str, &str); 8] = [
        (json!({"fault": "malformed"}), "HTTP/1.1 200", "<html>"),
        (
            json!({"fault": "wrongContentType"}),
            "HTTP/1.1 200",
            "content-type: text/html",
        ),
        (
            json!({"fault": "wrongStatus", "code": 418}),
            "HTTP/1.1 418",
            "\"track_number\"",
        ),
        (json!({"fault": "status", "code": 502}), "HTTP/1.1 502", ""),
        (
            json!({"fault": "tooManyRequests", "retryAfterSecs": 7}),
            "HTTP/1.1 429",
            "retry-after: 7",
        ),
        (json!({"fault": "notFound"}), "HTTP/1.1 404", "detail"),
        (json!({"fault": "invalidUtf8"}), "HTTP/1.1 200", "\u{fffd}"),
        (json!({"fault": "nul"}), "HTTP/1.1 200", "\\u0000"),
    ];
    for (fault, status, holds) in told {
        let (answer, ended) = Wire::with(fault.clone()).await.ask().await;
        assert!(ended, "{fault}");
        assert!(answer.starts_with(status), "{fault}: {answer}");
        assert!(answer.contains(holds), "{fault}: {answer}");
    }
}
