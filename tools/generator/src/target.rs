//! A server that we send requests to: the API or the emulator.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Serialize;

use crate::options::Key;

/// Time-out of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Upper limit of an answer. Ten thousand trackings take about 5 MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A server, and what its answers have said about its clock.
#[derive(Debug)]
pub struct Target {
    /// Its name in messages, such as "the API at http://localhost:8080".
    pub name: String,
    base: String,
    client: Client,
    /// Sent with each request.
    key: Option<Key>,
    deadline: Duration,
    run_started: Instant,
    /// The start of the run by the server's own clock.
    run_started_at: OnceLock<DateTime<Utc>>,
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl Target {
    /// Describes the server at `base` without sending anything. `deadline` limits each request, including its answer.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(role: &str, base: &str, deadline: Duration) -> anyhow::Result<Self> {
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(deadline)
            .redirect(redirect::Policy::none());
        if is_this_machine(base) {
            // To a proxy from the environment, "localhost" would mean the proxy's own machine.
            client = client.no_proxy();
        }
        Ok(Self {
            name: format!("{role} at {base}"),
            base: base.to_owned(),
            client: client.build().context("making the HTTP client")?,
            key: None,
            deadline,
            run_started: Instant::now(),
            run_started_at: OnceLock::new(),
        })
    }

    /// The same server, which is sent this key.
    pub fn with_key(self, key: Option<Key>) -> Self {
        Self { key, ..self }
    }

    /// Posts a JSON body and reads the whole answer, of any status.
    ///
    /// # Errors
    /// A short reason why there is no answer.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, String> {
        let mut request = self.client.post(format!("{}{path}", self.base)).json(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        let mut response = request.send().await.map_err(|error| self.reason(&error))?;
        let date = http_date(response.headers(), DATE.as_str());
        if let Some(date) = date {
            self.note_date(date, self.run_started.elapsed());
        }
        Ok(Answer {
            status: response.status(),
            retry_after: retry_after(response.headers(), date),
            body: self.read_body(&mut response).await?,
        })
    }

    /// Whether something created at `created_at` existed before the run started, by the server's own clock.
    ///
    /// The start of the run is the `Date` of the server's first answer minus the time since the start. `Date` has whole
    /// seconds, so what was created a second or two before the start counts as new. If the server's database has a clock
    /// of its own, the difference between the two clocks adds to that. Without any `Date` so far, everything is new.
    pub fn was_there_before(&self, created_at: DateTime<Utc>) -> bool {
        self.run_started_at
            .get()
            .is_some_and(|&started_at| created_at < started_at)
    }

    fn note_date(&self, date: DateTime<Utc>, since_start: Duration) {
        self.run_started_at
            .get_or_init(|| date - TimeDelta::from_std(since_start).unwrap_or(TimeDelta::MAX));
    }

    async fn read_body(&self, response: &mut Response) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.reason(&error))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("an answer of more than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn reason(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() && !error.is_connect() {
            return format!("no answer within {} s", self.deadline.as_secs_f64());
        }
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        innermost.to_string()
    }
}

fn is_this_machine(base: &str) -> bool {
    let host = Url::parse(base)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

fn http_date(headers: &HeaderMap, name: &str) -> Option<DateTime<Utc>> {
    let text = headers.get(name)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text)
        .ok()
        .map(|date| date.to_utc())
}

/// Reads `Retry-After`: in seconds, or as a date, which is compared with the answer's own `Date`.
fn retry_after(headers: &HeaderMap, date: Option<DateTime<Utc>>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let until = http_date(headers, RETRY_AFTER.as_str())?;
    (until - date?).to_std().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    use crate::options::parse_key;

    use super::{Target, http_date, is_this_machine, retry_after};

    const NOON: &str = "Mon, 23 Nov 2026 12:00:00 GMT";

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("an RFC 3339 time")
    }

    fn headers(retry_after: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (DATE, HeaderValue::from_static(NOON)),
            (RETRY_AFTER, HeaderValue::from_static(retry_after)),
        ])
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now = http_date(&headers("1"), DATE.as_str());
        assert_eq!(now, Some(time("2026-11-23T12:00:00Z")));
        let wait = |text| retry_after(&headers(text), now);
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            wait("Mon, 23 Nov 2026 12:01:30 GMT"),
            Some(Duration::from_secs(90))
        );
        assert_eq!(wait("Mon, 23 Nov 2026 11:59:00 GMT"), None);
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn the_first_date_decides_what_existed_before_the_run() {
        crate::run::tests::install_tls();
        let target =
            Target::new("the API", "http://localhost:1", Duration::from_secs(1)).expect("a client");
        assert!(!target.was_there_before(time("2000-01-01T00:00:00Z")));
        target.note_date(time("2026-11-23T12:00:00Z"), Duration::from_secs(10));
        target.note_date(time("2030-01-01T00:00:00Z"), Duration::from_secs(20));
        assert!(target.was_there_before(time("2026-11-23T11:59:49Z")));
        assert!(!target.was_there_before(time("2026-11-23T11:59:50Z")));
    }

    #[tokio::test]
    async fn the_key_is_sent_with_each_request_and_without_one_nothing_is() {
        crate::run::tests::install_tls();
        let echo = async |headers: axum::http::HeaderMap| {
            let value = headers.get("authorization");
            value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"))
        };
        let router = axum::Router::new().route("/", axum::routing::post(echo));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let key = parse_key(" tbx_x ").expect("a key");
        for (key, sent) in [(None, "none"), (Some(key), "\"Bearer tbx_x\"")] {
            let target = Target::new("the API", &base, Duration::from_secs(5));
            let target = target.expect("a client").with_key(key);
            let answer = target.post("/", &()).await.expect("answers");
            assert_eq!(String::from_utf8_lossy(&answer.body), sent);
        }
        serving.abort();
    }

    #[test]
    fn only_requests_to_this_machine_bypass_a_proxy() {
        for base in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:9",
        ] {
            assert!(is_this_machine(base), "{base}");
        }
        assert!(!is_this_machine("https://box.example"));
    }
}
