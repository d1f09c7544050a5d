//! Claims: in which order carriers are served, how many of their trackings are claimed, and the calls that follow.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::carriers::routes::{Account, Route};
use crate::clock::{Time, delta};
use crate::config::Policy;
use crate::model::{CarrierCode, EXPIRES_AFTER, Tracking};
use crate::plan::decide::left_alone;
use crate::scheduler::Scheduler;
use crate::scheduler::call::Call;
use crate::scheduler::pauses::Pace;
use crate::scheduler::permits::Taken;
use crate::store::account_states::AccountState;
use crate::store::claims::{DueCarrier, DueCarriers, Take};
use crate::store::error::StoreError;
use crate::store::failures::Gate;

/// The most carrier codes read in one cycle; the next cycle continues after the last one.
const CARRIERS_MAX: u32 = 1_000;

/// The shortest time between two calls of an account that is suspected.
const SLOW_EVERY: Duration = Duration::from_millis(500);

/// What to claim.
struct Lot {
    take: Take,
    limit: u32,
    /// The gate to open behind the call.
    gate: Option<Gate>,
}

/// What one claim got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim {
    pub(super) trackings: usize,
    /// Whether some of the permits found no tracking.
    left_over: bool,
}

impl Scheduler {
    /// The carriers with something to claim, starting after the last one served.
    ///
    /// If there are too many for one cycle, the next cycle continues after these even if none of them is served, so that
    /// carriers without permits do not block those after them.
    pub(super) async fn due_carriers(&mut self, now: Time) -> anyhow::Result<DueCarriers> {
        let store = &self.parts.store;
        let mut due = store
            .due_carriers(&self.served_last, CARRIERS_MAX, now)
            .await
            .context("cannot list due carriers")?;
        if due.cut_after.is_none() && !self.served_last.is_empty() {
            let seen: HashSet<CarrierCode> = due
                .carriers
                .iter()
                .map(|due| due.carrier_code.clone())
                .collect();
            let from_the_first = store.due_carriers("", CARRIERS_MAX, now).await?;
            let unseen = from_the_first
                .carriers
                .into_iter()
                .filter(|due| !seen.contains(&due.carrier_code));
            due.carriers.extend(unseen);
        }
        Ok(due)
    }

    /// Spends spare permits, which would expire unused, on trackings that are not yet due, soonest first. If an account
    /// finds nothing to check, it is not tried again for the poll interval.
    pub(super) async fn claim_early(
        &mut self,
        mut carriers: Vec<DueCarrier>,
        states: &[AccountState],
    ) -> anyhow::Result<usize> {
        carriers.sort_by_key(|due| due.earliest);
        let monotonic = self.parts.clock.monotonic();
        let (mut taken, mut idle) = (0, BTreeMap::new());
        for due in carriers {
            let Some(route) = self.parts.routes.resolve(&due.carrier_code) else {
                continue;
            };
            let account = Arc::clone(&route.account);
            let spends = account.policy == Policy::Learned && account.checks_per_hour().is_some();
            let lane = self.lanes.entry(account.name.clone()).or_default();
            if !spends || lane.idle_until.is_some_and(|until| monotonic < until) {
                continue;
            }
            let claimed = self.claim_apart(&due.carrier_code, true, states).await?;
            taken += claimed.trackings;
            // Permits that one carrier of an account leaves unused, the next one may use: the last one decides.
            idle.insert(account.name.clone(), claimed.left_over);
        }
        for (account, left_over) in idle {
            if left_over {
                self.parts.pricer.idle(&account);
                let lane = self.lanes.entry(account).or_default();
                lane.idle_until = Some(monotonic + self.settings.poll_interval);
            }
        }
        Ok(taken)
    }

    /// Claims for one carrier like [`Self::claim_carrier`]. A failure is logged and stays that of its account, unless the
    /// database is away.
    pub(super) async fn claim_apart(
        &mut self,
        carrier: &CarrierCode,
        early: bool,
        states: &[AccountState],
    ) -> anyhow::Result<Claim> {
        let error = match self.claim_carrier(carrier, early, states).await {
            Err(error) if !is_outage(&error) => error,
            claimed => return claimed,
        };
        tracing::error!(carrier = %carrier, "cannot check parcels of {carrier}: {error:#}");
        self.parts.stats.error(&format!("{carrier}: {error:#}"));
        Ok(Claim::default())
    }

    /// Claims as many of one carrier's trackings as permits and free slots allow, and plans their calls. With `early`, it
    /// also claims trackings that are not yet due.
    async fn claim_carrier(
        &mut self,
        carrier: &CarrierCode,
        early: bool,
        states: &[AccountState],
    ) -> anyhow::Result<Claim> {
        let Some(route) = self.parts.routes.resolve(carrier).cloned() else {
            self.log_unroutable(carrier);
            return Ok(Claim::default());
        };
        let account = Arc::clone(&route.account);
        let pace = self.caller.pauses.pace(&account.name);
        if early && pace != Pace::Free {
            return Ok(Claim::default());
        }
        let calls = self.calls_free(&account, pace, states);
        if calls == 0 {
            return Ok(Claim::default());
        }
        let per_call = u32::try_from(route.adapter.numbers_per_call().max(1)).unwrap_or(1);
        let calls = calls.min(self.settings.batch.div_ceil(per_call)).max(1);
        let taken = self
            .permits
            .take(&account, calls)
            .await
            .with_context(|| format!("cannot take calls of account {}", account.name))?;
        let calls = u32::try_from(taken.grants.len()).unwrap_or(0);
        self.wake_at(taken.next, calls);
        if calls == 0 {
            return Ok(Claim::default());
        }
        let lot = match self.lot(&route, early, pace, calls * per_call).await {
            Ok(Some(lot)) => lot,
            nothing => {
                self.give_back_unused(&account, taken, 0).await;
                return nothing.map(|_| Claim::default());
            }
        };
        self.served_last = carrier.as_str().to_owned();
        // Read before the claim is sent, so that our idea of the lease never outlasts the store's.
        let lease_ends = self.parts.clock.monotonic() + self.settings.lease;
        let now = self.parts.clock.now();
        let rows = match self.claim(carrier, lot.take, now, lot.limit).await {
            Ok(rows) => rows,
            Err(error) => {
                self.give_back_unused(&account, taken, 0).await;
                return Err(error);
            }
        };
        let trackings = rows.len();
        let (expired, asked): (Vec<Tracking>, Vec<Tracking>) = rows.into_iter().partition(|row| {
            !row.urgent
                && row.last_checked_at.is_some()
                && now - row.last_news_at() >= EXPIRES_AFTER
        });
        let left_over = self
            .plan_calls(&route, asked, taken, lot.gate, lease_ends)
            .await?;
        if !expired.is_empty() {
            let caller = Arc::clone(&self.caller);
            let account = Arc::clone(&account);
            self.running
                .spawn(async move { caller.expire(&account, expired).await });
        }
        Ok(Claim {
            trackings,
            left_over,
        })
    }

    fn log_unroutable(&mut self, carrier: &CarrierCode) {
        if self.unroutable.insert(carrier.as_str().to_owned()) {
            tracing::error!(
                carrier = %carrier,
                "cannot check the parcels of {carrier}: add [carriers.{carrier}] or [carriers.\"*\"] to the configuration"
            );
        }
    }

    /// What to claim for an account at its pace; `None` if another worker makes its only call.
    async fn lot(
        &mut self,
        route: &Route,
        early: bool,
        pace: Pace,
        numbers: u32,
    ) -> anyhow::Result<Option<Lot>> {
        let account = &route.account;
        let now = self.parts.clock.now();
        let hold = match pace {
            Pace::Free => {
                let take = if early {
                    let rests = self.settings.recheck_after.max(self.left_alone(account));
                    let answered_before = now - delta(rests);
                    Take::Early { answered_before }
                } else {
                    Take::Due
                };
                let per_call = u32::try_from(route.adapter.numbers_per_call()).unwrap_or(1);
                let limit = numbers.min(self.settings.batch.max(per_call));
                let gate = None;
                return Ok(Some(Lot { take, limit, gate }));
            }
            Pace::Slow => SLOW_EVERY,
            // Opened behind the call; if this worker dies, it opens when its lease would end.
            Pace::Trial => self.settings.lease,
        };
        if pace == Pace::Slow {
            self.wake_at(self.parts.clock.monotonic() + SLOW_EVERY, 0);
        }
        let hold = self.parts.clock.scaled(hold);
        let passed = self.parts.store.pass_gate(&account.name, hold, now).await?;
        Ok(passed.map(|gate| Lot {
            take: Take::Trial,
            limit: 1,
            gate: (pace == Pace::Trial).then_some(gate),
        }))
    }

    /// Plans a call for each group of `asked`, gives back the calls that found none, and releases what found no call.
    /// Answers whether calls were left over.
    async fn plan_calls(
        &mut self,
        route: &Route,
        asked: Vec<Tracking>,
        taken: Taken,
        gate: Option<Gate>,
        lease_ends: Duration,
    ) -> anyhow::Result<bool> {
        let account = Arc::clone(&route.account);
        let per_call = u32::try_from(route.adapter.numbers_per_call().max(1)).unwrap_or(1);
        let splits = self.splits(&asked, per_call).await;
        let groups = groups(&asked, per_call, &splits);
        let now = self.parts.clock.now();
        let mut refused = Vec::new();
        let lane = self.lanes.entry(account.name.clone()).or_default();
        for (place, group) in groups.iter().enumerate() {
            let Some(grant) = taken.grants.get(place) else {
                refused.extend_from_slice(group);
                continue;
            };
            self.parts.pricer.claimed(&account.name, group, now);
            lane.waiting.push_back(Call {
                route: route.clone(),
                trackings: group.to_vec(),
                grant: *grant,
                was_split: group.iter().any(|row| splits.contains_key(&row.id)),
                gate,
                lease_ends,
            });
        }
        if let (Some(gate), true) = (gate, groups.is_empty()) {
            self.parts.store.open_gate(&account.name, gate).await?;
        }
        let left_over = groups.len() < taken.grants.len();
        self.give_back_unused(&account, taken, groups.len()).await;
        self.give_back(&refused).await?;
        Ok(left_over)
    }

    /// How large the next call with these trackings may be, for those whose last call failed as a whole.
    async fn splits(&self, asked: &[Tracking], per_call: u32) -> HashMap<i64, u32> {
        if per_call == 1 || asked.is_empty() {
            return HashMap::new();
        }
        let ids: Vec<i64> = asked.iter().map(|row| row.id).collect();
        match self.parts.store.call_splits(&ids).await {
            Ok(splits) => splits,
            Err(error) => {
                tracing::warn!("cannot read which calls to split: {error}");
                HashMap::new()
            }
        }
    }

    /// Gives back the calls that found no tracking. If that fails they stay counted, which costs a few calls of the day.
    async fn give_back_unused(&self, account: &Account, taken: Taken, used: usize) {
        if let Err(error) = self.permits.give_back(account, taken, used).await {
            let account = account.name.as_str();
            tracing::warn!(
                account,
                "cannot give back calls of account {account}, they stay counted for the day: {error}"
            );
        }
    }

    /// How many more calls the account may make: its free slots, within the day's limit. None while it is paused, and one
    /// at a time while it fails or is suspected.
    fn calls_free(&mut self, account: &Account, pace: Pace, states: &[AccountState]) -> u32 {
        let now = self.parts.clock.now();
        let pause = self.caller.pauses.until(&account.name);
        if pause.is_some_and(|until| until > now) {
            self.next_due = self.next_due.min(pause).or(pause);
            return 0;
        }
        let lane = self.lanes.entry(account.name.clone()).or_default();
        let free = u32::try_from(account.slots.saturating_sub(lane.busy())).unwrap_or(u32::MAX);
        let state = states.iter().find(|state| state.account == account.name);
        let mut calls = free;
        match pace {
            Pace::Free => {}
            Pace::Slow => calls = calls.min(1),
            Pace::Trial => calls = calls.min(u32::from(lane.busy() == 0)),
        }
        let left = self.permits.left_of_day(account, state);
        left.map_or(calls, |left| calls.min(left))
    }

    /// The shortest time between a good answer and an early check, by the account's load.
    fn left_alone(&self, account: &Account) -> Duration {
        let learned = self.parts.learned.account(&account.name);
        let round = learned.map_or(0.0, |learned| learned.round(account));
        Duration::try_from_secs_f64(left_alone(round) * 3_600.0).unwrap_or_default()
    }

    fn wake_at(&mut self, slot: Duration, calls: u32) {
        // An account without limits has a slot now: only the end of a call can make room for more.
        if calls == 0 || slot > self.parts.clock.monotonic() {
            self.next_slot = Some(self.next_slot.map_or(slot, |at| at.min(slot)));
        }
    }

    async fn claim(
        &self,
        carrier: &CarrierCode,
        take: Take,
        now: Time,
        limit: u32,
    ) -> anyhow::Result<Vec<Tracking>> {
        let lease = self.parts.clock.scaled(self.settings.lease);
        let claimed = self
            .parts
            .store
            .claim_due(carrier, take, now, lease, limit)
            .await
            .with_context(|| format!("cannot claim parcels of {carrier}"))?;
        self.parts
            .metrics
            .claimed()
            .inc_by(claimed.trackings.len() as u64);
        Ok(claimed.trackings)
    }
}

/// Whether the database is away, so that trying the next account is useless.
fn is_outage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Unavailable(_)))
}

/// Cuts `rows` into calls of `per_call` numbers, and of fewer where an earlier call with them failed as a whole.
fn groups<'a>(
    rows: &'a [Tracking],
    per_call: u32,
    splits: &HashMap<i64, u32>,
) -> Vec<&'a [Tracking]> {
    let size = |row: &Tracking| {
        splits
            .get(&row.id)
            .map_or(per_call, |size| per_call.min(*size))
    };
    rows.chunk_by(|one, next| size(one) == size(next))
        .flat_map(|alike| alike.chunks(alike.first().map_or(per_call, size) as usize))
        .collect()
}
