//! Permits: the one way to take calls. Each needs a slot of the limiter, and a call of the day's limit if there is one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cache::limiter::RateLimiter;
use crate::cache::limiter::permit::{AHEAD, Permit, Reservation};
use crate::carriers::routes::Account;
use crate::clock::{Clock, Time, day_of, hours, left_of_day};
use crate::config::Policy;
use crate::learned::Learned;
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::sender::transit;
use crate::store::Store;
use crate::store::account_states::AccountState;
use crate::store::error::StoreError;

/// Leave to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub permit: Permit,
    /// The day (UTC, days since 1970) that the call was counted for; `None` without a limit by day.
    pub day: Option<i64>,
}

/// Calls that were taken together.
#[derive(Debug)]
pub struct Taken {
    /// In the order of their slots.
    pub grants: Vec<Grant>,
    /// When it is worth asking for more, on the clock's monotonic time.
    pub next: Duration,
    reservation: Reservation,
}

/// Takes calls for one worker.
pub struct Permits {
    store: Store,
    limiter: RateLimiter,
    clock: Clock,
    learned: Learned,
}

impl Permits {
    pub fn new(parts: &SchedulerParts) -> Self {
        Self {
            store: parts.store.clone(),
            limiter: parts.limiter.clone(),
            clock: parts.clock.clone(),
            learned: parts.learned.clone(),
        }
    }

    /// Takes up to `calls` calls of the account.
    ///
    /// # Errors
    /// If the day's calls cannot be counted. Nothing is taken then.
    pub async fn take(&self, account: &Account, calls: u32) -> Result<Taken, StoreError> {
        let limits = &account.limits;
        let mut reservation = self.limiter.reserve(&account.name, limits, calls).await;
        let mut taken = Taken {
            grants: Vec::new(),
            next: reservation.next,
            reservation: reservation.clone(),
        };
        let slots = u32::try_from(reservation.permits.len()).unwrap_or(0);
        // Both times are read before the calls are counted: they count for the day of `now`, and end with it.
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let counted = self.take_day(account, slots, now).await;
        let granted = *counted.as_ref().unwrap_or(&0);
        if granted < slots {
            let unused = slots - granted;
            let limiter = &self.limiter;
            limiter
                .give_back(&account.name, limits, &reservation, unused)
                .await;
        }
        if slots > 0 && counted? == 0 {
            taken.next = monotonic + AHEAD;
        }
        reservation.permits.truncate(granted as usize);
        let is_counted = limits.per_day > 0;
        let day_ends = monotonic + self.clock.real(left_of_day(now));
        let latest = day_ends.saturating_sub(transit(account));
        taken
            .grants
            .extend(reservation.permits.iter().map(|permit| Grant {
                permit: Permit {
                    until: if is_counted {
                        permit.until.min(latest)
                    } else {
                        permit.until
                    },
                    ..*permit
                },
                day: is_counted.then(|| day_of(now)),
            }));
        taken.reservation = reservation;
        Ok(taken)
    }

    async fn take_day(&self, account: &Account, calls: u32, now: Time) -> Result<u32, StoreError> {
        let per_day = account.limits.per_day;
        if per_day == 0 || calls == 0 {
            return Ok(calls);
        }
        if self.is_day_over(account, now) {
            return Ok(0);
        }
        let pace = self.pace(account, now);
        self.store
            .take_day(&account.name, calls, per_day, pace, now)
            .await
    }

    /// Takes one call for a request at hand. Waits for its slot, at most until `latest` on the clock's monotonic
    /// time; `None` if there is none by then.
    pub async fn take_one(
        &self,
        account: &Account,
        latest: Duration,
    ) -> Result<Option<Grant>, StoreError> {
        loop {
            let taken = self.take(account, 1).await?;
            let at = taken.grants.first().map_or(taken.next, |it| it.permit.from);
            if at > latest {
                self.give_back(account, taken, 0).await?;
                return Ok(None);
            }
            self.clock.sleep_until(at).await;
            let Some(grant) = taken.grants.first().copied() else {
                continue;
            };
            if grant.permit.is_valid(self.clock.monotonic()) {
                return Ok(Some(grant));
            }
            self.give_back_days(account, &[grant]).await?;
        }
    }

    /// Gives back all but the first `used` calls.
    pub async fn give_back(
        &self,
        account: &Account,
        taken: Taken,
        used: usize,
    ) -> Result<(), StoreError> {
        let unused = taken.grants.get(used..).unwrap_or_default();
        let calls = u32::try_from(unused.len()).unwrap_or(0);
        if calls > 0 {
            self.limiter
                .give_back(&account.name, &account.limits, &taken.reservation, calls)
                .await;
        }
        self.give_back_days(account, unused).await
    }

    /// Gives back calls whose slots have passed, to the days that they were counted for.
    pub async fn give_back_days(
        &self,
        account: &Account,
        grants: &[Grant],
    ) -> Result<(), StoreError> {
        let mut days: BTreeMap<i64, u32> = BTreeMap::new();
        for day in grants.iter().filter_map(|grant| grant.day) {
            *days.entry(day).or_default() += 1;
        }
        for (day, calls) in days {
            self.store.give_back_day(&account.name, calls, day).await?;
        }
        Ok(())
    }

    /// How many calls the account's day has left by its last known state; `None` without a limit by day.
    pub fn left_of_day(&self, account: &Account, state: Option<&AccountState>) -> Option<u32> {
        let (now, per_day) = (self.clock.now(), account.limits.per_day);
        if per_day == 0 {
            return None;
        }
        if self.is_day_over(account, now) {
            return Some(0);
        }
        let left = state.map_or(i64::from(per_day), |state| {
            state.left(per_day, self.pace(account, now), now)
        });
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// Whether a call taken now might arrive tomorrow: it is sent and arrives a moment later.
    fn is_day_over(&self, account: &Account, now: Time) -> bool {
        left_of_day(now) <= self.clock.scaled(AHEAD + transit(account))
    }

    /// This hour's share of a day's calls, in calls a minute; `None` if the account's policy does not spread them.
    fn pace(&self, account: &Account, now: Time) -> Option<f64> {
        if account.policy != Policy::Learned {
            return None;
        }
        let learned = self.learned.account(&account.name);
        let shares = learned.map(|learned| learned.shares());
        let shares = shares.unwrap_or_default();
        Some(shares.per_minute(f64::from(account.limits.per_day), hours(now)))
    }
}
