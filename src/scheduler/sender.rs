//! Sends an adapter's request over HTTP, once, and reads the answer within the time-out and the size limit.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    RETRY_AFTER, USER_AGENT,
};
use hyper::{Request as HttpRequest, http};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use tokio::time::timeout;
use url::{Position, form_urlencoded};

use crate::carriers::declared::xml;
use crate::carriers::routes::Account;
use crate::carriers::{
    ANSWER_BYTES_MAX, Answer, Auth, Body, CarrierError, Method, Request, TOKEN_MARK,
};
use crate::clock::{Clock, Time};
use crate::model::token::Token;
use crate::scheduler::coding::decoded;
use crate::scheduler::connections::{Connection, Connections, WireError};

/// How long a request may be on its way to a carrier without a limit by the second or the minute.
const TRANSIT: Duration = Duration::from_secs(1);

/// Sends a worker's requests.
pub struct Sender {
    clock: Clock,
    connections: Arc<Connections>,
}

impl Sender {
    pub fn new(clock: Clock, connections: Arc<Connections>) -> Self {
        Self { clock, connections }
    }

    /// An open connection for `request`. It needs no permit: a connection is no call.
    ///
    /// # Errors
    /// [`CarrierError::Unreachable`].
    pub async fn connect(&self, request: &Request) -> Result<Connection, CarrierError> {
        let opening = self.connections.open(&request.url);
        opening.await.map_err(carrier_error)
    }

    /// Sends a request of an adapter, with its account's token, and reads the whole answer. `None` if nothing was sent, because the server had closed
    /// the connection: that was no call.
    ///
    /// # Errors
    /// If there is no whole answer `within` the time, it is too long, or it asks for a pause.
    pub async fn send(
        &self,
        connection: Connection,
        request: &Request,
        token: Option<&Token>,
        within: Duration,
    ) -> Result<Option<Answer>, CarrierError> {
        match timeout(within, self.exchange(connection, request, token)).await {
            Ok(answer) => answer,
            Err(_) => Err(CarrierError::Timeout { timeout: within }),
        }
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: &Request,
        token: Option<&Token>,
    ) -> Result<Option<Answer>, CarrierError> {
        let request = http_request(request, token).map_err(|error| CarrierError::Unreachable {
            reason: format!("cannot make a request: {error}"),
        })?;
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(WireError::Unsent) => return Ok(None),
            Err(error) => return Err(carrier_error(error)),
        };
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| read_retry_after(text, self.clock.now()));
        if status == 429 || (status == 503 && retry_after.is_some()) {
            return Err(CarrierError::RateLimited {
                status,
                retry_after,
            });
        }
        let (head, body) = response.into_parts();
        let reading = connection.read(body, ANSWER_BYTES_MAX);
        let body = reading.await.map_err(carrier_error)?;
        self.connections.keep(connection);
        let body = decoded(&head.headers, body, ANSWER_BYTES_MAX).map_err(carrier_error)?;
        let body = body.to_vec();
        Ok(Some(Answer { status, body }))
    }
}

/// How long a request to the account's carrier may be on its way; the limiter's spacing allows for it.
pub(super) fn transit(account: &Account) -> Duration {
    account.limits.transit().unwrap_or(TRANSIT)
}

fn http_request(
    request: &Request,
    token: Option<&Token>,
) -> http::Result<HttpRequest<Full<Bytes>>> {
    let url = &request.url;
    let method = match request.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
    };
    let mut builder = HttpRequest::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(ACCEPT, "*/*")
        .header(ACCEPT_ENCODING, "gzip")
        .header(USER_AGENT, concat!("trackbox/", env!("CARGO_PKG_VERSION")));
    let inside = token.filter(|_| request.auth == Auth::TokenInside);
    let bearer = token.filter(|_| inside.is_none());
    let bearer = bearer.map(|token| format!("Bearer {}", token.expose()));
    let with_token = |text: &str, as_it_stands: fn(&str) -> String| match inside {
        Some(token) => text.replace(TOKEN_MARK, &as_it_stands(token.expose())),
        None => text.to_owned(),
    };
    if let Some(credentials) = bearer.or_else(|| credentials(url)) {
        builder = builder.header(AUTHORIZATION, credentials);
    }
    let (content_type, body) = match &request.body {
        Body::None => (None, Vec::new()),
        Body::Json(json) => (Some("application/json"), json.to_string().into_bytes()),
        Body::Form(fields) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            let form = form.extend_pairs(fields).finish();
            (Some("application/x-www-form-urlencoded"), form.into())
        }
        Body::Text { content_type, text } => {
            let text = with_token(text, xml::escaped);
            (Some(content_type.as_ref()), text.into())
        }
    };
    if let Some(content_type) = content_type {
        builder = builder.header(CONTENT_TYPE, content_type);
    }
    let mut made = builder.body(Full::new(body.into()))?;
    // In the place of what stands there by default: a header that is there twice is refused by some, or read as the first.
    for (name, value) in &request.headers {
        let value = HeaderValue::try_from(with_token(value, str::to_owned))?;
        made.headers_mut()
            .insert(HeaderName::try_from(name.as_ref())?, value);
    }
    Ok(made)
}

/// The user and password of a URL, as a header for a gateway that asks for them.
fn credentials(url: &Url) -> Option<String> {
    let password = url.password();
    if url.username().is_empty() && password.is_none() {
        return None;
    }
    let mut text: Vec<u8> = percent_decode_str(url.username()).collect();
    text.push(b':');
    text.extend(percent_decode_str(password.unwrap_or_default()));
    Some(format!("Basic {}", STANDARD.encode(text)))
}

fn carrier_error(error: WireError) -> CarrierError {
    match error {
        WireError::TooLong(_) => CarrierError::TooLong,
        WireError::Coding(reason) => CarrierError::Unreadable { reason },
        WireError::Closed => CarrierError::Closed,
        error => CarrierError::Unreachable {
            reason: error.to_string(),
        },
    }
}

/// Reads Retry-After: seconds, or an HTTP date (RFC 9110, section 10.2.3).
fn read_retry_after(text: &str, now: Time) -> Option<Duration> {
    if let Ok(secs) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(secs));
    }
    let at: DateTime<Utc> = DateTime::parse_from_rfc2822(text.trim()).ok()?.into();
    Some(
        (at - now)
            .max(TimeDelta::zero())
            .to_std()
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hyper_util::client::proxy::matcher::Matcher;
    use reqwest::Url;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::{Sender, http_request};
    use crate::carriers::{Answer, Auth, Body, CarrierError, Request, TOKEN_MARK};
    use crate::clock::Clock;
    use crate::model::fixture::at;
    use crate::model::token::Token;
    use crate::scheduler::connections::Connections;

    /// "hi", as gzip writes it.
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xc8\x04\0\xac\x2a\x93\xd8\x02\0\0\0";

    /// What comes of a server that sends `body` with this coding, and the head of the request that it got.
    async fn sent(coding: &str, body: &[u8]) -> (Result<Option<Answer>, CarrierError>, String) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("are known")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let connections = Connections::new(tls, Matcher::builder().build());
        let sender = Sender::new(Clock::manual(at(0)), Arc::new(connections));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        let url = Url::parse(&format!("http://127.0.0.1:{port}/")).expect("is a URL");
        let request = Request::get(url);
        let token = Token::new("t0ken", at(0), Duration::from_secs(60)).expect("a token");
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("connects");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ncontent-encoding: {coding}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.expect("is sent");
            stream.write_all(body).await.expect("is sent");
            String::from_utf8(head).expect("is text")
        };
        let client = async {
            let connection = sender.connect(&request).await?;
            sender
                .send(connection, &request, Some(&token), Duration::from_secs(10))
                .await
        };
        tokio::join!(client, server)
    }

    #[tokio::test]
    async fn the_token_of_the_account_is_sent_as_a_bearer() {
        let (_, head) = sent("gzip", GZIP).await;
        assert!(head.contains("authorization: Bearer t0ken\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_compressed_answer_is_asked_for_and_read() {
        let (answer, head) = sent("gzip", GZIP).await;
        let body = b"hi".to_vec();
        assert_eq!(answer, Ok(Some(Answer { status: 200, body })));
        assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
        let (answer, _) = sent("br", b"?").await;
        let error = answer.expect_err("is not known").to_string();
        assert!(error.contains("it is compressed as \"br\""), "{error}");
    }

    #[test]
    fn a_token_stands_where_the_request_has_it_and_nowhere_else() {
        let url = Url::parse("http://127.0.0.1/").expect("is a URL");
        let request = Request {
            headers: vec![
                ("x-token".into(), format!("a {TOKEN_MARK}")),
                ("Accept".into(), "text/xml".to_owned()),
                ("User-Agent".into(), "shop".to_owned()),
                ("Content-Type".into(), "text/xml; charset=utf-8".to_owned()),
            ],
            auth: Auth::TokenInside,
            body: Body::Text {
                content_type: "text/xml".into(),
                text: format!("<t>{TOKEN_MARK}</t>"),
            },
            ..Request::get(url)
        };
        let token = Token::new("t0&ken", at(0), Duration::from_secs(60)).expect("a token");
        let made = http_request(&request, Some(&token)).expect("is a request");
        assert_eq!(made.headers()["x-token"], "a t0&ken");
        assert!(!made.headers().contains_key("authorization"));
        // A header of the file's takes the place of a default one.
        for (name, value) in [
            ("accept", "text/xml"),
            ("user-agent", "shop"),
            ("content-type", "text/xml; charset=utf-8"),
        ] {
            let all: Vec<_> = made.headers().get_all(name).iter().collect();
            assert_eq!(all, [value], "{name}");
        }
        let body = format!("{:?}", made.body());
        assert!(body.contains("<t>t0&amp;ken</t>"), "{body}");
    }
}
