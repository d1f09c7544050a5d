//! Permits: the one way to take calls. Each needs a slot of the limiter, and is counted for the account's limits by day and
//! month if it has any.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;

use crate::cache::limiter::RateLimiter;
use crate::cache::limiter::permit::{AHEAD, Permit, Reservation};
use crate::carriers::routes::Account;
use crate::clock::{Clock, Time, quarter_of};
use crate::config::Policy;
use crate::learned::Learned;
use crate::plan::quota::Shares;
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::sender::transit;
use crate::store::Store;
use crate::store::calls_taken::CallsTaken;
use crate::store::error::StoreError;

/// The longest time for which a worker believes that an account has used up its day or month: others give calls back.
const REST_MAX: Duration = Duration::from_secs(30);

/// How much later than the checks under way a worker asks for calls of new ones.
const AFTER_BEGUN: Duration = Duration::from_millis(10);

/// Leave to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub permit: Permit,
    /// The quarter of an hour that the call was counted for; `None` without a limit by day or month.
    pub quarter: Option<i64>,
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
    /// Accounts whose day or month had no more calls, and until when not to ask again, on the clock's monotonic time.
    rests: Mutex<HashMap<String, Duration>>,
    begun: Mutex<HashMap<String, Begun>>,
}

impl Permits {
    pub fn new(parts: &SchedulerParts) -> Self {
        Self {
            store: parts.store.clone(),
            limiter: parts.limiter.clone(),
            clock: parts.clock.clone(),
            learned: parts.learned.clone(),
            rests: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// Takes up to `calls` calls of the account for checks that have not begun; none while a check under way waits for a
    /// call, because without it that check's first call was wasted.
    ///
    /// # Errors
    /// If the calls of the day or month cannot be counted. Nothing is taken then.
    pub async fn take(&self, account: &Account, calls: u32) -> Result<Taken, StoreError> {
        let begun = self.begun.lock().get(&account.name).map(|it| it.next);
        if let Some(next) = begun {
            let next = next.max(self.clock.monotonic()) + AFTER_BEGUN;
            return Ok(Taken {
                grants: Vec::new(),
                next,
                reservation: Reservation::none(next),
            });
        }
        self.take_any(account, calls).await
    }

    async fn take_any(&self, account: &Account, calls: u32) -> Result<Taken, StoreError> {
        if let Some(until) = self.rests_until(account) {
            return Ok(Taken {
                grants: Vec::new(),
                next: until,
                reservation: Reservation::none(until),
            });
        }
        let (name, limits) = (account.name.as_str(), &account.limits);
        let mut reservation = self.limiter.reserve(name, limits, calls).await;
        let mut next = reservation.next;
        let slots = u32::try_from(reservation.permits.len()).unwrap_or(0);
        // Both times are read before the calls are counted: they count for the day of `now`, and end with it.
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let counted = self.count(account, slots, now).await;
        let granted = match &counted {
            Ok(Some(counted)) => counted.calls,
            Ok(None) => slots,
            Err(_) => 0,
        };
        let unused = slots.saturating_sub(granted);
        self.limiter.give_back(name, &reservation, unused).await;
        let counted = counted?;
        if counted.is_some() && unused > 0 {
            next = next.max(self.rest(account, counted, (now, monotonic)));
        }
        reservation.permits.truncate(granted as usize);
        if let Some(ends) = limits.quotas_end(now) {
            let ends = monotonic + self.real(ends - now);
            let latest = ends.saturating_sub(transit(account));
            for permit in &mut reservation.permits {
                permit.until = permit.until.min(latest);
            }
        }
        let quarter = counted.map(|counted| counted.quarter);
        let permits = reservation.permits.iter().copied();
        Ok(Taken {
            grants: permits.map(|permit| Grant { permit, quarter }).collect(),
            next,
            reservation,
        })
    }

    /// Counts calls for the account's limits by day and month; `None` if it has none.
    async fn count(
        &self,
        account: &Account,
        calls: u32,
        now: Time,
    ) -> Result<Option<CallsTaken>, StoreError> {
        let Some(ends) = account.limits.quotas_end(now).filter(|_| calls > 0) else {
            return Ok(None);
        };
        // A call is sent and arrives a moment later, and that must still be in the same day.
        if now + self.clock.scaled(AHEAD + transit(account)) >= ends {
            return Ok(Some(CallsTaken {
                calls: 0,
                quarter: quarter_of(now),
                next: ends,
            }));
        }
        let (name, limits, shares) = (&account.name, &account.limits, self.shares(account));
        let taken = self
            .store
            .take_calls(name, calls, limits, &shares, now)
            .await;
        taken.map(Some)
    }

    /// Until when not to ask for calls of the account, which got fewer than it asked for.
    fn rest(
        &self,
        account: &Account,
        counted: Option<CallsTaken>,
        (now, monotonic): (Time, Duration),
    ) -> Duration {
        let next = counted.map_or(now, |counted| counted.next);
        let until = monotonic + self.real(next - now).clamp(AHEAD, REST_MAX);
        self.rests.lock().insert(account.name.clone(), until);
        until
    }

    fn rests_until(&self, account: &Account) -> Option<Duration> {
        let monotonic = self.clock.monotonic();
        let mut rests = self.rests.lock();
        let until = rests.get(&account.name).copied();
        if until.is_some_and(|until| until <= monotonic) {
            rests.remove(&account.name);
        }
        until.filter(|until| *until > monotonic)
    }

    /// A span of the store's time in real time.
    fn real(&self, span: TimeDelta) -> Duration {
        self.clock.real(span.to_std().unwrap_or_default())
    }

    /// The shares of a day's calls for each hour; even ones if the account's policy learns none.
    fn shares(&self, account: &Account) -> Shares {
        let learned = self.learned.account(&account.name);
        match learned.filter(|_| account.policy == Policy::Learned) {
            Some(learned) => learned.shares(),
            None => Shares::even(),
        }
    }

    /// Takes one call for a request at hand. Waits for its slot, at most until `latest` on the clock's monotonic
    /// time; `None` if there is none by then.
    pub async fn take_one(
        &self,
        account: &Account,
        latest: Duration,
    ) -> Result<Option<Grant>, StoreError> {
        loop {
            let Some(grant) = self.next_grant(account, latest).await? else {
                return Ok(None);
            };
            self.clock.sleep_until(grant.permit.from).await;
            if grant.permit.is_valid(self.clock.monotonic()) {
                return Ok(Some(grant));
            }
            self.give_back_counted(account, &[grant]).await?;
        }
    }

    /// The account's next call for a check under way, if its slot comes before `latest`.
    async fn next_grant(
        &self,
        account: &Account,
        latest: Duration,
    ) -> Result<Option<Grant>, StoreError> {
        let waiting = Waiting::new(&self.begun, &account.name);
        loop {
            let taken = self.take_any(account, 1).await?;
            let grant = taken.grants.first().copied();
            let at = grant.map_or(taken.next, |grant| grant.permit.from);
            if at > latest {
                self.give_back(account, taken, 0).await?;
                return Ok(None);
            }
            if grant.is_some() {
                return Ok(grant);
            }
            waiting.until(at);
            self.clock.sleep_until(at).await;
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
        let reservation = &taken.reservation;
        self.limiter
            .give_back(&account.name, reservation, calls)
            .await;
        self.give_back_counted(account, unused).await
    }

    /// Gives back calls whose slots have passed, to the quarters of an hour that they were counted for.
    pub async fn give_back_counted(
        &self,
        account: &Account,
        grants: &[Grant],
    ) -> Result<(), StoreError> {
        let mut quarters: BTreeMap<i64, u32> = BTreeMap::new();
        for quarter in grants.iter().filter_map(|grant| grant.quarter) {
            *quarters.entry(quarter).or_default() += 1;
        }
        if !quarters.is_empty() {
            self.rests.lock().remove(&account.name);
        }
        for (quarter, calls) in quarters {
            self.store
                .give_back_calls(&account.name, calls, quarter)
                .await?;
        }
        Ok(())
    }
}

/// An account's checks under way that wait for the call of their next step.
#[derive(Default)]
struct Begun {
    checks: usize,
    /// When they ask for their calls again, on the clock's monotonic time.
    next: Duration,
}

/// One of [`Begun`]'s checks, until it is dropped.
struct Waiting<'a> {
    begun: &'a Mutex<HashMap<String, Begun>>,
    account: &'a str,
}

impl<'a> Waiting<'a> {
    fn new(begun: &'a Mutex<HashMap<String, Begun>>, account: &'a str) -> Self {
        begun.lock().entry(account.to_owned()).or_default().checks += 1;
        Self { begun, account }
    }

    fn until(&self, at: Duration) {
        if let Some(begun) = self.begun.lock().get_mut(self.account) {
            begun.next = at;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut begun = self.begun.lock();
        if let Some(it) = begun.get_mut(self.account) {
            it.checks -= 1;
            if it.checks == 0 {
                begun.remove(self.account);
            }
        }
    }
}
