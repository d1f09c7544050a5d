//! The connections, against servers that do as a script says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::HOST;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use super::{Connection, Connections, WireError};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// The most bytes read of an answer.
const BYTES_MAX: usize = 1_000;

/// Connections that trust `certificate` alone.
fn connections(certificate: Option<&CertificateDer<'static>>, proxies: Matcher) -> Connections {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificate.cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Connections::new(config, proxies)
}

fn plain() -> Connections {
    connections(None, Matcher::builder().build())
}

/// Listens, and hands over each connection that it accepts.
async fn listen(scheme: &str) -> (Url, UnboundedReceiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has an address").port();
    let (accepted, streams) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if accepted.send(stream).is_err() {
                return;
            }
        }
    });
    let url = format!("{scheme}://localhost:{port}/path?query");
    (Url::parse(&url).expect("is a URL"), streams)
}

/// Reads the head of a request and answers with `bytes`.
async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    stream.write_all(bytes).await.expect("is sent");
    stream.flush().await.expect("is sent");
    String::from_utf8(head).expect("is text")
}

/// Sends a request and reads the answer.
async fn ask(connection: &mut Connection) -> Result<Bytes, WireError> {
    let request = Request::get("/path?query").header(HOST, "localhost");
    let request = request.body(Full::default()).expect("is a request");
    let response = connection.send(request).await?;
    connection.read(response.into_body(), BYTES_MAX).await
}

#[tokio::test]
async fn a_connection_is_used_again_as_long_as_the_server_keeps_it() {
    let (url, mut accepted) = listen("http").await;
    let connections = plain();
    let mut connection = connections.open(&url).await.expect("connects");
    let mut first = accepted.recv().await.expect("a connection");
    for _ in 0..3 {
        let (answered, head) = tokio::join!(ask(&mut connection), answer(&mut first, OK));
        assert_eq!(answered.expect("is answered"), "hi");
        assert!(head.starts_with("GET /path?query HTTP/1.1\r\n"), "{head}");
        connections.keep(connection);
        connection = connections.open(&url).await.expect("is idle");
        assert!(accepted.try_recv().is_err(), "it is the same connection");
    }
    connections.keep(connection);

    first.shutdown().await.expect("closes");
    drop(first);
    let second = async {
        loop {
            let connection = connections.open(&url).await.expect("connects");
            if accepted.try_recv().is_ok() {
                return;
            }
            connections.keep(connection);
            tokio::task::yield_now().await;
        }
    };
    let opened = tokio::time::timeout(Duration::from_secs(5), second).await;
    opened.expect("a closed connection is not used again");
}

#[tokio::test]
async fn an_answer_that_ends_the_connection_or_is_cut_off_is_told_apart() {
    let closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    let huge = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(BYTES_MAX + 1));
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi";
    let (url, mut accepted) = listen("http").await;
    for (bytes, expected) in [
        (&closing[..], Ok("hi")),
        (huge.as_bytes(), Err("the answer has more than 1000 bytes")),
        (&b""[..], Err("the connection was closed before an answer")),
        (&cut[..], Err("end of file before message length reached")),
        (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            Err("invalid HTTP version parsed"),
        ),
    ] {
        let connections = plain();
        let mut connection = connections.open(&url).await.expect("connects");
        let server = async {
            let mut stream = accepted.recv().await.expect("a connection");
            answer(&mut stream, bytes).await;
        };
        let (answered, ()) = tokio::join!(ask(&mut connection), server);
        let answered = answered.map_err(|error| error.to_string());
        let expected = expected.map(Bytes::from).map_err(str::to_owned);
        assert_eq!(answered, expected);
        connections.keep(connection);
        let mut another = connections.open(&url).await.expect("connects");
        assert!(another.is_ready());
        let _new = accepted.recv().await.expect("it is a new connection");
    }
}

#[tokio::test]
async fn a_request_on_a_connection_that_was_closed_is_not_sent() {
    let (url, mut accepted) = listen("http").await;
    let mut connection = plain().open(&url).await.expect("connects");
    drop(accepted.recv().await.expect("a connection"));
    let closed = async {
        while connection.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    closed.await;
    let error = ask(&mut connection).await.expect_err("is closed");
    assert!(matches!(error, WireError::Unsent), "{error:?}");
}

#[tokio::test]
async fn connecting_has_a_time_out_of_its_own_and_names_what_failed() {
    let connections = plain();
    let (silent, _accepted) = listen("https").await;
    let began = Instant::now();
    let error = connections.open(&silent).await.err().expect("is silent");
    assert_eq!(error.to_string(), "no connection within 5 s");
    assert!(began.elapsed() < Duration::from_secs(10));

    let closed = Url::parse("http://me:hunter2@localhost:1/?key=hunter2").expect("is a URL");
    let error = connections.open(&closed).await.err().expect("is closed");
    let text = format!("{error} {error:?}");
    assert!(text.contains("Connection refused"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_private_certificate_is_trusted_also_through_a_proxy() {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("signs");
    let key = PrivateKeyDer::from_pem_slice(own.signing_key.serialize_pem().as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("are known")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.expect("is a key"))
        .expect("fits");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (url, mut accepted) = listen("https").await;
    let (proxy, mut at_proxy) = listen("http").await;
    let proxies = Matcher::builder().https(proxy.as_str().to_owned()).build();
    for (proxies, is_proxied) in [(Matcher::builder().build(), false), (proxies, true)] {
        let connections = connections(Some(own.cert.der()), proxies);
        let client = async {
            let mut connection = connections.open(&url).await.expect("connects");
            ask(&mut connection).await.expect("is answered")
        };
        let server = async {
            let stream = if is_proxied {
                let mut stream = at_proxy.recv().await.expect("a connection");
                let asked = answer(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n").await;
                assert!(asked.starts_with("CONNECT localhost:"), "{asked}");
                stream
            } else {
                accepted.recv().await.expect("a connection")
            };
            let mut stream = acceptor.accept(stream).await.expect("shakes hands");
            answer(&mut stream, OK).await;
        };
        let (answered, ()) = tokio::join!(client, server);
        assert_eq!(answered, "hi");
    }
    let stranger = plain();
    let server = async {
        let stream = accepted.recv().await.expect("a connection");
        acceptor.accept(stream).await.map(drop)
    };
    let (refused, handshake) = tokio::join!(stranger.open(&url), server);
    let error = refused.err().expect("is not trusted").to_string();
    assert!(error.contains("certificate"), "{error}");
    handshake.expect_err("is refused");
}
