//! One call: sends the adapter's requests within the permit, the time-out and the lease, and publishes the answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::carriers::routes::{Account, Route};
use crate::carriers::{
    ANSWER_BYTES_MAX, Answer, CarrierError, Method, Request, STEPS_MAX, Sighting, Step,
};
use crate::clock::{Time, delta};
use crate::kafka::message::{Checked, encode};
use crate::metrics::CheckOutcome;
use crate::model::{Outcome, TrackNumber, Tracking};
use crate::scheduler::judge::{Judge, expired};
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::pauses::Pauses;
use crate::scheduler::permits::{Grant, Permits, connect_timeout};

/// How long an idle connection to a carrier is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of the lease must be left after a call's time-out, to publish the answer.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// How long a carrier is paused after a 429 without Retry-After.
const PAUSE_DEFAULT: Duration = Duration::from_secs(60);

/// How long the database may take to record how a call went, or to release its leases.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// A shorter Retry-After counts as none.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause that is granted to a carrier.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A call waiting for its slot.
#[derive(Clone)]
pub struct Call {
    pub route: Route,
    /// Each one is claimed: it holds a lease.
    pub trackings: Vec<Tracking>,
    pub grant: Grant,
    /// When the leases end, on the clock's monotonic time.
    pub lease_ends: Duration,
}

impl Call {
    /// The latest time at which a request may be sent, so that its answer can still be published within the leases.
    fn latest_start(&self) -> Duration {
        self.lease_ends
            .saturating_sub(self.route.timeout + LEASE_MARGIN)
    }
}

/// Why a check came to no answer.
enum NotAsked {
    /// The account has no call left for its next step: neither the carrier's fault nor the parcels'.
    NoPermit,
    Failed(CarrierError),
}

impl From<CarrierError> for NotAsked {
    fn from(error: CarrierError) -> Self {
        Self::Failed(error)
    }
}

/// A task that has ended: a call, or the publishing of expired trackings.
#[derive(Debug)]
pub struct Ended {
    pub account: String,
    pub trackings: u64,
    /// Whether it occupied one of the account's slots.
    pub was_call: bool,
}

/// Makes a worker's calls.
pub struct Caller {
    parts: SchedulerParts,
    permits: Arc<Permits>,
    pub pauses: Pauses,
    /// One HTTP client for each connect time-out.
    clients: HashMap<Duration, reqwest::Client>,
}

impl Caller {
    /// # Errors
    /// If an HTTP client cannot be made.
    pub fn new(parts: SchedulerParts, permits: Arc<Permits>) -> anyhow::Result<Self> {
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
            permits,
            pauses,
            clients,
        })
    }

    /// Asks the carrier and publishes one update for each tracking.
    ///
    /// An answer that comes after the leases' end is discarded: another worker may be asking already.
    pub async fn check(&self, call: Call) -> Ended {
        let account = Arc::clone(&call.route.account);
        let ended = Ended {
            account: account.name.clone(),
            trackings: call.trackings.len() as u64,
            was_call: true,
        };
        let started = self.parts.clock.monotonic();
        if !call.grant.permit.is_valid(started) || started > call.latest_start() {
            self.parts.metrics.permits_expired(&account.name).inc();
            self.give_back(&call).await;
            return ended;
        }
        let asked_at = self.parts.clock.now();
        let answer = match self.ask(&call, asked_at).await {
            Ok(answer) => Ok(answer),
            Err(NotAsked::Failed(error)) => Err(error),
            Err(NotAsked::NoPermit) => {
                self.parts.metrics.permits_expired(&account.name).inc();
                self.give_back_leases(&call).await;
                return ended;
            }
        };
        let took = self.parts.clock.monotonic().saturating_sub(started);
        self.parts.metrics.carrier_call(&account.name, took);
        let paused_until = self.note(&account, &answer).await;
        if self.parts.clock.monotonic() >= call.lease_ends {
            self.parts.metrics.late_answers(&account.name).inc();
            return ended;
        }
        let learned = self.parts.learned.account(&account.name);
        let judge = Judge {
            account: &account,
            adapter: call.route.adapter.name(),
            cadence: &self.parts.cadence,
            sections: self.parts.store.sections(),
            learned: learned.as_deref(),
        };
        let checks = judge.updates(&call.trackings, &answer, asked_at, paused_until);
        self.count(&call, answer.as_ref().err(), &checks);
        self.publish(&account.name, checks).await;
        ended
    }

    /// Publishes that checking these trackings ends, because they had no news for too long. No carrier is asked.
    pub async fn expire(&self, account: &Account, trackings: Vec<Tracking>) -> Ended {
        let now = self.parts.clock.now();
        let checks = trackings.iter().map(|row| expired(row, now)).collect();
        self.publish(&account.name, checks).await;
        Ended {
            account: account.name.clone(),
            trackings: trackings.len() as u64,
            was_call: false,
        }
    }

    fn count(&self, call: &Call, error: Option<&CarrierError>, checks: &[Checked]) {
        let limited = matches!(error, Some(CarrierError::RateLimited { .. }));
        for (row, checked) in call.trackings.iter().zip(checks) {
            let outcome = match checked.update.outcome {
                Outcome::Seen { .. } => CheckOutcome::Seen,
                Outcome::NotFoundYet => CheckOutcome::NotFound,
                Outcome::Failed { .. } if limited => CheckOutcome::Limited,
                Outcome::Failed { .. } => CheckOutcome::Failed,
            };
            self.parts
                .metrics
                .checks(&call.route.account.name, outcome)
                .inc();
            if let Some(error) = error {
                let text = format!("{}: {error}", row.carrier_code);
                self.parts.stats.error(&text);
            }
        }
    }

    async fn ask(&self, call: &Call, asked_at: Time) -> Result<Vec<Sighting>, NotAsked> {
        let numbers: Vec<TrackNumber> = call
            .trackings
            .iter()
            .map(|row| row.track_number.clone())
            .collect();
        let Some(first) = call.trackings.first() else {
            return Ok(Vec::new());
        };
        let adapter = &call.route.adapter;
        let mut step = adapter.start(&first.carrier_code, &numbers);
        for nth in 0..STEPS_MAX {
            let (request, state) = match step {
                Step::Done(sightings) => return Ok(sightings),
                Step::Send(request, state) => (request, state),
            };
            // The first request of a check uses the call's own permit.
            if nth > 0 {
                self.permit_step(call).await?;
            }
            let account = &call.route.account.name;
            self.parts.pricer.called(account, self.parts.clock.now());
            let answer = self.send(call, request).await?;
            step = adapter.resume(state, &answer, asked_at)?;
        }
        Err(CarrierError::TooManySteps.into())
    }

    /// Waits for the permit of a further step of a check, as long as the lease allows.
    async fn permit_step(&self, call: &Call) -> Result<(), NotAsked> {
        let account = &call.route.account;
        match self.permits.take_one(account, call.latest_start()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(NotAsked::NoPermit),
            Err(error) => {
                let account = account.name.as_str();
                tracing::warn!(account, "cannot take a call of account {account}: {error}");
                Err(NotAsked::NoPermit)
            }
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

    /// Records a pause that the carrier asked for, and failures in a row: for this worker at once, for the others in the
    /// database. Answers until when the account is paused, if the carrier asked for it.
    async fn note(
        &self,
        account: &Account,
        answer: &Result<Vec<Sighting>, CarrierError>,
    ) -> Option<Time> {
        let mut paused_until = None;
        let noting = async {
            match answer {
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
        if timeout(RECORD_MAX, noting).await.is_err() {
            let account = account.name.as_str();
            tracing::warn!(
                account,
                "cannot record how a call of account {account} went: the database did not answer in time"
            );
        }
        paused_until
    }

    /// Publishes all of them at once. If that fails, the trackings are checked again when their leases end.
    async fn publish(&self, account: &str, checks: Vec<Checked>) {
        let records: Vec<_> = checks.iter().flat_map(encode).collect();
        let count = records.len() as u64;
        match self.parts.bus.publish(records).await {
            Ok(()) => {
                self.parts.metrics.published().inc_by(count);
                self.parts.stats.processed(checks.len() as u64);
            }
            Err(error) => {
                self.parts.metrics.publish_failures().inc_by(count);
                self.parts.stats.error(&format!("cannot publish: {error}"));
                tracing::warn!(
                    account,
                    count,
                    "cannot publish {count} records of account {account}; \
                     the parcels are checked again when their leases end: {error}"
                );
            }
        }
    }

    /// Gives back a call that was not made, and its leases.
    async fn give_back(&self, call: &Call) {
        self.give_back_leases(call).await;
        let account = &call.route.account;
        let grants = [call.grant];
        let giving_back = self.permits.give_back_days(account, &grants);
        let error = match timeout(RECORD_MAX, giving_back).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database did not answer in time".to_owned(),
        };
        let account = account.name.as_str();
        tracing::warn!(
            account,
            "cannot give back a call of account {account}, it stays counted for the day: {error}"
        );
    }

    async fn give_back_leases(&self, call: &Call) {
        let leases: Vec<_> = call
            .trackings
            .iter()
            .filter_map(|row| row.lease_id.map(|id| (row.id, id)))
            .collect();
        let releasing = timeout(RECORD_MAX, self.parts.store.give_back(&leases)).await;
        let error = match releasing {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database did not answer in time".to_owned(),
        };
        let account = call.route.account.name.as_str();
        tracing::warn!(
            account,
            leases = leases.len(),
            "cannot release {} leases of account {account}, they will expire: {error}",
            leases.len()
        );
    }
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
    CarrierError::Unreachable {
        reason: innermost.to_string(),
    }
}

/// How long to pause after a 429. If the carrier names no time, or one that is over by our clock, the default pause
/// applies: without it, the next call would be answered 429 again.
fn pause_of(retry_after: Option<Duration>) -> Duration {
    let named = retry_after.filter(|pause| *pause >= PAUSE_MIN);
    named.unwrap_or(PAUSE_DEFAULT).min(PAUSE_MAX)
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
