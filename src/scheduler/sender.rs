//! Sends an adapter's request over HTTP, once, and reads the answer within the time-out and the size limit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::carriers::routes::{Account, Route};
use crate::carriers::{ANSWER_BYTES_MAX, Answer, CarrierError, Method, Request};
use crate::clock::{Clock, Time};
use crate::scheduler::parts::SchedulerParts;

/// How long connecting to a carrier without limits may take. With limits it is the transit time that the limiter allows
/// for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection to a carrier is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends a worker's requests.
pub struct Sender {
    clock: Clock,
    /// One HTTP client for each connect time-out.
    clients: HashMap<Duration, reqwest::Client>,
}

impl Sender {
    /// # Errors
    /// If an HTTP client cannot be made.
    pub fn new(parts: &SchedulerParts) -> anyhow::Result<Self> {
        let mut clients = HashMap::new();
        for account in parts.routes.accounts() {
            let connect = connect_timeout(account);
            if let Entry::Vacant(vacant) = clients.entry(connect) {
                vacant.insert(client(connect)?);
            }
        }
        let clock = parts.clock.clone();
        Ok(Self { clock, clients })
    }

    /// Sends a request of an adapter and reads the whole answer.
    ///
    /// # Errors
    /// If there is no whole answer in time, it is too long, or it asks for a pause.
    pub async fn send(&self, route: &Route, request: Request) -> Result<Answer, CarrierError> {
        let within = route.timeout;
        match timeout(within, self.exchange(&route.account, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(CarrierError::Timeout { timeout: within }),
        }
    }

    async fn exchange(&self, account: &Account, request: Request) -> Result<Answer, CarrierError> {
        let connect = connect_timeout(account);
        let client = self
            .clients
            .get(&connect)
            .ok_or_else(|| CarrierError::Unreachable {
                reason: "there is no client for its account".to_owned(),
            })?;
        let mut builder = match request.method {
            Method::Get => client.get(request.url),
            Method::Post => client.post(request.url),
        };
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(json) = &request.json {
            builder = builder.json(json);
        }
        let response = builder.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| read_retry_after(text, self.clock.now()));
        if status == 429 || (status == 503 && retry_after.is_some()) {
            return Err(CarrierError::RateLimited {
                status,
                retry_after,
            });
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(unreachable)?;
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(CarrierError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

pub(super) fn connect_timeout(account: &Account) -> Duration {
    account.limits.transit().unwrap_or(CONNECT_TIMEOUT)
}

/// A client that sends each request once. A redirect or a retry of its own would be a call without a permit.
fn client(connect_timeout: Duration) -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("trackbox/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot make an HTTP client")
}

/// Keeps only the innermost reason, and never the URL, which may contain a key.
fn unreachable(error: reqwest::Error) -> CarrierError {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let reason = innermost.to_string();
    // hyper's words for a connection that ended before the answer began (1.12, read November 2026).
    if reason.contains("before message completed") {
        return CarrierError::Closed;
    }
    CarrierError::Unreachable { reason }
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
