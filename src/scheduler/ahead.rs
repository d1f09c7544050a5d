//! Events that a carrier dates ahead of the check that shows them. Carriers that report local times do so if the section's
//! `time_zone` is wrong.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::TimeDelta;
use parking_lot::Mutex;

use crate::kafka::message::Checked;
use crate::metrics::Metrics;
use crate::model::Outcome;

/// By how much an event must be ahead to count: clocks differ by minutes.
const AHEAD_MIN: TimeDelta = TimeDelta::minutes(10);

/// Counts answers with such events, and warns once of each account.
pub struct Ahead {
    metrics: Arc<Metrics>,
    warned: Mutex<HashSet<String>>,
}

impl Ahead {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            warned: Mutex::default(),
        }
    }

    pub fn note(&self, account: &str, checks: &[Checked]) {
        for Checked { update, .. } in checks {
            let Outcome::Seen { events, .. } = &update.outcome else {
                continue;
            };
            let newest = events.iter().map(|event| event.event_time).max();
            let ahead = newest.map_or(TimeDelta::zero(), |at| at - update.checked_at);
            if ahead < AHEAD_MIN {
                continue;
            }
            self.metrics.answers_ahead(account).inc();
            if self.warned.lock().insert(account.to_owned()) {
                let (id, minutes) = (update.tracking_id, ahead.num_minutes());
                tracing::warn!(
                    account,
                    tracking_id = id,
                    minutes,
                    "the carrier of account {account} dates an event of tracking {id} {minutes} minutes ahead: is the \
                     time_zone of its section right?"
                );
            }
        }
    }
}
