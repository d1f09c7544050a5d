//! Adjusts the price of a call once a minute. Per account one worker does this, elected by a lease; all workers report
//! the calls they made.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::carriers::routes::{Account, Routes};
use crate::clock::{Clock, Time, day_of, delta, hours, minute_of};
use crate::config::Policy;
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::model::{CarrierCode, Tracking};
use crate::outage::Outage;
use crate::plan::decide::longest_wait;
use crate::plan::hazard::REFIT_EVERY;
use crate::plan::price::Price;
use crate::plan::quota::Shares;
use crate::store::Store;
use crate::store::account_plans::AccountPlan;
use crate::store::error::StoreError;

/// How often the prices are adjusted, on the store's clock.
const EVERY: Duration = Duration::from_secs(60);

/// The shortest real time between two adjustments.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// How often, in real time, a worker reports its calls.
const COUNT_CALLS_EVERY: Duration = Duration::from_secs(5);

/// The shortest wait between two rounds of work.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// How long, in real time, the worker that adjusts a price keeps this right without renewing it.
const LEASE: Duration = Duration::from_secs(180);

/// How often the parcels of the accounts are counted.
const COUNT_EVERY: TimeDelta = TimeDelta::minutes(5);

/// How long one round over all accounts may take.
const TICK_MAX: Duration = Duration::from_secs(30);

/// The most carrier codes read to find what is overdue.
const CARRIERS_MAX: u32 = 10_000;

/// This worker's claims of an account since the price was last adjusted.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    claimed: f64,
    /// How late they were altogether, in hours. Early ones count negative.
    late: f64,
    /// Whether permits were left that no tracking could use.
    idle: bool,
}

/// What a pricer is made of.
pub struct PricerParts {
    pub store: Store,
    pub learned: Learned,
    pub routes: Arc<Routes>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

/// One worker's part in pricing. The scheduler reports its claims to it.
pub struct Pricer {
    parts: PricerParts,
    member: Uuid,
    samples: Mutex<HashMap<String, Sample>>,
    /// Calls that the store does not have yet, by account and the minute they were made in.
    calls: Mutex<BTreeMap<(String, i64), u32>>,
    /// Accounts with overdue parcels for which a warning was logged.
    warned: Mutex<HashSet<String>>,
}

impl Pricer {
    pub fn new(parts: PricerParts) -> Self {
        Self {
            parts,
            member: Uuid::now_v7(),
            samples: Mutex::default(),
            calls: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    /// Notes a call that is being made.
    pub fn called(&self, account: &str, now: Time) {
        let mut counted = self.calls.lock();
        let count = counted
            .entry((account.to_owned(), minute_of(now)))
            .or_default();
        *count = count.saturating_add(1);
    }

    /// Notes a claim of `rows`, each of which gets its call.
    pub fn claimed(&self, account: &str, rows: &[Tracking], now: Time) {
        let mut samples = self.lock();
        let sample = samples.entry(account.to_owned()).or_default();
        for row in rows.iter().filter(|row| !row.urgent) {
            sample.claimed += 1.0;
            sample.late += hours(now) - hours(row.next_check_at);
        }
    }

    /// Notes that permits of the account were left that no tracking could use.
    pub fn idle(&self, account: &str) {
        self.lock().entry(account.to_owned()).or_default().idle = true;
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
                    self.count_calls().await
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
                .clamp(WAIT_MIN, COUNT_CALLS_EVERY);
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

    /// One round: reports the calls; then, for every account, adjusts the price if this worker leads it, and reads again
    /// what was learned.
    ///
    /// # Errors
    /// If the store is away. One account's failure does not stop the others.
    pub async fn tick(&self) -> anyhow::Result<()> {
        self.count_calls().await?;
        let earliest = self.earliest().await?;
        let mut counts = None;
        let mut done = Ok(());
        for account in self.parts.routes.accounts() {
            let sample = self.lock().remove(&account.name).unwrap_or_default();
            let earliest = earliest.get(&account.name).copied();
            let priced = self
                .price_account(account, sample, earliest, &mut counts)
                .await;
            let priced = priced.with_context(|| format!("cannot price account {}", account.name));
            // One account's failure must not stop the others.
            done = done.and(priced);
        }
        done
    }

    async fn price_account(
        &self,
        account: &Account,
        sample: Sample,
        earliest: Option<Time>,
        counts: &mut Option<BTreeMap<String, i64>>,
    ) -> anyhow::Result<()> {
        let now = self.parts.clock.now();
        self.lead(account, sample, earliest, counts, now).await?;
        let learned = self.parts.learned.refresh(account, now).await;
        learned.context("cannot read what was learned")?;
        Ok(())
    }

    /// Adds our calls since the last report to the shared counter. If the write fails they are lost; the counter is
    /// informational.
    async fn count_calls(&self) -> anyhow::Result<()> {
        let calls = std::mem::take(&mut *self.calls.lock());
        for ((account, minute), calls) in calls {
            let counted =
                self.parts
                    .store
                    .count_calls(&account, calls, minute, self.parts.clock.now());
            counted.await.context("cannot count the calls")?;
        }
        Ok(())
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
        sample: Sample,
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
            }
            let ours = counts.as_ref().and_then(|counts| counts.get(&account.name));
            plan.parcels = ours.copied().unwrap_or_default();
            plan.counted_at = now;
        }
        let round = account.round(plan.parcels);
        self.watch_overdue(account, round, earliest, now);
        let minutes = (now - plan.adjusted_at).num_milliseconds() as f64 / 60_000.0;
        if account.policy == Policy::Learned && round > 0.0 {
            let late = if sample.claimed > 0.0 {
                sample.late / sample.claimed
            } else if sample.idle {
                earliest.map_or(0.0, |at| (hours(now) - hours(at)).min(0.0))
            } else {
                0.0
            };
            plan.price.adjust(hours(now), late, round, minutes);
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Sample>> {
        self.samples.lock()
    }
}

#[cfg(test)]
mod tests;
