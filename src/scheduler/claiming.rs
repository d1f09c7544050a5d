//! Claims: in which order carriers are served, how many of their trackings are claimed, and the calls that follow.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::cache::limiter::permit::{AHEAD, Permit, Reservation};
use crate::carriers::routes::{Account, Route};
use crate::clock::{Time, delta, hours, left_of_day};
use crate::config::Policy;
use crate::model::{CarrierCode, EXPIRES_AFTER, Tracking};
use crate::plan::decide::left_alone;
use crate::scheduler::Scheduler;
use crate::scheduler::call::{Call, connect_timeout};
use crate::store::account_states::AccountState;
use crate::store::claims::{DueCarrier, DueCarriers, Take};

/// The most carrier codes read in one cycle; the next cycle continues after the last one.
const CARRIERS_MAX: u32 = 1_000;

/// What one claim got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
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
            let claimed = self.claim_carrier(&due.carrier_code, true, states).await?;
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

    /// Claims as many of one carrier's trackings as permits and free slots allow, and plans their calls. With `early`, it
    /// also claims trackings that are not yet due.
    pub(super) async fn claim_carrier(
        &mut self,
        carrier: &CarrierCode,
        early: bool,
        states: &[AccountState],
    ) -> anyhow::Result<Taken> {
        let Some(route) = self.parts.routes.resolve(carrier).cloned() else {
            if self.unroutable.insert(carrier.as_str().to_owned()) {
                tracing::error!(
                    carrier = %carrier,
                    "cannot check the parcels of {carrier}: add [carriers.{carrier}] or [carriers.\"*\"] to the configuration"
                );
            }
            return Ok(Taken::default());
        };
        let account = Arc::clone(&route.account);
        let calls = self.calls_free(&account, states);
        if calls == 0 {
            return Ok(Taken::default());
        }
        let per_call = u32::try_from(route.adapter.numbers_per_call().max(1)).unwrap_or(1);
        let calls = calls.min(self.settings.batch.div_ceil(per_call)).max(1);
        let limiter = self.parts.limiter.clone();
        let reservation = limiter.reserve(&account.name, &account.limits, calls).await;
        let calls = u32::try_from(reservation.permits.len()).unwrap_or(0);
        self.wake_at(reservation.next, calls);
        if calls == 0 {
            return Ok(Taken::default());
        }
        self.served_last = carrier.as_str().to_owned();
        let limit = (calls * per_call).min(self.settings.batch.max(per_call));
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
        let claimed = self.claim(carrier, take, now, limit).await?;
        let taken = claimed.len();
        let (expired, asked): (Vec<Tracking>, Vec<Tracking>) =
            claimed.into_iter().partition(|row| {
                !row.urgent
                    && row.last_checked_at.is_some()
                    && now - row.last_news_at() >= EXPIRES_AFTER
            });
        let needed = asked.len().div_ceil(per_call as usize);
        self.parts
            .pricer
            .claimed(&account.name, needed, &asked, now);
        let left_over = needed < calls as usize;
        self.plan_calls(&route, asked, &reservation, per_call, lease_ends)
            .await?;
        if !expired.is_empty() {
            let caller = Arc::clone(&self.caller);
            let account = Arc::clone(&account);
            self.running
                .spawn(async move { caller.expire(&account, expired).await });
        }
        Ok(Taken {
            trackings: taken,
            left_over,
        })
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
        if account.limits.per_day > 0 {
            // A call claimed now is sent and arrives a moment later, and that must still be today.
            if left_of_day(now) <= self.parts.clock.scaled(AHEAD + connect_timeout(account)) {
                return 0;
            }
            let per_day = account.limits.per_day;
            let left = state.map_or(i64::from(per_day), |state| {
                state.left(per_day, self.pace(account, now), now)
            });
            calls = calls.min(u32::try_from(left).unwrap_or(u32::MAX));
        }
        calls
    }

    /// The shortest time between a good answer and an early check, by the account's load.
    fn left_alone(&self, account: &Account) -> Duration {
        let learned = self.parts.learned.account(&account.name);
        let round = learned.map_or(0.0, |learned| learned.round(account));
        Duration::try_from_secs_f64(left_alone(round) * 3_600.0).unwrap_or_default()
    }

    /// This hour's share of a day's calls, in calls a minute; `None` if the account's policy does not spread them.
    fn pace(&self, account: &Account, now: Time) -> Option<f64> {
        if account.policy != Policy::Learned {
            return None;
        }
        let learned = self.parts.learned.account(&account.name);
        let shares = learned.map(|learned| learned.shares());
        let shares = shares.unwrap_or_default();
        Some(shares.per_minute(f64::from(account.limits.per_day), hours(now)))
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

    /// Plans a call of `asked` for each reserved slot, and returns the slots that found no tracking.
    async fn plan_calls(
        &mut self,
        route: &Route,
        asked: Vec<Tracking>,
        reservation: &Reservation,
        per_call: u32,
        lease_ends: Duration,
    ) -> anyhow::Result<()> {
        let account = &route.account;
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
        // Read before the calls are counted, since they count for the day of `now`.
        let (now, monotonic) = (self.parts.clock.now(), self.parts.clock.monotonic());
        let granted = self.take_day(account, needed, now).await?;
        let left = self.parts.clock.real(left_of_day(now));
        let day_ends = (account.limits.per_day > 0)
            .then(|| monotonic + left.saturating_sub(connect_timeout(account)));
        let mut refused = Vec::new();
        for (place, group) in groups.into_iter().enumerate() {
            match reservation.permits.get(place) {
                Some(permit) if place < granted as usize => {
                    let call = Call {
                        route: route.clone(),
                        trackings: group.to_vec(),
                        permit: Permit {
                            until: day_ends.map_or(permit.until, |end| end.min(permit.until)),
                            ..*permit
                        },
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

    async fn take_day(&self, account: &Account, calls: u32, now: Time) -> anyhow::Result<u32> {
        if account.limits.per_day == 0 || calls == 0 {
            return Ok(calls);
        }
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
            .with_context(|| {
                format!(
                    "cannot count the calls of account {} for the day",
                    account.name
                )
            })
    }
}
