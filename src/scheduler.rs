//! Role `work`: claims what is due, within each carrier's limits, asks the carriers, and publishes what they said.
//!
//! One [`Scheduler::step`] starts the calls whose slot has come and claims more where permits and free slots are. The
//! loop around it waits for the next slot, a call's end, a trigger, or the poll interval. Each account has its own slots,
//! so a carrier that hangs holds nobody else's. When to look again is the account's policy's affair ([`plan`]); what a
//! call is worth, the [`pricing`]'s.

pub mod call;
mod claiming;
mod judge;
pub mod lane;
pub mod ops;
pub mod parts;
pub mod pauses;
pub mod pricing;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::TimeDelta;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::Time;
use crate::model::Tracking;
use crate::outage::Outage;
use crate::scheduler::call::{Call, Caller, Ended};
use crate::scheduler::lane::Lane;
use crate::scheduler::parts::{SchedulerParts, Settings};
use crate::store::claims::DueCarriers;

/// The shortest time between two cycles, however fast calls end.
const CYCLE_MIN: Duration = Duration::from_millis(10);

/// How long one cycle may take.
const STEP_MAX: Duration = Duration::from_secs(60);

/// How long giving back what was not started may take at the end; calls in flight wait for it.
const GIVE_BACK_MAX: Duration = Duration::from_secs(2);

/// How long the claims rest after the store failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One worker.
pub struct Scheduler {
    parts: SchedulerParts,
    settings: Settings,
    caller: Arc<Caller>,
    lanes: BTreeMap<String, Lane>,
    running: JoinSet<Ended>,
    /// The carrier code served last; the next cycle starts after it.
    served_last: String,
    /// When something may be claimable next, as the last cycle saw it.
    next_due: Option<Time>,
    /// When the limiter has the next slot for an account that has something due, on the monotonic clock.
    next_slot: Option<Duration>,
    /// Codes without a route that were already told of.
    unroutable: HashSet<String>,
}

impl Scheduler {
    /// # Errors
    /// Where an HTTP client cannot be made.
    pub fn new(parts: SchedulerParts, settings: Settings) -> anyhow::Result<Self> {
        let caller = Arc::new(Caller::new(parts.clone())?);
        Ok(Self {
            parts,
            settings,
            caller,
            lanes: BTreeMap::new(),
            running: JoinSet::new(),
            served_last: String::new(),
            next_due: None,
            next_slot: None,
            unroutable: HashSet::new(),
        })
    }

    /// Works until `stop`; then claims nothing more, lets calls in flight end within the grace time, and gives back
    /// what was not started.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut outage = Outage::new("claiming");
        while !stop.is_cancelled() {
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
                Some(ended) = self.running.join_next() => {
                    self.end(ended)?;
                    tokio::time::sleep(CYCLE_MIN).await;
                }
            }
        }
        self.finish().await
    }

    /// A cycle cut short is like one of a worker that died: what it claimed is due again when the leases end. After `stop`
    /// it has a moment to end by itself.
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

    /// One cycle: starts the calls whose slot has come, then claims what permits and free slots allow; answers how many
    /// trackings were claimed.
    ///
    /// # Errors
    /// Where the store is away, or the bus takes nothing; what was claimed before stays planned.
    pub async fn step(&mut self) -> anyhow::Result<usize> {
        self.reap()?;
        // What a carrier says now could not be told to anybody: better not to ask.
        let may_publish = self.parts.bus.may_publish().await;
        ensure!(may_publish, "the bus takes nothing now");
        self.start_calls().await?;
        let now = self.parts.clock.now();
        let states = self
            .parts
            .store
            .carrier_states()
            .await
            .context("cannot read the carriers' state")?;
        self.caller.pauses.take_over(&states).await;
        let DueCarriers {
            carriers,
            cut_after,
        } = self.due_carriers(now).await?;
        self.next_slot = None;
        self.next_due = carriers
            .iter()
            .map(|due| due.earliest)
            .filter(|at| *at > now)
            .min();
        let mut claimed = 0;
        for due in carriers.iter().filter(|due| due.earliest <= now) {
            let taken = self.claim_carrier(&due.carrier_code, false, &states);
            claimed += taken.await?.trackings;
        }
        claimed += self.claim_early(carriers, &states).await?;
        if let Some(code) = cut_after {
            self.served_last = code;
        }
        self.start_calls().await?;
        self.parts.stats.cycle(now, claimed as u64);
        Ok(claimed)
    }

    /// Takes note of the calls that have ended; answers how many have not. For tests that move the clock by hand.
    ///
    /// # Errors
    /// Where a call died of a bug of ours.
    pub fn reap(&mut self) -> anyhow::Result<usize> {
        while let Some(ended) = self.running.try_join_next() {
            self.end(ended)?;
        }
        Ok(self.running.len())
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.running.join_next().await {
            self.end(ended)?;
        }
        Ok(())
    }

    /// Starts every planned call whose slot has come; calls whose slot passed, or of a paused carrier, are given back.
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
                .is_some_and(|call| call.permit.from <= monotonic)
            {
                let Some(call) = lane.waiting.pop_front() else {
                    break;
                };
                if call.permit.until < monotonic {
                    self.parts.metrics.permits_expired(account);
                    unused.push(call);
                    continue;
                }
                lane.running += 1;
                self.parts.stats.in_flight_add(call.trackings.len() as u64);
                let caller = Arc::clone(&self.caller);
                self.running.spawn(async move { caller.check(call).await });
            }
        }
        self.give_back_calls(&unused).await
    }

    async fn give_back_calls(&self, calls: &[Call]) -> anyhow::Result<()> {
        let rows: Vec<Tracking> = calls
            .iter()
            .flat_map(|call| call.trackings.clone())
            .collect();
        self.give_back(&rows).await?;
        let mut days: BTreeMap<&str, u32> = BTreeMap::new();
        for call in calls
            .iter()
            .filter(|call| call.route.account.limits.per_day > 0)
        {
            *days.entry(&call.route.account.name).or_default() += 1;
        }
        for (account, calls) in days {
            self.parts
                .store
                .give_back_day(account, calls, self.parts.clock.now())
                .await?;
        }
        Ok(())
    }

    async fn give_back(&self, rows: &[Tracking]) -> anyhow::Result<()> {
        let leases: Vec<_> = rows
            .iter()
            .filter_map(|row| row.lease_id.map(|id| (row.id, id)))
            .collect();
        if leases.is_empty() {
            return Ok(());
        }
        self.parts
            .store
            .give_back(&leases)
            .await
            .context("cannot give leases back")
    }

    fn end(&mut self, ended: Result<Ended, JoinError>) -> anyhow::Result<()> {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return Ok(()),
            // A bug in our own code: the process must not go on pretending to work.
            Err(error) => return Err(error).context("a check died"),
        };
        if ended.was_call {
            let lane = self.lanes.entry(ended.account).or_default();
            lane.running = lane.running.saturating_sub(1);
            self.parts.stats.in_flight_sub(ended.trackings);
        }
        Ok(())
    }

    /// How long nothing has to be done: to the next slot or the next due time, at most the poll interval.
    pub fn wait(&self) -> Duration {
        let monotonic = self.parts.clock.monotonic();
        let now = self.parts.clock.now();
        let slots = self
            .lanes
            .values()
            .filter_map(|lane| lane.waiting.front())
            .map(|call| call.permit.from.saturating_sub(monotonic));
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
            tracing::warn!("leases not given back end by themselves: {error:#}");
        }
        let in_flight = self.running.len();
        if in_flight > 0 {
            tracing::info!(
                "waiting up to {} s for {in_flight} calls in flight",
                self.settings.grace.as_secs()
            );
        }
        if tokio::time::timeout(self.settings.grace, self.settle())
            .await
            .is_err()
        {
            tracing::warn!(
                "dropped {} calls that did not end in time; their leases end by themselves",
                self.running.len()
            );
            self.running.abort_all();
        }
        Ok(())
    }
}
