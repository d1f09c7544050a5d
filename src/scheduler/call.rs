//! One call: sends what the adapter says, within the permit, the time-out and the lease, and publishes what came back.

mod judge;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::cache::limiter::Permit;
use crate::carriers::routes::{Account, Route};
use crate::carriers::{
    ANSWER_BYTES_MAX, Answer, CarrierError, Method, Request, STEPS_MAX, Sighting, Step,
};
use crate::clock::{Time, delta};
use crate::kafka::message::{Checked, encode};
use crate::model::{TrackNumber, Tracking};
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::pauses::Pauses;

/// How long to connect to a carrier without limits; with limits it is what the limiter's spacing allows for transit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection to a carrier is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of the lease must be left after a call's time-out, to publish the answer.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// The pause that a 429 without Retry-After brings.
const PAUSE_DEFAULT: Duration = Duration::from_secs(60);

/// How long the database may take to be told how a call went, or that it was not made.
const TELL_MAX: Duration = Duration::from_secs(5);

/// The shortest pause that counts as one.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause that a carrier may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A planned call.
#[derive(Clone)]
pub struct Call {
    pub route: Route,
    /// Claimed; each holds a lease.
    pub trackings: Vec<Tracking>,
    pub permit: Permit,
    /// When the leases end, on the clock's monotonic time.
    pub lease_ends: Duration,
}

/// A call that ended.
#[derive(Debug)]
pub struct Ended {
    pub account: String,
    pub trackings: u64,
    /// Whether it held one of the account's slots.
    pub was_call: bool,
}

/// Makes calls; shared by all calls of a worker.
pub struct Caller {
    parts: SchedulerParts,
    pub pauses: Pauses,
    /// One HTTP client for each time to connect that the accounts allow.
    clients: HashMap<Duration, reqwest::Client>,
}

/// Everything that one answer said, and when it was asked for.
struct Heard {
    asked_at: Time,
    result: Result<Vec<Sighting>, CarrierError>,
}

impl Caller {
    /// # Errors
    /// Where an HTTP client cannot be made.
    pub fn new(parts: SchedulerParts) -> anyhow::Result<Self> {
        let mut clients = HashMap::new();
        for account in parts.routes.accounts() {
            let connect = connect_timeout(account);
            if let Entry::Vacant(vacant) = clients.entry(connect) {
                vacant.insert(client(connect)?);
            }
        }
        let pauses = Pauses::new(parts.store.clone(), parts.clock.clone());
        Ok(Self {
            parts,
            pauses,
            clients,
        })
    }

    /// Asks the carrier and publishes its answer, one update for each tracking.
    ///
    /// An answer after the leases' end is thrown away: somebody else may be asking already.
    pub async fn check(&self, call: Call) -> Ended {
        let account = Arc::clone(&call.route.account);
        let ended = Ended {
            account: account.name.clone(),
            trackings: call.trackings.len() as u64,
            was_call: true,
        };
        let monotonic = self.parts.clock.monotonic();
        let fits = monotonic + call.route.timeout + LEASE_MARGIN <= call.lease_ends;
        if !call.permit.is_valid(monotonic) || !fits {
            self.parts.metrics.permits_expired(&account.name);
            self.give_back(&call).await;
            return ended;
        }
        let heard = self.ask(&call).await;
        self.parts.metrics.call_seconds(
            &account.name,
            self.parts
                .clock
                .monotonic()
                .saturating_sub(monotonic)
                .as_secs_f64(),
        );
        let paused_until = self.note(&account, &heard).await;
        if self.parts.clock.monotonic() >= call.lease_ends {
            self.parts.metrics.late_answers(&account.name);
            return ended;
        }
        let updates = self.updates(&call, &heard, paused_until);
        self.publish(&account.name, updates).await;
        ended
    }

    async fn ask(&self, call: &Call) -> Heard {
        let asked_at = self.parts.clock.now();
        let numbers: Vec<TrackNumber> = call
            .trackings
            .iter()
            .map(|row| row.track_number.clone())
            .collect();
        let Some(first) = call.trackings.first() else {
            return Heard {
                asked_at,
                result: Ok(Vec::new()),
            };
        };
        let mut step = call.route.adapter.start(&first.carrier_code, &numbers);
        let mut permit = Some(call.permit);
        for _ in 0..STEPS_MAX {
            let (request, state) = match step {
                Step::Done(sightings) => {
                    return Heard {
                        asked_at,
                        result: Ok(sightings),
                    };
                }
                Step::Send(request, state) => (request, state),
            };
            let answer = match self.permitted(call, permit.take()).await {
                Ok(()) => self.send(call, request).await,
                Err(error) => Err(error),
            };
            let next =
                answer.and_then(|answer| call.route.adapter.resume(state, &answer, asked_at));
            step = match next {
                Ok(next) => next,
                Err(error) => {
                    return Heard {
                        asked_at,
                        result: Err(error),
                    };
                }
            };
        }
        Heard {
            asked_at,
            result: Err(CarrierError::TooManySteps),
        }
    }

    /// The first request has its permit; each further one of the same check waits for a slot of its own.
    async fn permitted(&self, call: &Call, permit: Option<Permit>) -> Result<(), CarrierError> {
        if permit.is_some() {
            return Ok(());
        }
        let account = &call.route.account;
        let reservation = self
            .parts
            .limiter
            .reserve(&account.name, &account.limits, 1)
            .await;
        let permit = reservation
            .permits
            .first()
            .ok_or(CarrierError::TooManySteps)?;
        tokio::time::sleep(permit.from.saturating_sub(self.parts.clock.monotonic())).await;
        if permit.is_valid(self.parts.clock.monotonic()) {
            Ok(())
        } else {
            Err(CarrierError::TooManySteps)
        }
    }

    async fn send(&self, call: &Call, request: Request) -> Result<Answer, CarrierError> {
        let within = call.route.timeout;
        match timeout(within, self.exchange(call, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(CarrierError::Timeout { timeout: within }),
        }
    }

    async fn exchange(&self, call: &Call, request: Request) -> Result<Answer, CarrierError> {
        let connect = connect_timeout(&call.route.account);
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
            .and_then(|text| read_retry_after(text, self.parts.clock.now()));
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

    /// Tells the other workers of a pause that the carrier asked for, and of failures in a row. This one knows at once,
    /// also where the database takes too long.
    async fn note(&self, account: &Account, heard: &Heard) -> Option<Time> {
        let mut paused_until = None;
        let noting = async {
            match &heard.result {
                Ok(_) => self.pauses.succeeded(&account.name).await,
                Err(error @ CarrierError::RateLimited { retry_after, .. }) => {
                    let until = self.parts.clock.now() + delta(pause_of(*retry_after));
                    paused_until = Some(until);
                    let reason = error.to_string();
                    self.pauses.pause(&account.name, until, &reason).await;
                }
                Err(error) => self.pauses.failed(&account.name, &error.to_string()).await,
            }
        };
        if timeout(TELL_MAX, noting).await.is_err() {
            let name = &account.name;
            tracing::warn!(
                "other workers do not know yet how a call of {name} went: no answer in time"
            );
        }
        paused_until
    }

    /// Publishes in one go; what cannot be published is checked again when its lease ends.
    async fn publish(&self, account: &str, checks: Vec<Checked>) {
        let records: Vec<_> = checks.iter().flat_map(encode).collect();
        let count = records.len() as u64;
        match self.parts.bus.publish(records).await {
            Ok(()) => {
                self.parts.metrics.published(count);
                self.parts.stats.processed(checks.len() as u64);
            }
            Err(error) => {
                self.parts.metrics.publish_failed(count);
                self.parts.stats.error(&format!("cannot publish: {error}"));
                tracing::warn!(
                    "cannot publish {count} updates of {account}; they are checked again: {error}"
                );
            }
        }
    }

    async fn give_back(&self, call: &Call) {
        let leases: Vec<_> = call
            .trackings
            .iter()
            .filter_map(|row| row.lease_id.map(|id| (row.id, id)))
            .collect();
        match timeout(TELL_MAX, self.parts.store.give_back(&leases)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("leases not given back end by themselves: {error}"),
            Err(_) => tracing::warn!("leases not given back end by themselves: no answer in time"),
        }
    }
}

pub(super) fn connect_timeout(account: &Account) -> Duration {
    account.limits.transit().unwrap_or(CONNECT_TIMEOUT)
}

/// A client that sends each request once: a redirect or a retry of its own would be a call without a permit.
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

/// The innermost reason, without the URL, which may hold a key.
fn unreachable(error: reqwest::Error) -> CarrierError {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    CarrierError::Unreachable {
        reason: innermost.to_string(),
    }
}

/// How long a carrier that answered 429 is left alone. One that names no time, or one that is over by our clock, gets the
/// usual pause: the next call would bring the next 429.
fn pause_of(retry_after: Option<Duration>) -> Duration {
    let named = retry_after.filter(|pause| *pause >= PAUSE_MIN);
    named.unwrap_or(PAUSE_DEFAULT).min(PAUSE_MAX)
}

/// Retry-After in seconds or as an HTTP date (RFC 9110, section 10.2.3).
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
