//! Pauses: while an account is paused no worker calls its carrier. It is paused because the carrier asked for it, because
//! the carrier refuses the account, or because calls or numbers keep failing.
//!
//! After a pause for failures the account is tried with one call of one number, by one worker; an answer ends the failures,
//! and another failure makes the next pause longer.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::clock::{Clock, Time, delta};
use crate::store::Store;
use crate::store::account_states::AccountState;
use crate::store::error::StoreError;
use crate::store::failures::Failures;

/// After this many calls in a row that failed on the way, the account is tried with one call at a time.
const FAILING_FROM: u32 = 5;

/// The first and the longest pause after calls that failed on the way. It doubles with every further failure.
const FAILING_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The first and the longest pause of an account that its carrier refuses. It doubles with every further refusal.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));

/// From this many different numbers in a row that failed alike, the account is suspected.
const SUSPECTED_FROM: u32 = 10;

/// From this many on, it counts as refused.
const REFUSED_FROM: u32 = 100;

/// How an account may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As its limits allow.
    Free,
    /// Two calls a second at most, each for one number: it is suspected.
    Slow,
    /// One call of one number at a time: it failed, and its pause is over.
    Trial,
}

/// How a call went, as far as it tells of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The carrier answered for at least one number.
    Well,
    /// All its numbers failed alike, and nothing says that it is the account's failure.
    Numbers {
        ids: Vec<i64>,
        /// What they failed with, without what differs by number.
        alike: String,
        /// Whether one of them was answered before.
        answered_before: bool,
    },
    /// It failed on the way.
    Call { reason: String },
    /// The carrier refuses the account.
    Account { reason: String },
    /// The carrier refuses the account, which must not try again before this time has passed.
    Rest { reason: String, wait: Duration },
    /// The carrier asked for a pause of this length.
    Pause { reason: String, wait: Duration },
}

/// Whether the account's parcels wait because it is paused, or because its calls fail.
pub fn is_disturbed(state: &AccountState, now: Time) -> bool {
    let failures = &state.failures;
    let is_paused = state.paused_until.is_some_and(|until| until > now);
    is_paused || failures.fails >= FAILING_FROM || failures.refusals > 0
}

/// This worker's copy of the pauses, which all workers share through the store.
pub struct Pauses {
    store: Store,
    clock: Clock,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    by_account: HashMap<String, Pause>,
    /// Grows with every change of ours, to tell those that a read of the store cannot know yet.
    changes: u64,
}

#[derive(Default)]
struct Pause {
    until: Option<Time>,
    reason: String,
    failures: Failures,
    /// The numbers that failed with the suspicion, as far as this worker saw them.
    suspects: HashSet<i64>,
    /// Whether the store does not have the pause, or the failures, yet.
    pause_unsaved: bool,
    failures_unsaved: bool,
    /// The number of its last change.
    changed: u64,
}

impl Pause {
    /// Counts what a call told. Answers the pause that follows, and why.
    fn count(&mut self, told: Told) -> Option<(Duration, String)> {
        let failures = &mut self.failures;
        match told {
            Told::Well => {
                *failures = Failures::default();
                self.suspects.clear();
                None
            }
            Told::Pause { reason, wait } => Some((wait, reason)),
            Told::Account { reason } => Some(self.refused(reason)),
            Told::Rest { reason, wait } => {
                failures.refusals = failures.refusals.saturating_add(1);
                Some((wait, reason))
            }
            Told::Call { reason } => {
                failures.fails = failures.fails.saturating_add(1);
                if failures.refusals > 0 {
                    return Some((doubled(REFUSED_PAUSE, failures.refusals), reason));
                }
                let nth = (failures.fails + 1).checked_sub(FAILING_FROM)?;
                let reason = format!("{} calls failed in a row: {reason}", failures.fails);
                (nth > 0).then(|| (doubled(FAILING_PAUSE, nth), reason))
            }
            Told::Numbers {
                ids,
                alike,
                answered_before,
            } => self.suspect(&ids, alike, answered_before),
        }
    }

    fn suspect(
        &mut self,
        ids: &[i64],
        alike: String,
        answered_before: bool,
    ) -> Option<(Duration, String)> {
        let failures = &mut self.failures;
        failures.fails = 0;
        let was_suspected = failures.suspicion == alike && failures.suspects >= SUSPECTED_FROM;
        if failures.suspicion != alike {
            failures.suspicion = alike;
            failures.suspects = 0;
            self.suspects.clear();
        }
        let suspects = &mut self.suspects;
        let new = ids
            .iter()
            .filter(|id| suspects.len() < REFUSED_FROM as usize && suspects.insert(**id))
            .count();
        let new = u32::try_from(new).unwrap_or(u32::MAX);
        failures.suspects = failures.suspects.saturating_add(new).min(REFUSED_FROM);
        let is_certain = answered_before || failures.refusals > 0;
        if (was_suspected && is_certain) || failures.suspects >= REFUSED_FROM {
            let reason = format!(
                "{} parcels in a row failed alike: {}",
                failures.suspects, failures.suspicion
            );
            return Some(self.refused(reason));
        }
        if !was_suspected {
            // The carrier lets the account in again, and refuses a number.
            failures.refusals = 0;
        }
        None
    }

    fn refused(&mut self, reason: String) -> (Duration, String) {
        self.failures.refusals = self.failures.refusals.saturating_add(1);
        (doubled(REFUSED_PAUSE, self.failures.refusals), reason)
    }

    /// The failures as the store keeps them: a suspicion counts from some numbers on.
    fn stored(&self) -> Failures {
        let mut failures = self.failures.clone();
        if failures.suspects < SUSPECTED_FROM {
            failures.suspicion.clear();
            failures.suspects = 0;
        }
        failures
    }
}

/// The first pause, doubled so often that the first failure gives the first one.
fn doubled((first, longest): (Duration, Duration), nth: u32) -> Duration {
    first
        .saturating_mul(1 << nth.saturating_sub(1).min(16))
        .min(longest)
}

impl Pauses {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            book: Mutex::default(),
        }
    }

    /// Until when the account is paused, or was the last time.
    pub fn until(&self, account: &str) -> Option<Time> {
        self.lock().by_account.get(account)?.until
    }

    /// How the account may be called once it is not paused.
    pub fn pace(&self, account: &str) -> Pace {
        let book = self.lock();
        let Some(Pause { failures, .. }) = book.by_account.get(account) else {
            return Pace::Free;
        };
        if failures.refusals > 0 || failures.fails >= FAILING_FROM {
            Pace::Trial
        } else if failures.suspects >= SUSPECTED_FROM {
            Pace::Slow
        } else {
            Pace::Free
        }
    }

    /// The number of our last change: to be read before the states that [`Pauses::merge`] is given.
    pub fn mark(&self) -> u64 {
        self.lock().changes
    }

    /// Takes over what the store says, where we know nothing newer, and stores what could not be stored before. A pause
    /// that the store no longer has was lifted.
    pub async fn merge(&self, states: &[AccountState], mark: u64) {
        let unsaved: Vec<String> = {
            let mut book = self.lock();
            for state in states {
                book.by_account.entry(state.account.clone()).or_default();
            }
            for (account, pause) in &mut book.by_account {
                if pause.changed > mark {
                    continue;
                }
                let state = states.iter().find(|state| state.account == *account);
                if !pause.pause_unsaved {
                    pause.until = state.and_then(|state| state.paused_until);
                }
                if !pause.failures_unsaved {
                    let stored = state.map(|state| state.failures.clone());
                    let stored = stored.unwrap_or_default();
                    // Ours is newer if the store knows no suspicion yet.
                    if stored.suspects > 0 || pause.failures.suspects >= SUSPECTED_FROM {
                        if stored.suspicion != pause.failures.suspicion {
                            pause.suspects.clear();
                        }
                        pause.failures = stored;
                    } else {
                        pause.failures.fails = stored.fails;
                        pause.failures.refusals = stored.refusals;
                    }
                }
            }
            let unsaved = book
                .by_account
                .iter()
                .filter(|(_, pause)| pause.pause_unsaved || pause.failures_unsaved);
            unsaved.map(|(account, _)| account.clone()).collect()
        };
        for account in unsaved {
            self.save(&account).await;
        }
    }

    /// Notes how a call that was sent at `asked_at` went, for this worker at once and for the others in the store.
    ///
    /// A call that was sent before the account was paused tells nothing new, unless the carrier asks for a pause.
    pub async fn note(&self, account: &str, told: Told, asked_at: Time) {
        let now = self.clock.now();
        {
            let mut book = self.lock();
            book.changes += 1;
            let change = book.changes;
            let pause = book.by_account.entry(account.to_owned()).or_default();
            let is_old = pause.until.is_some_and(|until| until > asked_at);
            if is_old && !matches!(told, Told::Pause { .. }) {
                return;
            }
            let before = pause.stored();
            let follows = pause.count(told);
            if let Some((wait, reason)) = follows {
                let until = now + delta(wait);
                if pause.until < Some(until) {
                    pause.until = Some(until);
                    pause.reason = reason;
                    pause.pause_unsaved = true;
                    let reason = &pause.reason;
                    tracing::warn!(account, %until, "paused account {account} until {until}: {reason}");
                }
            }
            pause.failures_unsaved |= before != pause.stored();
            if !pause.pause_unsaved && !pause.failures_unsaved {
                return;
            }
            pause.changed = change;
        }
        self.save(account).await;
    }

    /// Stores what the store does not have yet of an account.
    async fn save(&self, account: &str) {
        let (pause, failures, change) = {
            let book = self.lock();
            let Some(pause) = book.by_account.get(account) else {
                return;
            };
            let until = pause.until.filter(|_| pause.pause_unsaved);
            let failures = pause.failures_unsaved.then(|| pause.stored());
            (
                until.map(|until| (until, pause.reason.clone())),
                failures,
                pause.changed,
            )
        };
        let now = self.clock.now();
        let saving = async {
            if let Some((until, reason)) = pause {
                self.store.pause(account, until, &reason, now).await?;
            }
            if let Some(failures) = failures {
                self.store.set_failures(account, &failures, now).await?;
            }
            Ok::<(), StoreError>(())
        };
        match saving.await {
            Ok(()) => {
                let mut book = self.lock();
                let saved = book.by_account.get_mut(account);
                if let Some(pause) = saved.filter(|pause| pause.changed == change) {
                    (pause.pause_unsaved, pause.failures_unsaved) = (false, false);
                }
            }
            Err(error) => tracing::warn!(
                account,
                "cannot store the failures of account {account}, other workers may still call: {error}"
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }
}
