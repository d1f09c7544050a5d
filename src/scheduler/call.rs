//! One call: makes the adapter's requests within the permit and the lease, and publishes or settles the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::carriers::routes::Account;
use crate::carriers::{Answer, Asked, CarrierError, FailureOf, Request, STEPS_MAX, Sighting, Step};
use crate::clock::Time;
use crate::kafka::message::{Checked, encode};
use crate::metrics::CheckOutcome;
use crate::model::{Outcome, Tracking};
use crate::scheduler::ahead::Ahead;
use crate::scheduler::judge::{Judge, expired};
use crate::scheduler::lane::{Call, Slot};
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::pauses::Pauses;
use crate::scheduler::permits::{Grant, Permits};
use crate::scheduler::publisher::Publisher;
use crate::scheduler::sender::Sender;
use crate::scheduler::told::told;
use crate::store::error::StoreError;

/// How many connections a request may try: the server may close an idle one at the very moment it is used.
const CONNECTIONS_MAX: u32 = 3;

/// How long the database may take to record how a call went, or to release its leases.
const RECORD_MAX: Duration = Duration::from_secs(5);

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

/// How far a check has come.
struct Progress {
    /// The permit with which nothing was sent yet.
    unused: Option<Grant>,
    /// When the last request was sent.
    asked_at: Time,
    /// When the first request was sent, on the clock's monotonic time.
    began: Option<Duration>,
}

/// A task that has ended: a call, or the publishing of expired trackings.
#[derive(Debug)]
pub struct Ended {
    pub trackings: u64,
    /// Whether it was a call.
    pub was_call: bool,
}

/// Makes a worker's calls.
pub struct Caller {
    parts: SchedulerParts,
    permits: Arc<Permits>,
    pub pauses: Pauses,
    sender: Sender,
    publisher: Publisher,
    ahead: Ahead,
}

impl Caller {
    pub fn new(parts: SchedulerParts, permits: Arc<Permits>) -> Self {
        let sender = Sender::new(parts.clock.clone(), Arc::clone(&parts.connections));
        let pauses = Pauses::new(parts.store.clone(), parts.clock.clone());
        let ahead = Ahead::new(Arc::clone(&parts.metrics));
        let publisher = Publisher::new(parts.bus.clone());
        Self {
            parts,
            permits,
            pauses,
            sender,
            publisher,
            ahead,
        }
    }

    /// Asks the carrier and publishes one update for each tracking. The slot is free once the carrier has answered.
    pub async fn check(&self, call: Call, slot: Slot) -> Ended {
        self.make(&call, slot).await;
        let account = &call.route.account.name;
        if let Some(gate) = call.gate {
            let opening = self.parts.store.open_gate(account, gate);
            self.record(account, "open the gate", opening).await;
        }
        Ended {
            trackings: call.trackings.len() as u64,
            was_call: true,
        }
    }

    /// Makes the call, and settles what becomes of its trackings.
    ///
    /// An answer that comes after the leases' end is discarded: another worker may be asking already.
    async fn make(&self, call: &Call, slot: Slot) {
        let account = &call.route.account.name;
        let started = self.parts.clock.monotonic();
        if !call.grant.permit.is_valid(started) || started > call.latest_start() {
            self.parts.metrics.permits_expired(account).inc();
            self.give_back_leases(call).await;
            self.give_back(call, call.grant).await;
            return;
        }
        let mut progress = Progress {
            unused: Some(call.grant),
            asked_at: self.parts.clock.now(),
            began: None,
        };
        let answer = self.ask(call, &mut progress).await;
        if let Some(grant) = progress.unused {
            self.give_back(call, grant).await;
        }
        let answer = match answer {
            Ok(answer) => Ok(answer),
            Err(NotAsked::Failed(error)) => Err(error),
            Err(NotAsked::NoPermit) => {
                self.parts.metrics.permits_expired(account).inc();
                self.give_back_leases(call).await;
                return;
            }
        };
        if let Some(began) = progress.began {
            let took = self.parts.clock.monotonic().saturating_sub(began);
            self.parts.metrics.carrier_call(account, took);
        }
        if let Err(error) = &answer {
            self.parts.pricer.counter.failed(account, error);
        }
        let asked_at = progress.asked_at;
        self.note(call, &answer, asked_at).await;
        drop(slot);
        if self.parts.clock.monotonic() >= call.lease_ends {
            self.parts.metrics.late_answers(account).inc();
            return;
        }
        self.settle(call, &answer, asked_at).await;
    }

    /// Publishes what the answer says of each tracking. If it says nothing of them, because the carrier wants no calls now
    /// or the call failed for several at once, their leases are released instead.
    async fn settle(
        &self,
        call: &Call,
        answer: &Result<Vec<Sighting>, CarrierError>,
        asked_at: Time,
    ) {
        let account = &call.route.account;
        if let Err(error) = answer {
            self.parts
                .stats
                .error(&format!("account {}: {error}", account.name));
            if error.is_limit() || call.trackings.len() > 1 {
                let outcome = if error.is_limit() {
                    CheckOutcome::Limited
                } else {
                    CheckOutcome::Failed
                };
                for _ in &call.trackings {
                    self.parts.metrics.checks(&account.name, outcome).inc();
                }
                self.give_back_leases(call).await;
                return;
            }
        }
        let learned = self.parts.learned.account(&account.name);
        let judge = Judge {
            account,
            adapter: call.route.adapter.name(),
            cadence: &self.parts.cadence,
            sections: self.parts.store.sections(),
            learned: learned.as_deref(),
        };
        let checks = judge.updates(&call.trackings, answer, asked_at);
        for checked in &checks {
            let outcome = match checked.update.outcome {
                Outcome::Seen { .. } => CheckOutcome::Seen,
                Outcome::NotFoundYet => CheckOutcome::NotFound,
                Outcome::Failed { .. } => CheckOutcome::Failed,
            };
            self.parts.metrics.checks(&account.name, outcome).inc();
        }
        self.ahead.note(&account.name, &checks);
        if answer.is_ok() {
            self.parts
                .pricer
                .counter
                .numbers_failed(&account.name, &checks);
        }
        self.publish(&account.name, checks).await;
    }

    /// Publishes that checking these trackings ends, because they had no news for too long. No carrier is asked.
    pub async fn expire(&self, account: &Account, trackings: Vec<Tracking>) -> Ended {
        let now = self.parts.clock.now();
        let checks = trackings.iter().map(|row| expired(row, now)).collect();
        self.publish(&account.name, checks).await;
        Ended {
            trackings: trackings.len() as u64,
            was_call: false,
        }
    }

    async fn ask(&self, call: &Call, progress: &mut Progress) -> Result<Vec<Sighting>, NotAsked> {
        let asked: Vec<Asked> = call.trackings.iter().map(asked).collect();
        let adapter = &call.route.adapter;
        let mut step = adapter.start(&asked);
        for _ in 0..STEPS_MAX {
            let (request, state) = match step {
                Step::Done(sightings) => return Ok(sightings),
                Step::Send(request, state) => (request, state),
            };
            let answer = self.exchange(call, &request, progress).await?;
            step = adapter.resume(state, &answer, progress.asked_at)?;
        }
        Err(CarrierError::TooManySteps.into())
    }

    /// Sends a request on an open connection, with a permit that is valid by then.
    async fn exchange(
        &self,
        call: &Call,
        request: &Request,
        progress: &mut Progress,
    ) -> Result<Answer, NotAsked> {
        let clock = &self.parts.clock;
        for _ in 0..CONNECTIONS_MAX {
            let connection = self.sender.connect(request).await?;
            let grant = self.permit(call, progress).await?;
            progress.asked_at = clock.now();
            let began = clock.monotonic();
            let sending = self.sender.send(connection, request, call.route.timeout);
            let answer = match sending.await {
                Ok(None) => {
                    progress.unused = Some(grant);
                    continue;
                }
                Ok(Some(answer)) => Ok(answer),
                Err(error) => Err(error.into()),
            };
            let asks = match progress.began {
                None => call.trackings.len(),
                Some(_) => 0,
            };
            progress.began.get_or_insert(began);
            let account = &call.route.account.name;
            self.parts.pricer.counter.called(account, asks);
            return answer;
        }
        Err(CarrierError::Closed.into())
    }

    /// Takes the unused permit if it is still valid, or else the next one, for whose slot it waits as long as the lease
    /// allows.
    async fn permit(&self, call: &Call, progress: &mut Progress) -> Result<Grant, NotAsked> {
        let account = &call.route.account;
        if let Some(grant) = progress.unused.take() {
            let now = self.parts.clock.monotonic();
            if grant.permit.is_valid(now) && now <= call.latest_start() {
                return Ok(grant);
            }
            // Connecting took longer.
            self.give_back(call, grant).await;
        }
        match self.permits.take_one(account, call.latest_start()).await {
            Ok(Some(grant)) => Ok(grant),
            Ok(None) => Err(NotAsked::NoPermit),
            Err(error) => {
                let account = account.name.as_str();
                tracing::warn!(account, "cannot take a call of account {account}: {error}");
                Err(NotAsked::NoPermit)
            }
        }
    }

    /// Records what the call tells of its account, and how large the next call with its numbers may be.
    async fn note(
        &self,
        call: &Call,
        answer: &Result<Vec<Sighting>, CarrierError>,
        asked_at: Time,
    ) {
        let account = &call.route.account.name;
        if let Some(told) = told(&call.trackings, answer) {
            let noting = async {
                self.pauses.note(account, told, asked_at).await;
                Ok(())
            };
            self.record(account, "record how a call went", noting).await;
        }
        let ids: Vec<i64> = call.trackings.iter().map(|row| row.id).collect();
        let store = &self.parts.store;
        match answer {
            Ok(_) if call.was_split => {
                let ending = store.end_splits(&ids);
                self.record(account, "forget the split of a call", ending)
                    .await;
            }
            Err(error)
                if error.failure_of() != FailureOf::Account && call.route.numbers_per_call > 1 =>
            {
                let half = u32::try_from(ids.len().div_ceil(2)).unwrap_or(1);
                let splitting = store.split_calls(&ids, half);
                self.record(account, "split a call", splitting).await;
            }
            _ => {}
        }
    }

    /// Waits for the database to record something, for a while only. If it does not, others learn of it later.
    async fn record(
        &self,
        account: &str,
        what: &str,
        recording: impl Future<Output = Result<(), StoreError>>,
    ) {
        let error = match timeout(RECORD_MAX, recording).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database did not answer in time".to_owned(),
        };
        tracing::warn!(account, "cannot {what} of account {account}: {error}");
    }

    /// Publishes all of them at once. If that fails, the trackings are checked again when their leases end.
    async fn publish(&self, account: &str, checks: Vec<Checked>) {
        let records: Vec<_> = checks.iter().flat_map(encode).collect();
        let count = records.len() as u64;
        match self.publisher.publish(records).await {
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

    /// Gives back a call that was not made. If that fails, it stays counted for the day.
    async fn give_back(&self, call: &Call, grant: Grant) {
        let account = &call.route.account;
        let grants = [grant];
        let giving_back = self.permits.give_back_counted(account, &grants);
        self.record(&account.name, "give back a call", giving_back)
            .await;
    }

    /// Releases the call's leases. If that fails, they expire.
    async fn give_back_leases(&self, call: &Call) {
        let leases: Vec<_> = call
            .trackings
            .iter()
            .filter_map(|row| row.lease_id.map(|id| (row.id, id)))
            .collect();
        let releasing = self.parts.store.give_back(&leases);
        let account = &call.route.account.name;
        self.record(account, "release leases", releasing).await;
    }
}

fn asked(row: &Tracking) -> Asked {
    Asked {
        carrier: row.carrier_code.clone(),
        number: row.track_number.clone(),
    }
}
