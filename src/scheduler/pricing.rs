//! Adjusts the price of a call once a minute. Per account one worker does this, elected by a lease, from what all workers
//! counted.

mod settings;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::carriers::routes::{Account, Routes};
use crate::clock::{Clock, Time, at_hours, day_of, delta, hours, minute_of};
use crate::config::Policy;
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::model::CarrierCode;
use crate::outage::Outage;
use crate::plan::cadence::Cadence;
use crate::plan::hazard::REFIT_EVERY;
use crate::plan::price::{Hold, Price, Sample};
use crate::plan::quota::Shares;
use crate::scheduler::counting::Counter;
use crate::scheduler::pauses::is_disturbed;
use crate::scheduler::pricing::settings::{made_by, pull_in};
use crate::scheduler::pricing::watch::{Waiting, Watch};
use crate::store::Store;
use crate::store::account_plans::AccountPlan;
use crate::store::counts::CallCounts;
use crate::store::error::StoreError;
use crate::store::queues::After;

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

/// From one in so many parcels on that wait for their first answer, the account has an import.
const IMPORT_SHARE: i64 = 10;

/// How long one round over all accounts may take.
const TICK_MAX: Duration = Duration::from_secs(30);

/// The most queues read at once to find what is overdue, and how many times at most.
const QUEUES_MAX: u32 = 10_000;
const READS_MAX: usize = 20;

/// What a pricer is made of.
pub struct PricerParts {
    pub store: Store,
    pub learned: Learned,
    pub routes: Arc<Routes>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub cadence: Cadence,
}

/// What one round finds of all accounts.
struct Seen {
    /// The earliest next check of a tracking that no worker has claimed.
    earliest: BTreeMap<String, Time>,
    /// The accounts that are paused or fail.
    disturbed: BTreeSet<String>,
    /// Read for the first account that needs it.
    census: Option<BTreeMap<String, Parcels>>,
}

/// An account's parcels that are still checked.
#[derive(Clone, Debug, Default)]
struct Parcels {
    /// The codes of their carriers.
    codes: Vec<String>,
    active: i64,
    failing: i64,
    unanswered: i64,
    unanswered_since: Option<Time>,
}

/// One worker's part in pricing.
pub struct Pricer {
    parts: PricerParts,
    member: Uuid,
    /// What this worker does, for the store.
    pub counter: Counter,
    watch: Watch,
}

impl Pricer {
    pub fn new(parts: PricerParts) -> Self {
        let counter = Counter::new(parts.store.clone(), parts.clock.clone());
        let watch = Watch::new(Arc::clone(&parts.metrics));
        Self {
            parts,
            member: Uuid::now_v7(),
            counter,
            watch,
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

    /// One round: writes what was counted; then, for every account, adjusts the price if this worker leads it, reads again
    /// what was learned, and tells of parcels that wait too long.
    ///
    /// # Errors
    /// If the store is away. One account's failure does not stop the others.
    pub async fn tick(&self) -> anyhow::Result<()> {
        self.write_counts().await?;
        let now = self.parts.clock.now();
        let mut seen = Seen {
            earliest: self.earliest().await?,
            disturbed: self.disturbed(now).await?,
            census: None,
        };
        let mut done = Ok(());
        for account in self.parts.routes.accounts() {
            let priced = self.price_account(account, &mut seen, now).await;
            let priced = priced.with_context(|| format!("cannot price account {}", account.name));
            // One account's failure must not stop the others.
            done = done.and(priced);
        }
        done
    }

    async fn price_account(
        &self,
        account: &Account,
        seen: &mut Seen,
        now: Time,
    ) -> anyhow::Result<()> {
        let leads = self.lead(account, seen, now).await?;
        let learned = self.parts.learned.refresh(account, now).await;
        let learned = learned.context("cannot read what was learned")?;
        if let Some(plan) = &learned.plan {
            let earliest = seen.earliest.get(&account.name).copied();
            let waiting = Waiting::of(plan, learned.round(account), earliest, now);
            self.watch.show(&account.name, waiting, leads);
        }
        Ok(())
    }

    /// The accounts whose parcels wait because no calls are made, or calls fail.
    async fn disturbed(&self, now: Time) -> anyhow::Result<BTreeSet<String>> {
        let states = self.parts.store.account_states(now).await;
        let states = states.context("cannot read the state of the accounts")?;
        let disturbed = states.into_iter().filter(|state| is_disturbed(state, now));
        Ok(disturbed.map(|state| state.account).collect())
    }

    async fn write_counts(&self) -> anyhow::Result<()> {
        let written = self.counter.write().await;
        written.context("cannot write what was counted")
    }

    /// By account, the earliest next check of a tracking that no worker has claimed.
    async fn earliest(&self) -> anyhow::Result<BTreeMap<String, Time>> {
        let now = self.parts.clock.now();
        let mut earliest = BTreeMap::new();
        let mut after = After::default();
        for _ in 0..READS_MAX {
            let due = self.parts.store.due_queues(&after, QUEUES_MAX, now).await;
            let due = due.context("cannot list what is due")?;
            for queue in due.queues {
                if let Some(route) = self.parts.routes.resolve(&queue.carrier_code) {
                    let at = earliest
                        .entry(route.account.name.clone())
                        .or_insert(queue.earliest);
                    *at = queue.earliest.min(*at);
                }
            }
            let Some(next) = due.cut_after else { break };
            after = next;
        }
        Ok(earliest)
    }

    /// Adjusts the account's plan if this worker leads it; answers whether it does.
    async fn lead(&self, account: &Account, seen: &mut Seen, now: Time) -> anyhow::Result<bool> {
        let store = &self.parts.store;
        let lease = delta(self.parts.clock.scaled(LEASE));
        let start = first_plan(account, now);
        let mut plan = match store.lead(&start, self.member, now, lease).await {
            Ok(Some(plan)) => plan,
            Ok(None) => return Ok(false),
            Err(error @ StoreError::Corrupt { .. }) => {
                let account = account.name.as_str();
                tracing::error!(account, "reset the price of account {account}: {error}");
                start
            }
            Err(error) => return Err(error.into()),
        };
        let earliest = seen.earliest.get(&account.name).copied();
        // The first parcels of an account should find a price that fits them.
        let first = plan.parcels == 0 && earliest.is_some();
        let mut disturbed = seen.disturbed.contains(&account.name);
        let made_by = made_by(account, &self.parts.cadence);
        if now - plan.counted_at >= COUNT_EVERY || first || plan.made_by != made_by {
            let parcels = self.count(account, seen, now).await?;
            plan.parcels = parcels.active;
            plan.failing = parcels.failing;
            plan.unanswered_since = parcels.unanswered_since;
            plan.counted_at = now;
            // An import waits for its first answers.
            disturbed |= parcels.unanswered * IMPORT_SHARE > parcels.active;
            if plan.made_by != made_by {
                let round = account.round(plan.parcels);
                let cadence = &self.parts.cadence;
                if pull_in(store, account, &parcels.codes, round, cadence, now).await? {
                    plan.made_by = made_by;
                }
            }
        }
        let round = account.round(plan.parcels);
        if account.policy == Policy::Learned && round > 0.0 {
            let late = self.lateness(account, &plan, earliest, now).await?;
            let Lateness { at, late, minutes } = late;
            let mut hold = Hold(plan.held_until.map(hours));
            let late = hold.filter(late, disturbed, round, hours(now));
            plan.held_until = hold.0.map(at_hours);
            plan.price.adjust(at, late, round, minutes);
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
        Ok(store.set_account_plan(&plan, self.member, refit).await?)
    }

    /// How late parcels were claimed by all workers in the whole minutes since the last time. These end some seconds ago, so
    /// that every worker has written what it counted in them.
    async fn lateness(
        &self,
        account: &Account,
        plan: &AccountPlan,
        earliest: Option<Time>,
        now: Time,
    ) -> anyhow::Result<Lateness> {
        let every = self.parts.clock.real(EVERY).max(EVERY_MIN);
        let settled = delta(self.parts.clock.scaled(every.min(WRITE_EVERY) * 2));
        let until = minute_of(now - settled);
        let from = minute_of(plan.adjusted_at - settled).clamp(until - MINUTES_MAX, until);
        let mut counts = CallCounts::default();
        let counted = self.parts.store.calls_by_minute(&account.name, from..until);
        for (_, more) in counted.await? {
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
        Ok(Lateness {
            at: hours(now - settled),
            late: sample.lateness(next),
            minutes,
        })
    }

    /// Counts the account's parcels, once a round for all accounts.
    async fn count(
        &self,
        account: &Account,
        seen: &mut Seen,
        now: Time,
    ) -> anyhow::Result<Parcels> {
        let census = match seen.census.take() {
            Some(census) => census,
            None => {
                self.parts.store.forget_counts(now).await?;
                self.census().await?
            }
        };
        let ours = census.get(&account.name).cloned().unwrap_or_default();
        seen.census = Some(census);
        Ok(ours)
    }

    async fn census(&self) -> anyhow::Result<BTreeMap<String, Parcels>> {
        let mut census: BTreeMap<String, Parcels> = BTreeMap::new();
        for carrier in self.parts.store.census().await? {
            let code = CarrierCode::parse(carrier.carrier_code.as_str()).ok();
            let Some(route) = code.and_then(|code| self.parts.routes.resolve(&code)) else {
                continue;
            };
            let parcels = census.entry(route.account.name.clone()).or_default();
            parcels.codes.push(carrier.carrier_code);
            parcels.active += carrier.active;
            parcels.failing += carrier.failing;
            parcels.unanswered += carrier.unanswered;
            let earlier = [parcels.unanswered_since, carrier.unanswered_since];
            parcels.unanswered_since = earlier.into_iter().flatten().min();
        }
        Ok(census)
    }
}

/// The plan that an account begins with.
fn first_plan(account: &Account, now: Time) -> AccountPlan {
    AccountPlan {
        account: account.name.clone(),
        price: Price::start(0.0),
        shares: Shares::default(),
        shares_day: 0,
        held_until: None,
        parcels: 0,
        failing: 0,
        unanswered_since: None,
        made_by: String::new(),
        counted_at: Time::UNIX_EPOCH,
        adjusted_at: now,
        refitted_at: now,
    }
}

/// How late parcels were claimed, in hours, over some minutes about the time `at` in hours.
struct Lateness {
    at: f64,
    late: f64,
    minutes: f64,
}

#[cfg(test)]
mod tests;
