//! Tells of parcels that wait too long: every worker by its metrics, and the one that leads in its log.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::{Time, hours};
use crate::metrics::Metrics;
use crate::plan::decide::longest_wait;
use crate::store::account_plans::AccountPlan;

/// How long parcels of an account wait, in hours.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// How many hours it takes to check every parcel once.
    pub round: f64,
    /// How far the most overdue parcel is beyond its time.
    overdue: f64,
    /// Since the last answer for the parcel that waits longest for one.
    unanswered: f64,
    /// How many parcels fail.
    failing: i64,
}

impl Waiting {
    /// `earliest` is the next check of a parcel that no worker has claimed.
    pub fn of(plan: &AccountPlan, round: f64, earliest: Option<Time>, now: Time) -> Self {
        let since = |at: Option<Time>| at.map_or(0.0, |at| (hours(now) - hours(at)).max(0.0));
        Self {
            round,
            overdue: since(earliest),
            unanswered: since(plan.unanswered_since),
            failing: plan.failing,
        }
    }
}

/// The accounts that were warned of, by what was said.
#[derive(Default)]
struct Warned {
    overdue: HashSet<String>,
    unanswered: HashSet<String>,
}

/// What one worker tells.
pub struct Watch {
    metrics: Arc<Metrics>,
    warned: Mutex<Warned>,
}

impl Watch {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            warned: Mutex::default(),
        }
    }

    /// Shows the figures in the metrics. A worker that does not lead forgets what it warned of.
    pub fn show(&self, account: &str, waiting: Waiting, leads: bool) {
        let seconds = |hours: f64| (hours * 3_600.0) as i64;
        let metrics = &self.metrics;
        metrics
            .account_overdue_seconds(account)
            .set(seconds(waiting.overdue));
        metrics
            .account_unanswered_seconds(account)
            .set(seconds(waiting.unanswered));
        metrics.failing_trackings(account).set(waiting.failing);
        if leads {
            self.warn_of_overdue(account, waiting);
            self.warn_of_unanswered(account, waiting);
        } else {
            let mut warned = self.warned.lock();
            warned.overdue.remove(account);
            warned.unanswered.remove(account);
        }
    }

    /// Whether the log has told of an account and not yet of its recovery: overdue parcels, parcels without an answer.
    #[cfg(test)]
    pub fn has_warned(&self, account: &str) -> (bool, bool) {
        let warned = self.warned.lock();
        (
            warned.overdue.contains(account),
            warned.unanswered.contains(account),
        )
    }

    /// Warns once if some parcel is overdue by more than half the longest wait: the account's limits are too small for
    /// the number of its parcels.
    fn warn_of_overdue(&self, account: &str, waiting: Waiting) {
        let Waiting { overdue, round, .. } = waiting;
        let too_late = overdue > longest_wait(round) / 2.0;
        let mut warned = self.warned.lock();
        if too_late && warned.overdue.insert(account.to_owned()) {
            tracing::warn!(
                account,
                "parcels of account {account} are overdue by up to {overdue:.0} h: its limits allow one check of each parcel in \
                 {round:.1} h; raise the limits or track fewer parcels"
            );
        } else if !too_late && warned.overdue.remove(account) {
            tracing::info!(
                account,
                "parcels of account {account} are checked in time again"
            );
        }
    }

    /// Warns once if some parcel has had no answer for half as long again as the longest wait. A parcel that fails is put
    /// off each time, so it may never be overdue.
    fn warn_of_unanswered(&self, account: &str, waiting: Waiting) {
        let Waiting {
            unanswered,
            failing,
            ..
        } = waiting;
        let too_long = unanswered > longest_wait(waiting.round) * 1.5;
        let mut warned = self.warned.lock();
        if too_long && warned.unanswered.insert(account.to_owned()) {
            tracing::warn!(
                account,
                failing,
                "parcels of account {account} have had no answer for up to {unanswered:.0} h, and {failing} fail: \
                 GET /carriers says why"
            );
        } else if !too_long && warned.unanswered.remove(account) {
            tracing::info!(
                account,
                "all parcels of account {account} are answered again"
            );
        }
    }
}
