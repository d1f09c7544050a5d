//! Settings that change: the next checks that the old ones set may lie far ahead, so they are brought forward.

use std::time::Duration;

use crate::carriers::routes::Account;
use crate::clock::{Time, delta};
use crate::config::Policy;
use crate::plan::cadence::Cadence;
use crate::plan::decide::longest_wait;
use crate::store::Store;
use crate::store::error::StoreError;

/// How many trackings are moved by one statement, and how many statements one round may take.
const CHUNK: u32 = 1_000;
const CHUNKS_MAX: u32 = 20;

/// The policy and the limits by which an account's next checks are set, as one text.
pub fn made_by(account: &Account, cadence: &Cadence) -> String {
    let policy = account.policy.name();
    match (account.policy, account.checks_per_hour()) {
        (Policy::Learned, Some(checks)) => format!("{policy}, {checks:.3} checks an hour"),
        (Policy::Learned | Policy::Fixed, _) => {
            format!("{policy}, {} s", longest(account, 0.0, cadence).as_secs())
        }
        (Policy::Table, _) => policy.to_owned(),
    }
}

/// The longest time from an answer to the next check that the settings allow.
fn longest(account: &Account, round: f64, cadence: &Cadence) -> Duration {
    let fixed = cadence.in_transit_max.max(cadence.unknown);
    match account.policy {
        Policy::Learned if account.checks_per_hour().is_some() => {
            Duration::try_from_secs_f64(longest_wait(round) * 3_600.0).unwrap_or(fixed)
        }
        Policy::Learned | Policy::Fixed => fixed,
        Policy::Table => Cadence::TABLE_MAX,
    }
}

/// Brings forward the next checks of the carriers in `codes`; answers whether none is left.
pub async fn pull_in(
    store: &Store,
    account: &Account,
    codes: &[String],
    round: f64,
    cadence: &Cadence,
    now: Time,
) -> Result<bool, StoreError> {
    let longest = delta(longest(account, round, cadence));
    let (mut chunks, mut moved) = (0, 0);
    for code in codes {
        loop {
            if chunks == CHUNKS_MAX {
                return Ok(false);
            }
            chunks += 1;
            let by_chunk = store.pull_in(code, longest, now, CHUNK).await?;
            moved += by_chunk;
            if by_chunk < u64::from(CHUNK) {
                break;
            }
        }
    }
    if moved > 0 {
        let account = account.name.as_str();
        tracing::info!(
            account,
            moved,
            "brought forward the next checks of {moved} parcels of account {account}, whose settings have changed"
        );
    }
    Ok(true)
}
