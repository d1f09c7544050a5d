//! Role `work`: claims due trackings within each account's limits, asks the carriers, and publishes their answers.
//!
//! One [`Scheduler::step`] starts the calls whose slot has come, then claims as much as permits and free slots allow. The
//! loop around it waits for the next slot, the end of a call, a trigger, or the poll interval. Each account has its own
//! slots, so a carrier that hangs blocks no other. The next check of a tracking follows from the account's policy
//! (`judge`); the policy `learned` needs the price of a call, which [`pricing`] adjusts.

mod ahead;
pub mod archiving;
pub mod archivist;
mod backlog;
pub mod call;
mod claiming;
mod coding;
pub mod connections;
pub mod counting;
mod dealing;
mod exchange;
mod judge;
pub mod lane;
mod logins;
pub mod ops;
pub mod parts;
pub mod pauses;
pub mod permits;
mod planning;
pub mod pricing;
pub mod publisher;
mod redeeming;
pub mod sender;
mod subscribing;
mod tickets;
mod told;
mod wanting;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::carriers::routes::Account;
use crate::clock::Time;
use crate::outage::Outage;
use crate::scheduler::backlog::Backlog;
use crate::scheduler::call::{Caller, Ended};
use crate::scheduler::lane::{Call, Lane};
use crate::scheduler::parts::{SchedulerParts, Settings};
use crate::scheduler::permits::{Grant, Permits};
use crate::scheduler::subscribing::{LOOK_EVERY, Subscriber};
use crate::store::queues::After;

/// The shortest time from the beginning of a cycle to that of the next one, however fast calls end.
const CYCLE_MIN: Duration = Duration::from_millis(10);

/// While so many calls wait until their answers are published, no further ones are claimed.
const UNPUBLISHED_MAX: usize = 1_000;

/// How long one cycle may take.
const STEP_MAX: Duration = Duration::from_secs(60);

/// How long releasing the calls that were not started may take when the worker stops.
const GIVE_BACK_MAX: Duration = Duration::from_secs(2);

/// How long to wait after a failed cycle before the next one.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One worker.
pub struct Scheduler {
    parts: SchedulerParts,
    settings: Settings,
    permits: Arc<Permits>,
    caller: Arc<Caller>,
    lanes: BTreeMap<String, Lane>,
    backlog: Backlog,
    running: JoinSet<Ended>,
    /// Told of each slot that becomes free.
    freed: Arc<Notify>,
    /// The queue after which the next cycle goes on, if there are too many for one cycle.
    read_after: After,
    /// The earliest time at which more becomes due or a pause ends, as the last cycle saw it.
    next_due: Option<Time>,
    /// The limiter's next slot for an account with something due, on the clock's monotonic time.
    next_slot: Option<Duration>,
    /// Codes without a route that were already logged.
    unroutable: HashSet<String>,
    /// Whether the store knows the credentials that this worker logs in with.
    is_known: bool,
    /// Whether there may be tickets to ask for.
    has_tickets: bool,
    /// Subscribes to what carriers push, if any section does; and when it looks again, on the clock's monotonic time.
    subscriber: Option<(Arc<Subscriber>, Duration)>,
}

impl Scheduler {
    pub fn new(parts: SchedulerParts, settings: Settings) -> Self {
        let permits = Arc::new(Permits::new(&parts));
        let caller = Arc::new(Caller::new(
            parts.clone(),
            Arc::clone(&permits),
            settings.lease,
        ));
        let subscriber = Subscriber::new(&parts, &caller, &permits, settings.lease);
        Self {
            subscriber: subscriber.map(|subscriber| (subscriber, Duration::ZERO)),
            parts,
            settings,
            permits,
            caller,
            lanes: BTreeMap::new(),
            backlog: Backlog::new(settings.lease),
            running: JoinSet::new(),
            freed: Arc::default(),
            read_after: After::default(),
            next_due: None,
            next_slot: None,
            unroutable: HashSet::new(),
            is_known: false,
            has_tickets: true,
        }
    }

    /// Works until `stop`. Then claims nothing more, releases the calls that were not started, and lets calls in flight
    /// end within the grace time.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut outage = Outage::new("claiming");
        while !stop.is_cancelled() {
            let began = Instant::now();
            let wait = match self.step_within(STEP_MAX, &stop).await {
                Ok(_) => {
                    outage.over();
                    self.wait()
                }
                Err(error) => {
                    outage.failed(format_args!("{error:#}"));
                    self.parts.stats.error(&format!("{error:#}"));
                    RETRY_AFTER
                }
            };
            let trigger = Arc::clone(&self.parts.trigger);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
                () = trigger.notified() => {}
                () = self.freed.notified() => {}
                Some(ended) = self.running.join_next() => self.end(ended)?,
            }
            tokio::time::sleep_until(began + CYCLE_MIN).await;
        }
        self.finish().await
    }

    /// One cycle, aborted after `deadline`, or a moment after `stop`. An aborted cycle is like that of a crashed worker:
    /// what it claimed is due again when the leases expire.
    async fn step_within(
        &mut self,
        deadline: Duration,
        stop: &CancellationToken,
    ) -> anyhow::Result<usize> {
        let cut = async {
            stop.cancelled().await;
            tokio::time::sleep(GIVE_BACK_MAX).await;
        };
        tokio::select! {
            step = tokio::time::timeout(deadline, self.step()) => {
                step.context("the database did not answer in time")?
            }
            () = cut => anyhow::bail!("stopped in the middle of a cycle"),
        }
    }

    /// One cycle: starts the calls whose slot has come, then claims as much as permits and free slots allow. Answers how
    /// many trackings were claimed.
    ///
    /// # Errors
    /// If the store is away or the bus accepts no records. What was claimed before stays planned. An error of one account
    /// is logged, and the others go on.
    pub async fn step(&mut self) -> anyhow::Result<usize> {
        self.reap()?;
        // An answer that cannot be published would waste the call.
        let may_publish = self.parts.bus.may_publish().await;
        ensure!(may_publish, "the bus accepts no records now");
        let (bus, store) = (&self.parts.bus, &self.parts.store);
        let monotonic = self.parts.clock.monotonic();
        self.backlog.look(bus, store, monotonic).await?;
        self.start_calls().await?;
        if !self.is_known {
            self.is_known = self.caller.logins.meet().await;
        }
        let now = self.parts.clock.now();
        let mark = self.caller.pauses.mark();
        let states = self
            .parts
            .store
            .mended_account_states(now)
            .await
            .context("cannot read the state of the accounts")?;
        self.caller.pauses.merge(&states, mark).await;
        if let Some((subscriber, at)) = self.subscriber.as_mut().filter(|it| it.1 <= monotonic) {
            *at = monotonic + LOOK_EVERY;
            let subscriber = Arc::clone(subscriber);
            self.running.spawn(async move { subscriber.look().await });
        }
        let claimed = if self.unpublished() < UNPUBLISHED_MAX {
            self.claim_all(now).await
        } else {
            Ok(0)
        };
        // Even if claiming failed: calls of other accounts are planned, and their permits are valid for a second.
        self.start_calls().await?;
        let claimed = claimed?;
        self.parts.stats.cycle(now, claimed as u64);
        Ok(claimed)
    }

    /// Frees the slots of calls that have ended, and answers how many are still running.
    ///
    /// # Errors
    /// If a call panicked.
    pub fn reap(&mut self) -> anyhow::Result<usize> {
        while let Some(ended) = self.running.try_join_next() {
            self.end(ended)?;
        }
        Ok(self.running.len())
    }

    /// How many calls have their answer, but not all of it in the log yet.
    fn unpublished(&self) -> usize {
        let running: usize = self.lanes.values().map(Lane::running).sum();
        self.running.len().saturating_sub(running)
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.running.join_next().await {
            self.end(ended)?;
        }
        Ok(())
    }

    /// Starts the planned calls whose slot has come. Releases those whose slot has passed, and those of paused accounts.
    async fn start_calls(&mut self) -> anyhow::Result<()> {
        let now = self.parts.clock.now();
        let monotonic = self.parts.clock.monotonic();
        let mut unused = Vec::new();
        for (account, lane) in &mut self.lanes {
            if self
                .caller
                .pauses
                .until(account)
                .is_some_and(|until| until > now)
            {
                unused.extend(lane.waiting.drain(..));
                continue;
            }
            while lane
                .waiting
                .front()
                .is_some_and(|call| call.grant.permit.from <= monotonic)
            {
                let Some(call) = lane.waiting.pop_front() else {
                    break;
                };
                if call.grant.permit.until < monotonic {
                    self.parts.metrics.permits_expired(account).inc();
                    unused.push(call);
                    continue;
                }
                let slot = lane.occupy(&self.freed);
                self.parts.stats.in_flight_add(call.trackings.len() as u64);
                let caller = Arc::clone(&self.caller);
                self.running
                    .spawn(async move { caller.check(call, slot).await });
            }
        }
        self.give_back_calls(&unused).await
    }

    async fn give_back_calls(&self, calls: &[Call]) -> anyhow::Result<()> {
        let leases: Vec<_> = calls.iter().flat_map(Call::leases).collect();
        self.give_back(&leases).await?;
        for ticket in calls.iter().filter_map(|call| call.ticket.as_ref()) {
            let releasing = self.parts.store.release_ticket(ticket);
            releasing.await.context("cannot release a ticket")?;
        }
        let mut accounts: BTreeMap<&str, (&Account, Vec<Grant>)> = BTreeMap::new();
        for call in calls {
            let account = &*call.route.account;
            let (_, grants) = accounts
                .entry(&account.name)
                .or_insert((account, Vec::new()));
            grants.push(call.grant);
        }
        for (name, (account, grants)) in accounts {
            if let Err(error) = self.permits.give_back_counted(account, &grants).await {
                let calls = grants.len();
                tracing::warn!(
                    account = name,
                    calls,
                    "cannot give back {calls} calls of account {name}, they stay counted for the day: {error}"
                );
            }
        }
        Ok(())
    }

    async fn give_back(&self, leases: &[(i64, Uuid)]) -> anyhow::Result<()> {
        if leases.is_empty() {
            return Ok(());
        }
        self.parts
            .store
            .give_back(leases)
            .await
            .context("cannot release leases")
    }

    fn end(&mut self, ended: Result<Ended, JoinError>) -> anyhow::Result<()> {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return Ok(()),
            // A panic is a bug of ours: end the process instead of losing calls silently.
            Err(error) => return Err(error).context("a check panicked"),
        };
        if ended.was_call {
            self.parts.stats.in_flight_sub(ended.trackings);
        }
        Ok(())
    }

    /// How long to wait for the next cycle: until the next slot or due time, at most the poll interval.
    pub fn wait(&self) -> Duration {
        let monotonic = self.parts.clock.monotonic();
        let now = self.parts.clock.now();
        let slots = self
            .lanes
            .values()
            .filter_map(|lane| lane.waiting.front())
            .map(|call| call.grant.permit.from.saturating_sub(monotonic));
        let next_slot = self.next_slot.map(|at| at.saturating_sub(monotonic));
        let next_due = self.next_due.map(|at| {
            (at - now)
                .max(TimeDelta::zero())
                .to_std()
                .unwrap_or_default()
        });
        slots
            .chain(next_slot)
            .chain(next_due)
            .fold(self.settings.poll_interval, Duration::min)
            .max(CYCLE_MIN)
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        let planned: Vec<Call> = self
            .lanes
            .values_mut()
            .flat_map(|lane| lane.waiting.drain(..))
            .collect();
        let giving_back = tokio::time::timeout(GIVE_BACK_MAX, self.give_back_calls(&planned));
        let given_back = giving_back
            .await
            .context("the database did not answer in time");
        if let Err(error) = given_back.flatten() {
            tracing::warn!("cannot release leases, they will expire: {error:#}");
        }
        let in_flight = self.running.len();
        if in_flight > 0 {
            let grace_secs = self.settings.grace.as_secs();
            tracing::info!(
                in_flight,
                grace_secs,
                "waiting up to {grace_secs} s for {in_flight} calls in flight"
            );
        }
        if tokio::time::timeout(self.settings.grace, self.settle())
            .await
            .is_err()
        {
            let dropped = self.running.len();
            tracing::warn!(
                dropped,
                "dropped {dropped} calls that did not end in time: their parcels are checked again when the leases expire"
            );
            self.running.abort_all();
        }
        Ok(())
    }
}
