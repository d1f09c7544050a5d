//! Pauses: while an account is paused no worker calls its carrier, because it asked to wait or because calls keep failing.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::clock::{Clock, Time, delta};
use crate::store::Store;
use crate::store::account_states::AccountState;

/// After this many failed calls in a row, the account is probed with one call at a time.
const FAILING_FROM: u32 = 5;

/// The first pause between two probes. It doubles with every further failure.
const PROBE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause between two probes.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// This worker's copy of the pauses, which all workers share through the store.
pub struct Pauses {
    store: Store,
    clock: Clock,
    by_account: Mutex<HashMap<String, Pause>>,
}

#[derive(Default)]
struct Pause {
    until: Option<Time>,
    reason: String,
    /// Whether the store does not have it yet.
    unsaved: bool,
    /// Failed calls in a row.
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

    /// Until when the account is paused, or was the last time.
    pub fn until(&self, account: &str) -> Option<Time> {
        self.lock().get(account).and_then(|pause| pause.until)
    }

    /// Whether the account's calls keep failing, so that one probe at a time is enough.
    pub fn is_failing(&self, account: &str) -> bool {
        self.lock()
            .get(account)
            .is_some_and(|pause| pause.fails >= FAILING_FROM)
    }

    /// Merges the pauses that other workers stored into ours, and stores those of ours whose first write failed.
    pub async fn merge(&self, states: &[AccountState]) {
        for (account, until, reason) in self.unsaved() {
            self.store_pause(&account, until, &reason).await;
        }
        let mut pauses = self.lock();
        for state in states {
            let pause = pauses.entry(state.account.clone()).or_default();
            pause.until = pause.until.max(state.paused_until);
            pause.fails = state.fails;
        }
    }

    /// Our pauses that are not in the store yet.
    fn unsaved(&self) -> Vec<(String, Time, String)> {
        let now = self.clock.now();
        let pauses = self.lock();
        let unsaved = pauses.iter().filter_map(|(account, pause)| {
            let until = pause.until.filter(|until| pause.unsaved && *until > now)?;
            Some((account.clone(), until, pause.reason.clone()))
        });
        unsaved.collect()
    }

    /// Pauses an account for all workers. A longer pause that is there already stays.
    pub async fn pause(&self, account: &str, until: Time, reason: &str) {
        {
            let mut pauses = self.lock();
            let pause = pauses.entry(account.to_owned()).or_default();
            if pause.until < Some(until) {
                pause.until = Some(until);
                pause.reason = reason.to_owned();
                pause.unsaved = true;
            }
        }
        tracing::warn!(account, %until, "paused account {account} until {until}: {reason}");
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
                let saved = pauses
                    .get_mut(account)
                    .filter(|pause| pause.until == Some(until));
                if let Some(pause) = saved {
                    pause.unsaved = false;
                }
            }
            Err(error) => {
                tracing::warn!(
                    account,
                    "cannot store the pause of account {account}, other workers may still call: {error}"
                );
            }
        }
    }

    /// Counts a failed call. From [`FAILING_FROM`] in a row on, it pauses the account.
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

    /// Notes that a call succeeded, which ends the failures in a row.
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
            tracing::warn!(
                account,
                fails,
                "cannot store that {fails} calls of account {account} failed in a row: {error}"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pause>> {
        self.by_account.lock()
    }
}
