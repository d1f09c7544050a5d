//! One call: makes the adapter's requests within the permit and the lease, and publishes or settles the answer.

use std::sync::Arc;
use std::time::Duration;

use crate::archive::asked;
use crate::carriers::routes::Account;
use crate::carriers::{
    Answer, Asked, Auth, CarrierError, FailureOf, Request, STEPS_MAX, Sighting, Step, Ticket,
};
use crate::clock::Time;
use crate::kafka::message::{Checked, encode};
use crate::metrics::CheckOutcome;
use crate::model::token::Token;
use crate::model::{Outcome, Tracking};
use crate::scheduler::ahead::Ahead;
use crate::scheduler::archiving::Heard;
use crate::scheduler::exchange::{Exchange, NotAsked, Progress, record};
use crate::scheduler::judge::{Judge, expired};
use crate::scheduler::lane::{Call, Slot};
use crate::scheduler::logins::Logins;
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::pauses::{Pauses, Told};
use crate::scheduler::permits::Permits;
use crate::scheduler::publisher::Publisher;
use crate::scheduler::tickets;
use crate::scheduler::told::{told_by, told_by_error};
use crate::scheduler::wanting::want;

/// How many tokens a request may try: one may end while the request waits for its permit.
const TOKENS_MAX: u32 = 3;

/// A task that has ended: a call, or the publishing of expired trackings.
#[derive(Debug)]
pub struct Ended {
    pub trackings: u64,
    /// Whether it was a call.
    pub was_call: bool,
}

/// What a carrier answered.
enum Answered {
    Now(Vec<Sighting>),
    /// It answers later, or not yet.
    Later(Ticket),
}

/// Makes a worker's calls.
pub struct Caller {
    parts: SchedulerParts,
    lease: Duration,
    pub pauses: Pauses,
    pub exchange: Arc<Exchange>,
    pub logins: Logins,
    publisher: Publisher,
    ahead: Ahead,
}

impl Caller {
    pub fn new(parts: SchedulerParts, permits: Arc<Permits>, lease: Duration) -> Self {
        let exchange = Arc::new(Exchange::new(parts.clone(), permits));
        let logins = Logins::new(parts.clone(), Arc::clone(&exchange));
        let pauses = Pauses::new(parts.store.clone(), parts.clock.clone());
        let ahead = Ahead::new(Arc::clone(&parts.metrics));
        let publisher = Publisher::new(parts.bus.clone());
        Self {
            parts,
            lease,
            pauses,
            exchange,
            logins,
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
            record(account, "open the gate", opening).await;
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
            self.exchange.give_back(call, call.grant).await;
            return;
        }
        let mut progress = Progress {
            unused: Some(call.grant),
            asked_at: self.parts.clock.now(),
            began: None,
            answer: None,
        };
        let answer = self.ask(call, &mut progress).await;
        if let Some(grant) = progress.unused {
            self.exchange.give_back(call, grant).await;
        }
        let answer = match answer {
            Ok(answer) => Ok(answer),
            Err(NotAsked::Failed(error)) => Err(error),
            Err(NotAsked::NoPermit) => {
                self.parts.metrics.permits_expired(account).inc();
                self.give_back_leases(call).await;
                return;
            }
            Err(NotAsked::NotLoggedIn(told)) => return self.rest(call, told).await,
        };
        if let Some(began) = progress.began {
            let took = self.parts.clock.monotonic().saturating_sub(began);
            self.parts.metrics.carrier_call(account, took);
        }
        if let Err(error) = &answer {
            self.parts.pricer.counter.failed(account, error);
        }
        let asked_at = progress.asked_at;
        if let (Ok(Answered::Later(ticket)), None) = (&answer, &call.ticket) {
            // Before anything else: if it is lost, all its numbers are asked for again.
            tickets::keep(&self.parts, call, ticket, asked_at).await;
        }
        self.note(call, &answer, asked_at).await;
        drop(slot);
        let answer = match (answer, &call.ticket) {
            (Ok(Answered::Later(_)), None) => return,
            (Ok(Answered::Later(_)), Some(ticket)) => {
                return tickets::not_ready(&self.parts, call, ticket).await;
            }
            (Ok(Answered::Now(sightings)), _) => Ok(sightings),
            (Err(error), _) => Err(error),
        };
        let heard = |whole, asked_at| Heard {
            adapter: &call.route.adapter,
            rows: &call.trackings,
            read: &answer,
            answer: whole,
            asked_at,
        };
        let Some(ticket) = &call.ticket else {
            if self.parts.clock.monotonic() >= call.lease_ends {
                self.parts.metrics.late_answers(account).inc();
                return;
            }
            let heard = heard(progress.answer, asked_at);
            self.settle(call, heard).await;
            return;
        };
        // The answer is of the time when its numbers were asked for: nothing that was heard since gives way to it.
        let heard = heard(progress.answer, ticket.asked_at);
        let is_known = self.settle(call, heard).await;
        match answer {
            Ok(_) if is_known => tickets::answered(&self.parts, call, ticket, self.lease).await,
            Ok(_) => tickets::ask_again(&self.parts, call, ticket).await,
            Err(error) => tickets::failed(&self.parts, call, ticket, &error).await,
        }
    }

    /// Publishes what the answer says of each tracking. If it says nothing of them, because the carrier wants no calls now
    /// or the call failed for several at once, their leases are released instead. Answers whether all was published.
    async fn settle(&self, call: &Call, heard: Heard<'_>) -> bool {
        let account = &call.route.account;
        let answer = heard.read;
        if let Err(error) = answer {
            self.parts
                .stats
                .error(&format!("account {}: {error}", account.name));
            if call.ticket.is_some() {
                // It says nothing of the parcels, which wait on.
                return false;
            }
            if error.is_limit() || call.trackings.len() > 1 {
                let outcome = if error.is_limit() {
                    CheckOutcome::Limited
                } else {
                    CheckOutcome::Failed
                };
                let failed = self.parts.metrics.checks(&account.name, outcome);
                failed.inc_by(call.trackings.len() as u64);
                self.give_back_leases(call).await;
                return false;
            }
        }
        let learned = self.parts.learned.account(&account.name);
        let judge = Judge {
            account,
            adapter: call.route.adapter.name(),
            cadence: &self.parts.cadence,
            sections: self.parts.store.sections(),
            learned: learned.as_deref(),
            names: self.parts.names_in_messages,
        };
        let checks = judge.updates(&call.trackings, answer, heard.asked_at);
        for checked in &checks {
            let outcome = match checked.update.outcome {
                Outcome::Seen { .. } => CheckOutcome::Seen,
                Outcome::NotFoundYet => CheckOutcome::NotFound,
                Outcome::Failed { .. } | Outcome::Replayed(_) => CheckOutcome::Failed,
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
        let is_known = self.publish(&account.name, &checks).await;
        if is_known {
            self.parts.archiving.note(heard, &checks);
            want(&self.parts, &call.route, &checks).await;
        }
        is_known
    }

    /// Publishes that checking these trackings ends, because they had no news for too long. No carrier is asked.
    pub async fn expire(&self, account: &Account, trackings: Vec<Tracking>) -> Ended {
        let now = self.parts.clock.now();
        let checks: Vec<Checked> = trackings.iter().map(|row| expired(row, now)).collect();
        self.publish(&account.name, &checks).await;
        Ended {
            trackings: trackings.len() as u64,
            was_call: false,
        }
    }

    async fn ask(&self, call: &Call, progress: &mut Progress) -> Result<Answered, NotAsked> {
        let asked: Vec<Asked> = call.trackings.iter().map(asked).collect();
        let adapter = &call.route.adapter;
        let mut step = match &call.ticket {
            Some(ticket) => adapter.redeem(&ticket.ticket, &asked),
            None => adapter.start(&asked),
        };
        let mut has_new_token = false;
        for _ in 0..STEPS_MAX {
            let (request, state) = match step {
                Step::Done(sightings) => return Ok(Answered::Now(sightings)),
                Step::Wait(ticket) => return Ok(Answered::Later(ticket)),
                Step::Send(request, state) => (request, state),
            };
            let (answer, token) = self.answer(call, &request, progress).await?;
            let next = adapter.resume(state.clone(), &answer, progress.asked_at);
            let is_void = next.as_ref().is_err_and(|error| voids(&answer, error));
            let is_whole = state.stage == 0 && self.parts.archiving.wants(&answer, asked.len());
            progress.answer = is_whole.then_some(answer);
            step = match token {
                Some(token) if is_void && !has_new_token => {
                    self.logins.void(&call.route, &token);
                    has_new_token = true;
                    Step::Send(request, state)
                }
                _ => next?,
            };
        }
        Err(CarrierError::TooManySteps.into())
    }

    /// The answer to a request, with the account's token if it asks for that, and this token.
    pub(super) async fn answer(
        &self,
        call: &Call,
        request: &Request,
        progress: &mut Progress,
    ) -> Result<(Answer, Option<Arc<Token>>), NotAsked> {
        for _ in 0..TOKENS_MAX {
            let token = match request.auth {
                Auth::None => None,
                Auth::Token | Auth::TokenInside => Some(self.logins.token(call, progress).await?),
            };
            let asking = self.exchange.ask(call, request, token.as_deref(), progress);
            if let Some(answer) = asking.await? {
                return Ok((answer, token));
            }
        }
        Err(NotAsked::NoPermit)
    }

    /// Has the account rest that could not log in. This says nothing of the parcels.
    async fn rest(&self, call: &Call, told: Told) {
        let account = &call.route.account.name;
        if let Told::Rest { reason, .. } | Told::Account { reason } | Told::Call { reason } = &told
        {
            let error = format!("account {account}: {reason}");
            self.parts.stats.error(&error);
        }
        let limited = self.parts.metrics.checks(account, CheckOutcome::Limited);
        limited.inc_by(call.trackings.len() as u64);
        self.note_account(account, told, self.parts.clock.now())
            .await;
        self.give_back_leases(call).await;
    }

    /// Records what a call tells of its account.
    pub(super) async fn note_account(&self, account: &str, told: Told, asked_at: Time) {
        let noting = async {
            self.pauses.note(account, told, asked_at).await;
            Ok(())
        };
        record(account, "record how a call went", noting).await;
    }

    /// Records what the call tells of its account, and how large the next call with its numbers may be.
    async fn note(&self, call: &Call, answer: &Result<Answered, CarrierError>, asked_at: Time) {
        let account = &call.route.account.name;
        let told = match answer {
            Ok(Answered::Now(sightings)) => told_by(&call.trackings, sightings),
            Ok(Answered::Later(_)) | Err(CarrierError::TicketGone { .. }) => Some(Told::Well),
            Err(error) => told_by_error(&call.trackings, error),
        };
        if let Some(told) = told {
            self.note_account(account, told, asked_at).await;
        }
        let ids: Vec<i64> = call.trackings.iter().map(|row| row.id).collect();
        let store = &self.parts.store;
        match answer {
            Ok(Answered::Now(_)) if call.was_split => {
                let ending = store.end_splits(&ids);
                record(account, "forget the split of a call", ending).await;
            }
            Err(error)
                if error.failure_of() != FailureOf::Account
                    && call.route.numbers_per_call > 1
                    && call.ticket.is_none() =>
            {
                let half = u32::try_from(ids.len().div_ceil(2)).unwrap_or(1);
                let splitting = store.split_calls(&ids, half);
                record(account, "split a call", splitting).await;
            }
            _ => {}
        }
    }

    /// Publishes all of them at once, and answers whether the bus has them. If not, the trackings are checked again when
    /// their leases end.
    async fn publish(&self, account: &str, checks: &[Checked]) -> bool {
        let records: Vec<_> = checks.iter().flat_map(encode).collect();
        let count = records.len() as u64;
        match self.publisher.publish(records).await {
            Ok(()) => {
                self.parts.metrics.published().inc_by(count);
                self.parts.stats.processed(checks.len() as u64);
                true
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
                false
            }
        }
    }

    /// Releases the call's leases, or its ticket's. If that fails, they expire.
    async fn give_back_leases(&self, call: &Call) {
        let account = &call.route.account.name;
        if let Some(ticket) = &call.ticket {
            let releasing = self.parts.store.release_ticket(ticket);
            record(account, "release a ticket", releasing).await;
            return;
        }
        let leases = call.leases();
        let releasing = self.parts.store.give_back(&leases);
        record(account, "release leases", releasing).await;
    }
}

/// Whether the carrier says that it does not take the token.
pub(super) fn voids(answer: &Answer, error: &CarrierError) -> bool {
    answer.status == 401 || matches!(error, CarrierError::KeyRefused { .. })
}
