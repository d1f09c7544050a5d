//! Role `work`: claims what is due, within each carrier's limits, asks the carriers, and publishes what they said.
//!
//! One [`Scheduler::step`] starts the calls whose slot has come and claims more where permits and free slots are. The
//! loop around it waits for the next slot, a call's end, a trigger, or the poll interval. Each account has its own slots,
//! so a carrier that hangs holds nobody else's. When to look again is the account's policy's affair ([`plan`]); what a
//! call is worth, the [`pricing`]'s.

pub mod call;
pub mod lane;
pub mod ops;
pub mod pauses;
pub mod plan;
pub mod pricing;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cache::limiter::{RateLimiter, Reservation};
use crate::carriers::routes::{Account, Route, Routes};
use crate::clock::{Clock, Time, delta};
use crate::config::Policy;
use crate::kafka::Bus;
use crate::metrics::Metrics;
use crate::model::{CarrierCode, EXPIRES_AFTER, Tracking};
use crate::outage::Outage;
use crate::plan::decide::left_alone;
use crate::plan::parcel::hours;
use crate::planner::Planner;
use crate::scheduler::call::{Call, Caller, Ended};
use crate::scheduler::lane::Lane;
use crate::scheduler::ops::Stats;
use crate::scheduler::plan::Plan;
use crate::scheduler::pricing::PriceKeeper;
use crate::store::Store;
use crate::store::carrier_state::CarrierState;
use crate::store::claims::{DueCarrier, Take};

/// The most carrier codes looked at in one cycle; the next cycle goes on after the last.
const CARRIERS_MAX: u32 = 1_000;

/// The shortest time between two cycles, however fast calls end.
const CYCLE_MIN: Duration = Duration::from_millis(10);

/// How long a call may outlast its time-out for its answer to be published within the lease.
pub const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// How long one cycle may take.
const STEP_MAX: Duration = Duration::from_secs(60);

/// How long the claims rest after the store failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a scheduler works with.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub bus: Bus,
    pub limiter: RateLimiter,
    pub routes: Arc<Routes>,
    pub clock: Clock,
    pub plan: Plan,
    pub planner: Planner,
    pub prices: Arc<PriceKeeper>,
    pub metrics: Arc<Metrics>,
    pub stats: Arc<Stats>,
    /// Wakes the loop for a claim cycle now.
    pub trigger: Arc<Notify>,
}

/// How it works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub poll_interval: Duration,
    pub lease: Duration,
    /// The most trackings claimed at once.
    pub batch: u32,
    /// How long after a good answer a parcel is left alone where calls are left over.
    pub recheck_after: Duration,
    /// How long calls in flight may take to end when the process stops.
    pub grace: Duration,
}

/// One worker.
pub struct Scheduler {
    parts: Parts,
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
    pub fn new(parts: Parts, settings: Settings) -> anyhow::Result<Self> {
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
            let wait = match self.step_within(STEP_MAX).await {
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

    /// A cycle cut short is like one of a worker that died: what it claimed is due again when the leases end.
    async fn step_within(&mut self, deadline: Duration) -> anyhow::Result<usize> {
        let step = tokio::time::timeout(deadline, self.step()).await;
        step.context("the database did not answer in time")?
    }

    /// One cycle: starts the calls whose slot has come, then claims what permits and free slots allow; answers how many
    /// trackings were claimed.
    ///
    /// # Errors
    /// Where the store is away, or the bus takes nothing; what was claimed before stays planned.
    pub async fn step(&mut self) -> anyhow::Result<usize> {
        self.reap()?;
        // What a carrier says now could not be told to anybody: better not to ask.
        ensure!(self.parts.bus.is_ready().await, "the bus takes nothing now");
        self.start_calls().await?;
        let now = self.parts.clock.now();
        let states = self
            .parts
            .store
            .carrier_states()
            .await
            .context("cannot read the carriers' state")?;
        self.caller.pauses.take_over(&states);
        let carriers = self.due_carriers(now).await?;
        self.next_slot = None;
        self.next_due = carriers
            .iter()
            .map(|due| due.earliest)
            .filter(|at| *at > now)
            .min();
        let mut claimed = 0;
        for due in carriers.iter().filter(|due| due.earliest <= now) {
            claimed += self
                .claim_carrier(&due.carrier_code, false, &states)
                .await?;
        }
        claimed += self.claim_early(carriers, &states).await?;
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

    /// The carriers with something claimable, the one after the last one served first.
    async fn due_carriers(&mut self, now: Time) -> anyhow::Result<Vec<DueCarrier>> {
        let store = &self.parts.store;
        let mut carriers = store
            .due_carriers(&self.served_last, CARRIERS_MAX, now)
            .await
            .context("cannot list due carriers")?;
        if carriers.len() < CARRIERS_MAX as usize && !self.served_last.is_empty() {
            let from_the_first = store.due_carriers("", CARRIERS_MAX, now).await?;
            let up_to_last = from_the_first
                .into_iter()
                .filter(|due| due.carrier_code.as_str() <= self.served_last.as_str());
            carriers.extend(up_to_last);
        }
        Ok(carriers)
    }

    /// Where calls are left over that cannot be saved for later, parcels are looked at before their time: those first
    /// whose time comes first. A call that found nothing to do rests for the poll interval.
    async fn claim_early(
        &mut self,
        mut carriers: Vec<DueCarrier>,
        states: &[CarrierState],
    ) -> anyhow::Result<usize> {
        carriers.sort_by_key(|due| due.earliest);
        let mut claimed = 0;
        for due in carriers {
            let Some(route) = self.parts.routes.resolve(&due.carrier_code) else {
                continue;
            };
            let account = Arc::clone(&route.account);
            let spends = account.policy == Policy::Learned && account.checks_per_hour().is_some();
            let monotonic = self.parts.clock.monotonic();
            let lane = self.lanes.entry(account.name.clone()).or_default();
            if !spends || lane.idle_until.is_some_and(|until| monotonic < until) {
                continue;
            }
            let taken = self.claim_carrier(&due.carrier_code, true, states).await?;
            claimed += taken;
        }
        Ok(claimed)
    }

    /// Claims what one carrier's permits and free slots allow, and plans the calls; with `early` also what is not yet due.
    async fn claim_carrier(
        &mut self,
        carrier: &CarrierCode,
        early: bool,
        states: &[CarrierState],
    ) -> anyhow::Result<usize> {
        let Some(route) = self.parts.routes.resolve(carrier).cloned() else {
            if self.unroutable.insert(carrier.as_str().to_owned()) {
                tracing::error!(
                    "nobody checks the parcels of {carrier}: the configuration has no [carriers.{carrier}] and no [carriers.\"*\"]"
                );
            }
            return Ok(0);
        };
        let account = Arc::clone(&route.account);
        let calls = self.calls_free(&account, states);
        if calls == 0 {
            return Ok(0);
        }
        let per_call = u32::try_from(route.adapter.numbers_per_call().max(1)).unwrap_or(1);
        let calls = calls.min(self.settings.batch.div_ceil(per_call)).max(1);
        let limiter = self.parts.limiter.clone();
        let reservation = limiter.reserve(&account.name, &account.limits, calls).await;
        let calls = u32::try_from(reservation.permits.len()).unwrap_or(0);
        self.wake_at(reservation.next, calls);
        if calls == 0 {
            return Ok(0);
        }
        self.served_last = carrier.as_str().to_owned();
        let limit = (calls * per_call).min(self.settings.batch.max(per_call));
        let now = self.parts.clock.now();
        let take = if early {
            let rests = self.settings.recheck_after.max(self.left_alone(&account));
            let answered_before = now - delta(rests);
            Take::Early { answered_before }
        } else {
            Take::Due
        };
        let claimed = self.claim(carrier, take, limit).await?;
        let taken = claimed.len();
        let (expired, asked): (Vec<Tracking>, Vec<Tracking>) =
            claimed.into_iter().partition(|row| {
                !row.urgent
                    && row.last_checked_at.is_some()
                    && now - row.last_news_at() >= EXPIRES_AFTER
            });
        let needed = asked.len().div_ceil(per_call as usize);
        self.parts
            .prices
            .claimed(&account.name, needed, &asked, now);
        if early && needed < calls as usize {
            self.parts.prices.idle(&account.name);
            let until = self.parts.clock.monotonic() + self.settings.poll_interval;
            self.lanes
                .entry(account.name.clone())
                .or_default()
                .idle_until = Some(until);
        }
        self.plan_calls(&route, asked, &reservation, per_call)
            .await?;
        if !expired.is_empty() {
            let caller = Arc::clone(&self.caller);
            let account = Arc::clone(&account);
            self.running
                .spawn(async move { caller.expire(&account, expired).await });
        }
        Ok(taken)
    }

    /// How many more calls the account has room for: free slots, unless it is paused; one probe where it only fails.
    fn calls_free(&mut self, account: &Account, states: &[CarrierState]) -> u32 {
        let now = self.parts.clock.now();
        let pause = self.caller.pauses.until(&account.name);
        if pause.is_some_and(|until| until > now) {
            self.next_due = self.next_due.min(pause).or(pause);
            return 0;
        }
        let lane = self.lanes.entry(account.name.clone()).or_default();
        let free = u32::try_from(account.slots.saturating_sub(lane.busy())).unwrap_or(u32::MAX);
        let state = states.iter().find(|state| state.budget == account.name);
        let mut calls = free;
        if self.caller.pauses.is_failing(&account.name) {
            calls = calls.min(u32::from(lane.busy() == 0));
        }
        if account.limits.per_day > 0 {
            let per_day = account.limits.per_day;
            let left = state.map_or(i64::from(per_day), |state| {
                state.left(per_day, self.pace(account, now), now)
            });
            calls = calls.min(u32::try_from(left).unwrap_or(u32::MAX));
        }
        calls
    }

    /// How long a parcel of the account is left alone at least.
    fn left_alone(&self, account: &Account) -> Duration {
        let known = self.parts.planner.known(&account.name);
        let pricing = known.as_ref().and_then(|known| known.pricing.as_ref());
        let round = pricing.map_or(0.0, |pricing| account.round(pricing.parcels));
        Duration::try_from_secs_f64(left_alone(round) * 3_600.0).unwrap_or_default()
    }

    /// Calls a minute that a day's calls are spread to in this hour, where the account's policy spreads them.
    fn pace(&self, account: &Account, now: Time) -> Option<f64> {
        if account.policy != Policy::Learned {
            return None;
        }
        let known = self.parts.planner.known(&account.name);
        let shares = known.map(|known| known.shares()).unwrap_or_default();
        Some(shares.per_minute(f64::from(account.limits.per_day), hours(now)))
    }

    fn wake_at(&mut self, slot: Duration, calls: u32) {
        // Without a limit nothing has to be waited for but a call's end.
        if calls == 0 || slot > self.parts.clock.monotonic() {
            self.next_slot = Some(self.next_slot.map_or(slot, |at| at.min(slot)));
        }
    }

    async fn claim(
        &self,
        carrier: &CarrierCode,
        take: Take,
        limit: u32,
    ) -> anyhow::Result<Vec<Tracking>> {
        let now = self.parts.clock.now();
        let lease = self.parts.clock.scaled(self.settings.lease);
        let claimed = self
            .parts
            .store
            .claim_due(carrier, take, now, lease, limit)
            .await
            .with_context(|| format!("cannot claim parcels of {carrier}"))?;
        for error in &claimed.unreadable {
            tracing::error!("passed over an unreadable tracking of {carrier}: {error}");
        }
        self.parts.metrics.claimed(claimed.trackings.len() as u64);
        Ok(claimed.trackings)
    }

    /// Deals `asked` out to the reserved slots and gives back the slots that nothing was claimed for.
    async fn plan_calls(
        &mut self,
        route: &Route,
        asked: Vec<Tracking>,
        reservation: &Reservation,
        per_call: u32,
    ) -> anyhow::Result<()> {
        let account = &route.account;
        // The store's lease began before the claim was answered; the monotonic one ends no later.
        let lease_ends = self.parts.clock.monotonic() + self.settings.lease;
        let groups: Vec<&[Tracking]> = asked.chunks(per_call as usize).collect();
        let needed = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let unused = u32::try_from(reservation.permits.len())
            .unwrap_or(0)
            .saturating_sub(needed);
        if unused > 0 {
            self.parts
                .limiter
                .give_back(&account.name, &account.limits, reservation, unused)
                .await;
        }
        let granted = self.take_day(account, needed).await?;
        let mut refused = Vec::new();
        for (place, group) in groups.into_iter().enumerate() {
            match reservation.permits.get(place) {
                Some(permit) if place < granted as usize => {
                    let call = Call {
                        route: route.clone(),
                        trackings: group.to_vec(),
                        permit: *permit,
                        lease_ends,
                    };
                    self.lanes
                        .entry(account.name.clone())
                        .or_default()
                        .waiting
                        .push_back(call);
                }
                _ => refused.extend_from_slice(group),
            }
        }
        self.give_back(&refused).await
    }

    async fn take_day(&self, account: &Account, calls: u32) -> anyhow::Result<u32> {
        if account.limits.per_day == 0 || calls == 0 {
            return Ok(calls);
        }
        let now = self.parts.clock.now();
        self.parts
            .store
            .take_day(
                &account.name,
                calls,
                account.limits.per_day,
                self.pace(account, now),
                now,
            )
            .await
            .with_context(|| format!("cannot count the day's calls of {}", account.name))
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
        if let Err(error) = self.give_back_calls(&planned).await {
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
