//! Pauses: an account that the carrier asked to wait, or that only fails, is left alone by every worker.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::time::Duration;

use crate::clock::{Clock, Time, delta};
use crate::store::Store;
use crate::store::carrier_state::CarrierState;

/// From so many failed calls in a row on, a carrier is probed with one call at a time.
const FAILING_FROM: u32 = 5;

/// The first pause between two probes; it doubles with every further failure.
const PROBE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause between two probes.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// This worker's view of the pauses that all share through the store.
pub struct Pauses {
    store: Store,
    clock: Clock,
    by_account: Mutex<HashMap<String, Pause>>,
}

#[derive(Default)]
struct Pause {
    until: Option<Time>,
    reason: String,
    /// Whether the store has yet to be told of it.
    untold: bool,
    fails: u32,
}

impl Pauses {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            by_account: Mutex::default(),
        }
    }

    /// Until when the account is paused.
    pub fn until(&self, account: &str) -> Option<Time> {
        self.lock().get(account).and_then(|pause| pause.until)
    }

    /// Whether the account only fails, so that one probe at a time is enough.
    pub fn is_failing(&self, account: &str) -> bool {
        self.lock()
            .get(account)
            .is_some_and(|pause| pause.fails >= FAILING_FROM)
    }

    /// Takes over what other workers have written, and writes what they could not be told when it came up.
    pub async fn take_over(&self, states: &[CarrierState]) {
        for (account, until, reason) in self.untold() {
            self.store_pause(&account, until, &reason).await;
        }
        let mut pauses = self.lock();
        for state in states {
            let pause = pauses.entry(state.budget.clone()).or_default();
            pause.until = pause.until.max(state.paused_until);
            pause.fails = state.fails;
        }
    }

    /// The pauses that the others do not know of.
    fn untold(&self) -> Vec<(String, Time, String)> {
        let now = self.clock.now();
        let pauses = self.lock();
        let untold = pauses.iter().filter_map(|(account, pause)| {
            let until = pause.until.filter(|until| pause.untold && *until > now)?;
            Some((account.clone(), until, pause.reason.clone()))
        });
        untold.collect()
    }

    /// Pauses an account for everyone.
    pub async fn pause(&self, account: &str, until: Time, reason: &str) {
        {
            let mut pauses = self.lock();
            let pause = pauses.entry(account.to_owned()).or_default();
            if pause.until < Some(until) {
                pause.until = Some(until);
                pause.reason = reason.to_owned();
                pause.untold = true;
            }
        }
        tracing::warn!("{account} is left alone until {until}: {reason}");
        self.store_pause(account, until, reason).await;
    }

    async fn store_pause(&self, account: &str, until: Time, reason: &str) {
        let stored = self
            .store
            .pause(account, until, reason, self.clock.now())
            .await;
        match stored {
            Ok(()) => {
                let mut pauses = self.lock();
                let told = pauses
                    .get_mut(account)
                    .filter(|pause| pause.until == Some(until));
                if let Some(pause) = told {
                    pause.untold = false;
                }
            }
            Err(error) => {
                tracing::warn!("other workers do not know yet that {account} is paused: {error}");
            }
        }
    }

    /// Counts a failed call; from [`FAILING_FROM`] in a row on it pauses the account.
    pub async fn failed(&self, account: &str, reason: &str) {
        let fails = {
            let mut pauses = self.lock();
            let pause = pauses.entry(account.to_owned()).or_default();
            pause.fails = pause.fails.saturating_add(1);
            pause.fails
        };
        if let Some(doublings) = fails.checked_sub(FAILING_FROM) {
            let wait = PROBE_FIRST
                .saturating_mul(1 << doublings.min(16))
                .min(PROBE_MAX);
            let until = self.clock.now() + delta(wait);
            self.pause(
                account,
                until,
                &format!("{fails} calls failed in a row: {reason}"),
            )
            .await;
        }
        self.store_fails(account, fails).await;
    }

    /// A call went well: the failures in a row are over.
    pub async fn succeeded(&self, account: &str) {
        let failed_before = {
            let mut pauses = self.lock();
            pauses
                .get_mut(account)
                .is_some_and(|pause| std::mem::take(&mut pause.fails) > 0)
        };
        if failed_before {
            self.store_fails(account, 0).await;
        }
    }

    async fn store_fails(&self, account: &str, fails: u32) {
        if let Err(error) = self.store.set_fails(account, fails, self.clock.now()).await {
            tracing::warn!("other workers do not know yet that {account} fails: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pause>> {
        self.by_account.lock()
    }
}
