//! Claims: in which order carriers are served, how many of their trackings are claimed, and the calls that follow.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::carriers::routes::Account;
use crate::clock::{Time, delta};
use crate::config::Policy;
use crate::model::{CarrierCode, EXPIRES_AFTER, Tracking};
use crate::plan::decide::left_alone;
use crate::scheduler::Scheduler;
use crate::scheduler::call::Call;
use crate::scheduler::permits::Taken;
use crate::store::account_states::AccountState;
use crate::store::claims::{DueCarrier, DueCarriers, Take};
use crate::store::error::StoreError;

/// The most carrier codes read in one cycle; the next cycle continues after the last one.
const CARRIERS_MAX: u32 = 1_000;

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
            if self.unroutable.insert(carrier.as_str().to_owned()) {
                tracing::error!(
                    carrier = %carrier,
                    "cannot check the parcels of {carrier}: add [carriers.{carrier}] or [carriers.\"*\"] to the configuration"
                );
            }
            return Ok(Claim::default());
        };
        let account = Arc::clone(&route.account);
        let calls = self.calls_free(&account, states);
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
        self.served_last = carrier.as_str().to_owned();
        // Read before the claim is sent, so that our idea of the lease never outlasts the store's.
        let lease_ends = self.parts.clock.monotonic() + self.settings.lease;
        let now = self.parts.clock.now();
        let take = if early {
            let rests = self.settings.recheck_after.max(self.left_alone(&account));
            let answered_before = now - delta(rests);
            Take::Early { answered_before }
        } else {
            Take::Due
        };
        let limit = (calls * per_call).min(self.settings.batch.max(per_call));
        let rows = match self.claim(carrier, take, now, limit).await {
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
        self.parts.pricer.claimed(&account.name, &asked, now);
        let groups = asked.chunks(per_call as usize);
        let needed = groups.len();
        let planned = groups.zip(&taken.grants).map(|(group, grant)| Call {
            route: route.clone(),
            trackings: group.to_vec(),
            grant: *grant,
            lease_ends,
        });
        let lane = self.lanes.entry(account.name.clone()).or_default();
        lane.waiting.extend(planned);
        self.give_back_unused(&account, taken, needed).await;
        if !expired.is_empty() {
            let caller = Arc::clone(&self.caller);
            let account = Arc::clone(&account);
            self.running
                .spawn(async move { caller.expire(&account, expired).await });
        }
        Ok(Claim {
            trackings,
            left_over: needed < calls as usize,
        })
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
    /// at a time while its calls fail.
    fn calls_free(&mut self, account: &Account, states: &[AccountState]) -> u32 {
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
        if self.caller.pauses.is_failing(&account.name) {
            calls = calls.min(u32::from(lane.busy() == 0));
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
    let error = error.downcast_ref::<StoreError>();
    error.is_some_and(StoreError::is_unavailable)
}
