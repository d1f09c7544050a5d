//! Claims: which accounts have something to check, and how many of their trackings are claimed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::carriers::routes::Account;
use crate::clock::Time;
use crate::config::Policy;
use crate::model::status::SubStatus;
use crate::model::{CarrierCode, EXPIRES_AFTER, Tracking};
use crate::scheduler::Scheduler;
use crate::scheduler::pauses::Pace;
use crate::store::claims::{Claim, Claimed, Share, Take};
use crate::store::error::StoreError;
use crate::store::failures::Gate;
use crate::store::queues::DueQueue;

/// The most queues read in one cycle; the next cycle continues after the last one.
const QUEUES_MAX: u32 = 2_000;

/// The shortest time between two calls of an account that is suspected.
const SLOW_EVERY: Duration = Duration::from_millis(500);

/// What an account has to check.
pub(super) struct Demand {
    pub account: Arc<Account>,
    pub queues: Vec<DueQueue>,
    is_due: bool,
}

impl Scheduler {
    /// Claims for every account what it may call. Returns how many trackings were claimed.
    pub(super) async fn claim_all(&mut self, now: Time) -> anyhow::Result<usize> {
        let due = self
            .parts
            .store
            .due_queues(&self.read_after, QUEUES_MAX, now)
            .await
            .context("cannot list what is due")?;
        self.read_after = due.cut_after.unwrap_or_default();
        self.next_slot = None;
        let times = due.queues.iter().map(|due| due.earliest);
        self.next_due = times.filter(|at| *at > now).min();
        // Before the claims, which would leave them no calls.
        if let Err(error) = self.claim_tickets(now).await {
            if is_outage(&error) {
                return Err(error);
            }
            tracing::error!("cannot ask for tickets: {error:#}");
        }
        let mut demands: BTreeMap<String, Demand> = BTreeMap::new();
        for queue in due.queues {
            let Some(route) = self.parts.routes.resolve(&queue.carrier_code) else {
                self.log_unroutable(&queue.carrier_code);
                continue;
            };
            let account = Arc::clone(&route.account);
            let demand = demands.entry(account.name.clone()).or_insert(Demand {
                account,
                queues: Vec::new(),
                is_due: false,
            });
            demand.is_due |= queue.earliest <= now;
            demand.queues.push(queue);
        }
        if self.backlog.is_everywhere() {
            return Ok(0);
        }
        let mut claimed = 0;
        for demand in demands.values() {
            claimed += match self.claim_for(demand).await {
                Err(error) if !is_outage(&error) => {
                    let account = demand.account.name.as_str();
                    tracing::error!(
                        account,
                        "cannot check parcels of account {account}: {error:#}"
                    );
                    self.parts
                        .stats
                        .error(&format!("account {account}: {error:#}"));
                    0
                }
                claimed => claimed?,
            };
        }
        Ok(claimed)
    }

    /// Claims as many of an account's trackings as permits and free slots allow, and plans their calls. Calls that would
    /// expire unused are spent on trackings that are not yet due, if the account's policy has a use for them.
    async fn claim_for(&mut self, demand: &Demand) -> anyhow::Result<usize> {
        let account = &demand.account;
        let pace = self.caller.pauses.pace(&account.name);
        let monotonic = self.parts.clock.monotonic();
        let spends = pace == Pace::Free
            && account.policy == Policy::Learned
            && account.checks_per_hour().is_some();
        let lane = self.lanes.entry(account.name.clone()).or_default();
        let looks_ahead = spends && lane.idle_until.is_none_or(|until| until <= monotonic);
        if !demand.is_due && !looks_ahead {
            return Ok(0);
        }
        let calls = self.calls_free(account, pace);
        if calls == 0 {
            return Ok(0);
        }
        let per_call = account.numbers_per_call.max(1);
        let calls = calls.min(self.settings.batch.div_ceil(per_call)).max(1);
        let taken = self
            .permits
            .take(account, calls)
            .await
            .context("cannot take calls")?;
        let calls = u32::try_from(taken.grants.len()).unwrap_or(0);
        self.wake_at(taken.next, calls);
        if calls == 0 {
            return Ok(0);
        }
        let limit = (calls * per_call).min(self.settings.batch.max(per_call));
        let claimed = self.claim(demand, pace, looks_ahead, spends, limit).await;
        // Read before the claim was sent, so that our idea of the lease never outlasts the store's.
        let lease_ends = monotonic + self.settings.lease;
        let (rows, gate) = match claimed {
            Ok(Some(claimed)) => claimed,
            nothing => {
                self.give_back_unused(account, taken, 0).await;
                return nothing.map(|_| 0);
            }
        };
        let claimed = rows.len();
        // They keep their lease, so that they are not claimed again at once.
        let may_go = |row: &Tracking| !self.backlog.holds(row.id);
        let rows: Vec<Tracking> = rows.into_iter().filter(may_go).collect();
        let are_all = rows.len() == claimed;
        let now = self.parts.clock.now();
        let (expired, asked): (Vec<Tracking>, Vec<Tracking>) = rows.into_iter().partition(|row| {
            !row.urgent
                && row.last_checked_at.is_some()
                && !row.status.is_terminal()
                && row.sub_status != Some(SubStatus::PendingOldHistory)
                && now - row.last_news_at() >= EXPIRES_AFTER
        });
        let left_over = self
            .plan_calls(account, asked, taken, gate, lease_ends)
            .await?;
        if looks_ahead && are_all {
            let idle = (limit as usize).saturating_sub(claimed);
            self.parts.pricer.counter.idle(&account.name, idle);
        }
        if left_over && looks_ahead && are_all {
            let lane = self.lanes.entry(account.name.clone()).or_default();
            lane.idle_until = Some(monotonic + self.settings.poll_interval);
        }
        if !expired.is_empty() {
            let (caller, account) = (Arc::clone(&self.caller), Arc::clone(account));
            self.running
                .spawn(async move { caller.expire(&account, expired).await });
        }
        Ok(claimed)
    }

    fn log_unroutable(&mut self, carrier: &CarrierCode) {
        if self.unroutable.insert(carrier.as_str().to_owned()) {
            tracing::error!(
                carrier = %carrier,
                "cannot check the parcels of {carrier}: add [carriers.{carrier}] or [carriers.\"*\"] to the configuration"
            );
        }
    }

    /// Claims at most `limit` trackings as the account's pace allows; with them the gate to open behind the call. `None` if
    /// another worker makes the account's only call.
    async fn claim(
        &mut self,
        demand: &Demand,
        pace: Pace,
        looks_ahead: bool,
        spends: bool,
        limit: u32,
    ) -> anyhow::Result<Option<(Vec<Tracking>, Option<Gate>)>> {
        let account = &demand.account.name;
        let Some(gate) = self.pass_gate(account, pace).await? else {
            return Ok(None);
        };
        let Some(gate) = gate else {
            let rows = self
                .claim_freely(demand, looks_ahead, spends, limit)
                .await?;
            return Ok(Some((rows, None)));
        };
        let one = |queue: &DueQueue| Share {
            carrier_code: queue.carrier_code.clone(),
            payer: queue.payer,
            most: 1,
            unanswered_max: 1,
        };
        let shares: Vec<Share> = demand.queues.iter().map(one).collect();
        let rows = self.claim_from_store(&shares, 1, Take::Trial).await?;
        let rows = rows.trackings;
        let is_kept = pace == Pace::Trial && !rows.is_empty();
        if pace == Pace::Trial && rows.is_empty() {
            self.parts.store.open_gate(account, gate).await?;
        }
        Ok(Some((rows, is_kept.then_some(gate))))
    }

    /// Passes the gate of an account that is called one call at a time; `Some(None)` if it has none. `None` if another worker
    /// makes the only call.
    pub(super) async fn pass_gate(
        &mut self,
        account: &str,
        pace: Pace,
    ) -> anyhow::Result<Option<Option<Gate>>> {
        let hold = match pace {
            Pace::Free => return Ok(Some(None)),
            Pace::Slow => {
                self.wake_at(self.parts.clock.monotonic() + SLOW_EVERY, 0);
                SLOW_EVERY
            }
            // Opened behind the call; if this worker dies, it opens when its lease would end.
            Pace::Trial => self.settings.lease,
        };
        let (hold, now) = (self.parts.clock.scaled(hold), self.parts.clock.now());
        let gate = self.parts.store.pass_gate(account, hold, now).await?;
        Ok(gate.map(Some))
    }

    pub(super) async fn claim_from_store(
        &self,
        shares: &[Share],
        limit: u32,
        take: Take<'_>,
    ) -> anyhow::Result<Claimed> {
        let claim = Claim {
            shares,
            limit,
            take,
        };
        let lease = self.parts.clock.scaled(self.settings.lease);
        let now = self.parts.clock.now();
        let claimed = self.parts.store.claim(claim, now, lease).await;
        let claimed = claimed.context("cannot claim parcels")?;
        let count = claimed.trackings.len() as u64;
        self.parts.metrics.claimed().inc_by(count);
        Ok(claimed)
    }

    /// How many more calls the account has free slots for. None while it is paused, and one at a time while it fails or is
    /// suspected.
    pub(super) fn calls_free(&mut self, account: &Account, pace: Pace) -> u32 {
        let now = self.parts.clock.now();
        let pause = self.caller.pauses.until(&account.name);
        if pause.is_some_and(|until| until > now) {
            self.next_due = self.next_due.min(pause).or(pause);
            return 0;
        }
        let lane = self.lanes.entry(account.name.clone()).or_default();
        let free = u32::try_from(account.slots.saturating_sub(lane.busy())).unwrap_or(u32::MAX);
        let mut calls = free;
        match pace {
            Pace::Free => {}
            Pace::Slow => calls = calls.min(1),
            Pace::Trial => calls = calls.min(u32::from(lane.busy() == 0)),
        }
        calls
    }

    pub(super) fn wake_at(&mut self, slot: Duration, calls: u32) {
        // An account without limits has a slot now: only the end of a call can make room for more.
        if calls == 0 || slot > self.parts.clock.monotonic() {
            self.next_slot = Some(self.next_slot.map_or(slot, |at| at.min(slot)));
        }
    }
}

/// Whether the database is away, so that trying the next account is useless.
pub(super) fn is_outage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Unavailable(_)))
}
