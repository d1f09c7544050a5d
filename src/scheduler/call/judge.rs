//! What an answer means for each of its trackings: the update to publish, and when to look again.

use crate::carriers::routes::Account;
use crate::carriers::{CarrierError, Verdict};
use crate::clock::Time;
use crate::config::Policy;
use crate::kafka::message::Checked;
use crate::metrics::CheckOutcome;
use crate::model::status::{Status, SubStatus};
use crate::model::{Outcome, Report, Source, Tracking, Update, clean_text};
use crate::plan::parcel::Standing;
use crate::scheduler::call::{Call, Caller, Ended, Heard};

/// The name of the adapter in messages that no carrier was asked for.
const NO_ADAPTER: &str = "none";

impl Caller {
    /// Publishes that these trackings had no news for so long that checking ends; asks nobody.
    pub async fn expire(&self, account: &Account, trackings: Vec<Tracking>) -> Ended {
        let now = self.parts.clock.now();
        let checks = trackings
            .iter()
            .map(|row| {
                let report = Report {
                    status: Status::Expired,
                    sub_status: Some(SubStatus::ExpiredNoNews),
                    direction: row.direction,
                    status_raw: Status::Expired.as_str().to_owned(),
                    status_at: Some(now),
                    last_event_code: row.last_event_code.clone(),
                    last_event_at: row.last_event_at,
                };
                let outcome = Outcome::Seen {
                    report,
                    events: Vec::new(),
                };
                let next_check_at = self
                    .parts
                    .cadence
                    .after_answer(Status::Expired, row.id, now);
                checked(row, now, outcome, next_check_at, 0, NO_ADAPTER, 0)
            })
            .collect();
        self.publish(&account.name, checks).await;
        Ended {
            account: account.name.clone(),
            trackings: trackings.len() as u64,
            was_call: false,
        }
    }

    /// One update for each tracking of the call; a number that the answer leaves out has failed.
    pub(super) fn updates(
        &self,
        call: &Call,
        heard: &Heard,
        paused_until: Option<Time>,
    ) -> Vec<Checked> {
        let adapter = call.route.adapter.name();
        let account = &call.route.account.name;
        let no_answer = Verdict::Failed {
            reason: "the carrier's answer leaves this number out".to_owned(),
        };
        call.trackings
            .iter()
            .map(|row| match &heard.result {
                Ok(sightings) => {
                    let sighting = sightings.iter().find(|s| s.number == row.track_number);
                    let verdict = sighting.map_or(&no_answer, |sighting| &sighting.verdict);
                    self.judge(call, row, verdict, heard.asked_at)
                }
                Err(error) => {
                    let outcome = match error {
                        CarrierError::RateLimited { .. } => CheckOutcome::Limited,
                        _ => CheckOutcome::Failed,
                    };
                    self.parts.metrics.check(account, outcome);
                    self.parts
                        .stats
                        .error(&format!("{}: {error}", row.carrier_code));
                    self.failed(
                        row,
                        heard.asked_at,
                        error.to_string(),
                        paused_until,
                        adapter,
                    )
                }
            })
            .collect()
    }

    fn judge(&self, call: &Call, row: &Tracking, verdict: &Verdict, asked_at: Time) -> Checked {
        let metrics = &self.parts.metrics;
        let adapter = call.route.adapter.name();
        let account = &call.route.account.name;
        match verdict {
            Verdict::Seen(observation) => {
                metrics.check(account, CheckOutcome::Seen);
                let outcome = Outcome::Seen {
                    report: observation.report.clone(),
                    events: observation.events.clone(),
                };
                let next = self.next_check(call, row, &outcome, asked_at);
                checked(
                    row,
                    asked_at,
                    outcome,
                    next,
                    0,
                    adapter,
                    observation.mapping_version,
                )
            }
            Verdict::NotFoundYet => {
                metrics.check(account, CheckOutcome::NotFound);
                let next = self.next_check(call, row, &Outcome::NotFoundYet, asked_at);
                checked(row, asked_at, Outcome::NotFoundYet, next, 0, adapter, 0)
            }
            Verdict::Invalid { reason } => {
                metrics.check(account, CheckOutcome::Failed);
                let reason =
                    format!("the carrier says that this is no number of its own: {reason}");
                self.failed(row, asked_at, reason, None, adapter)
            }
            Verdict::Failed { reason } => {
                metrics.check(account, CheckOutcome::Failed);
                self.failed(row, asked_at, reason.clone(), None, adapter)
            }
        }
    }

    /// When to look again after a good answer, by the account's policy.
    fn next_check(&self, call: &Call, row: &Tracking, outcome: &Outcome, asked_at: Time) -> Time {
        let status = match outcome {
            Outcome::Seen { report, .. } => report.status,
            // What the tracking stays in decides how soon: "not found" does not replace a status.
            _ if row.status == Status::Unknown => Status::Pending,
            _ => row.status,
        };
        let (plan, account) = (&self.parts.cadence, &call.route.account);
        let learned = || {
            let section = self.parts.store.sections().of(row.carrier_code.as_str());
            let learned = self.parts.learned.account(&account.name)?;
            let standing = Standing::after(row, outcome, asked_at);
            learned.next_check(account, section, standing, asked_at)
        };
        let by_cadence = || plan.after_answer(status, row.id, asked_at);
        match account.policy {
            Policy::Table => plan.by_table(status, row.id, asked_at),
            // Until the first reading of what was learned, as if nothing were known.
            Policy::Learned if !status.is_terminal() => learned().unwrap_or_else(by_cadence),
            Policy::Fixed | Policy::Learned => by_cadence(),
        }
    }

    fn failed(
        &self,
        row: &Tracking,
        asked_at: Time,
        reason: String,
        paused_until: Option<Time>,
        adapter: &'static str,
    ) -> Checked {
        let fails = row.check_fail_count.saturating_add(1);
        let backoff = self.parts.cadence.after_failure(fails, asked_at);
        let next = paused_until.unwrap_or(backoff);
        let outcome = Outcome::Failed {
            error: clean_text(&reason),
        };
        checked(row, asked_at, outcome, next, fails, adapter, 0)
    }
}

fn checked(
    row: &Tracking,
    asked_at: Time,
    outcome: Outcome,
    next_check_at: Time,
    fails: u32,
    adapter: &'static str,
    mapping_version: i32,
) -> Checked {
    let update = Update {
        tracking_id: row.id,
        checked_at: asked_at,
        check_id: row.lease_id.unwrap_or_else(uuid::Uuid::now_v7),
        outcome,
        next_check_at,
        check_fail_count: Some(fails),
    };
    Checked {
        update,
        adapter,
        mapping_version,
        source: Source::Poll,
    }
}
