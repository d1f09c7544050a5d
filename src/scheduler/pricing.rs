//! Adjusts the price of a call once a minute. Per account one worker does this, elected by a lease, from what all workers
//! counted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::carriers::routes::{Account, Routes};
use crate::clock::{Clock, Time, day_of, delta, hours, minute_of};
use crate::config::Policy;
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::model::CarrierCode;
use crate::outage::Outage;
use crate::plan::decide::longest_wait;
use crate::plan::hazard::REFIT_EVERY;
use crate::plan::price::{Price, Sample};
use crate::plan::quota::Shares;
use crate::scheduler::counting::Counter;
use crate::store::Store;
use crate::store::account_plans::AccountPlan;
use crate::store::counts::CallCounts;
use crate::store::error::StoreError;

/// How often the prices are adjusted, on the store's clock.
const EVERY: Duration = Duration::from_secs(60);

/// The shortest real time between two adjustments.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// How often, in real time, a worker writes what it counted.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// The shortest wait between two rounds of work.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// How long, in real time, the worker that adjusts a price keeps this right without renewing it.
const LEASE: Duration = Duration::from_secs(180);

/// The most minutes that one adjustment follows from.
const MINUTES_MAX: i64 = 60;

/// How often the parcels of the accounts are counted.
const COUNT_EVERY: TimeDelta = TimeDelta::minutes(5);

/// How long one round over all accounts may take.
const TICK_MAX: Duration = Duration::from_secs(30);

/// The most carrier codes read to find what is overdue.
const CARRIERS_MAX: u32 = 10_000;

/// What a pricer is made of.
pub struct PricerParts {
    pub store: Store,
    pub learned: Learned,
    pub routes: Arc<Routes>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

/// One worker's part in pricing.
pub struct Pricer {
    parts: PricerParts,
    member: Uuid,
    /// What this worker does, for the store.
    pub counter: Counter,
    /// Accounts with overdue parcels for which a warning was logged.
    warned: Mutex<HashSet<String>>,
}

impl Pricer {
    pub fn new(parts: PricerParts) -> Self {
        let counter = Counter::new(parts.store.clone(), parts.clock.clone());
        Self {
            parts,
            member: Uuid::now_v7(),
            counter,
            warned: Mutex::default(),
        }
    }

    /// Works until `stop`, then lets another worker take over at once.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut outage = Outage::new("pricing");
        let every = self.parts.clock.real(EVERY).max(EVERY_MIN);
        let mut next_tick = self.parts.clock.monotonic();
        while !stop.is_cancelled() {
            let due = self.parts.clock.monotonic() >= next_tick;
            let work = async {
                if due {
                    self.tick().await
                } else {
                    self.write_counts().await
                }
            };
            let done = tokio::time::timeout(TICK_MAX, work)
                .await
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the database did not answer in time")));
            match done {
                Ok(()) => outage.over(),
                Err(error) => outage.failed(format_args!("{error:#}")),
            }
            let monotonic = self.parts.clock.monotonic();
            if due {
                next_tick = monotonic + every;
            }
            let wait = next_tick
                .saturating_sub(monotonic)
                .clamp(WAIT_MIN, WRITE_EVERY);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        let now = self.parts.clock.now();
        let stopped =
            tokio::time::timeout(EVERY_MIN, self.parts.store.stop_leading(self.member, now));
        if !matches!(stopped.await, Ok(Ok(()))) {
            tracing::debug!("cannot release the leases on the prices, they will expire");
        }
        Ok(())
    }

    /// One round: writes what was counted; then, for every account, adjusts the price if this worker leads it, and reads
    /// again what was learned.
    ///
    /// # Errors
    /// If the store is away. One account's failure does not stop the others.
    pub async fn tick(&self) -> anyhow::Result<()> {
        self.write_counts().await?;
        let earliest = self.earliest().await?;
        let mut counts = None;
        let mut done = Ok(());
        for account in self.parts.routes.accounts() {
            let earliest = earliest.get(&account.name).copied();
            let priced = self.price_account(account, earliest, &mut counts).await;
            let priced = priced.with_context(|| format!("cannot price account {}", account.name));
            // One account's failure must not stop the others.
            done = done.and(priced);
        }
        done
    }

    async fn price_account(
        &self,
        account: &Account,
        earliest: Option<Time>,
        counts: &mut Option<BTreeMap<String, i64>>,
    ) -> anyhow::Result<()> {
        let now = self.parts.clock.now();
        self.lead(account, earliest, counts, now).await?;
        let learned = self.parts.learned.refresh(account, now).await;
        learned.context("cannot read what was learned")?;
        Ok(())
    }

    async fn write_counts(&self) -> anyhow::Result<()> {
        let written = self.counter.write().await;
        written.context("cannot write what was counted")
    }

    /// By account, the earliest next check of a tracking that no worker has claimed.
    async fn earliest(&self) -> anyhow::Result<BTreeMap<String, Time>> {
        let now = self.parts.clock.now();
        let due = self.parts.store.due_carriers("", CARRIERS_MAX, now).await;
        let mut earliest = BTreeMap::new();
        for carrier in due.context("cannot list due carriers")?.carriers {
            if let Some(route) = self.parts.routes.resolve(&carrier.carrier_code) {
                let at = earliest
                    .entry(route.account.name.clone())
                    .or_insert(carrier.earliest);
                *at = carrier.earliest.min(*at);
            }
        }
        Ok(earliest)
    }

    async fn lead(
        &self,
        account: &Account,
        earliest: Option<Time>,
        counts: &mut Option<BTreeMap<String, i64>>,
        now: Time,
    ) -> anyhow::Result<()> {
        let store = &self.parts.store;
        let lease = delta(self.parts.clock.scaled(LEASE));
        let start = AccountPlan {
            account: account.name.clone(),
            price: Price::start(0.0),
            shares: Shares::default(),
            shares_day: 0,
            parcels: 0,
            counted_at: Time::UNIX_EPOCH,
            adjusted_at: now,
            refitted_at: now,
        };
        let mut plan = match store.lead(&start, self.member, now, lease).await {
            Ok(Some(plan)) => plan,
            Ok(None) => return Ok(()),
            Err(error @ StoreError::Corrupt { .. }) => {
                let account = account.name.as_str();
                tracing::error!(account, "reset the price of account {account}: {error}");
                start
            }
            Err(error) => return Err(error.into()),
        };
        // The first parcels of an account should find a price that fits them.
        let first = plan.parcels == 0 && earliest.is_some();
        if now - plan.counted_at >= COUNT_EVERY || first {
            if counts.is_none() {
                *counts = Some(self.parcels().await?);
                store.forget_counts(now).await?;
            }
            let ours = counts.as_ref().and_then(|counts| counts.get(&account.name));
            plan.parcels = ours.copied().unwrap_or_default();
            plan.counted_at = now;
        }
        let round = account.round(plan.parcels);
        self.watch_overdue(account, round, earliest, now);
        if account.policy == Policy::Learned && round > 0.0 {
            self.adjust(account, &mut plan, earliest, round, now)
                .await?;
        }
        plan.adjusted_at = now;
        if plan.shares_day != day_of(now) {
            // The shares stay the same for the day.
            let learned = self.parts.learned.refresh(account, now).await?;
            plan.shares = Shares::of(&learned.events_by_hour());
            plan.shares_day = day_of(now);
        }
        let fitted_before = plan.refitted_at;
        let due = (now - fitted_before).num_seconds() as f64 >= REFIT_EVERY * 3_600.0;
        if due {
            plan.refitted_at = now;
        }
        let refit = due.then_some((fitted_before, account.codes.as_slice()));
        store.set_account_plan(&plan, self.member, refit).await?;
        Ok(())
    }

    /// Adjusts the price by what all workers counted in the whole minutes since the last time. These end some seconds ago,
    /// so that every worker has written what it counted in them.
    async fn adjust(
        &self,
        account: &Account,
        plan: &mut AccountPlan,
        earliest: Option<Time>,
        round: f64,
        now: Time,
    ) -> anyhow::Result<()> {
        let every = self.parts.clock.real(EVERY).max(EVERY_MIN);
        let settled = delta(self.parts.clock.scaled(every.min(WRITE_EVERY) * 2));
        let until = minute_of(now - settled);
        let from = minute_of(plan.adjusted_at - settled).clamp(until - MINUTES_MAX, until);
        let mut counts = CallCounts::default();
        let minutes = self.parts.store.calls_by_minute(&account.name, from..until);
        for (_, more) in minutes.await? {
            counts += more;
        }
        let minutes = (until - from) as f64;
        // Several workers may have left the same call to each other.
        let calls = account.checks_per_hour().unwrap_or_default() * minutes / 60.0;
        let sample = Sample {
            claimed: counts.claimed as f64,
            late: counts.late,
            idle: (counts.idle as f64).min(calls),
        };
        let next = earliest.map_or(0.0, |at| hours(at) - hours(now));
        let at = hours(now - settled);
        plan.price.adjust(at, sample.lateness(next), round, minutes);
        Ok(())
    }

    /// How many parcels each account has.
    async fn parcels(&self) -> anyhow::Result<BTreeMap<String, i64>> {
        let mut parcels = BTreeMap::new();
        for (code, active) in self.parts.store.active_counts().await? {
            let code = CarrierCode::parse(code).ok();
            let route = code.and_then(|code| self.parts.routes.resolve(&code));
            if let Some(route) = route {
                *parcels.entry(route.account.name.clone()).or_default() += active;
            }
        }
        Ok(parcels)
    }

    /// Warns once if some parcel is overdue by more than half the longest wait: the account's limits are too small for
    /// the number of its parcels.
    fn watch_overdue(&self, account: &Account, round: f64, earliest: Option<Time>, now: Time) {
        let overdue = earliest.map_or(0.0, |at| (hours(now) - hours(at)).max(0.0));
        self.parts
            .metrics
            .account_overdue_seconds(&account.name)
            .set((overdue * 3_600.0) as i64);
        let too_late = overdue > longest_wait(round) / 2.0;
        let mut warned = self.warned.lock();
        if too_late && warned.insert(account.name.clone()) {
            tracing::warn!(
                account = account.name,
                "parcels of account {} are overdue by up to {overdue:.0} h: its limits allow one check of each parcel in \
                 {round:.1} h; raise the limits or track fewer parcels",
                account.name
            );
        } else if !too_late && warned.remove(&account.name) {
            tracing::info!(
                account = account.name,
                "parcels of account {} are checked in time again",
                account.name
            );
        }
    }
}

#[cfg(test)]
mod tests;
