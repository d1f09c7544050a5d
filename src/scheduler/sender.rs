//! Sends an adapter's request over HTTP, once, and reads the answer within the time-out and the size limit.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request as HttpRequest, http};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use tokio::time::timeout;
use url::Position;

use crate::carriers::routes::Account;
use crate::carriers::{ANSWER_BYTES_MAX, Answer, CarrierError, Method, Request};
use crate::clock::{Clock, Time};
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

    /// Sends a request of an adapter and reads the whole answer. `None` if nothing was sent, because the server had closed
    /// the connection: that was no call.
    ///
    /// # Errors
    /// If there is no whole answer `within` the time, it is too long, or it asks for a pause.
    pub async fn send(
        &self,
        connection: Connection,
        request: &Request,
        within: Duration,
    ) -> Result<Option<Answer>, CarrierError> {
        match timeout(within, self.exchange(connection, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(CarrierError::Timeout { timeout: within }),
        }
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: &Request,
    ) -> Result<Option<Answer>, CarrierError> {
        let request = http_request(request).map_err(|error| CarrierError::Unreachable {
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
        let reading = connection.read(response.into_body(), ANSWER_BYTES_MAX);
        let body = reading.await.map_err(carrier_error)?.to_vec();
        self.connections.keep(connection);
        Ok(Some(Answer { status, body }))
    }
}

/// How long a request to the account's carrier may be on its way; the limiter's spacing allows for it.
pub(super) fn transit(account: &Account) -> Duration {
    account.limits.transit().unwrap_or(TRANSIT)
}

fn http_request(request: &Request) -> http::Result<HttpRequest<Full<Bytes>>> {
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
        .header(USER_AGENT, concat!("trackbox/", env!("CARGO_PKG_VERSION")));
    if let Some(credentials) = credentials(url) {
        builder = builder.header(AUTHORIZATION, credentials);
    }
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    let mut body = Bytes::new();
    if let Some(json) = &request.json {
        builder = builder.header(CONTENT_TYPE, "application/json");
        body = json.to_string().into();
    }
    builder.body(Full::new(body))
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
