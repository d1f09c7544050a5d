//! An overview of the accounts at the carriers, for `GET /carriers`, the budget of one, and the metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::carriers::routes::Account;
use crate::clock::{Time, minute_of};
use crate::http::Serve;
use crate::model::CarrierCode;
use crate::store::account_states::AccountState;
use crate::store::error::StoreError;
use crate::store::failures::Failures;

/// How old the metrics may be: to measure them, the database counts all trackings.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// How long a request for the metrics waits for the database.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(1);

/// How many trackings there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Still checked.
    pub active: i64,
    /// Of these, due.
    pub due: i64,
    /// Of these, those whose last check failed.
    pub failing: i64,
}

/// An account, its trackings, and what it has used of its limits.
#[derive(Clone, Debug)]
pub struct AccountOverview {
    pub account: Arc<Account>,
    pub counts: Counts,
    /// Calls made today (UTC); `None` if there is no limit per day.
    pub used_today: Option<i64>,
    /// Calls of the last whole minute.
    pub used_last_minute: i64,
    /// `None` if the account is not paused now.
    pub paused_until: Option<Time>,
    /// Empty if the account is not paused now.
    pub pause_reason: String,
    pub failures: Failures,
}

/// All accounts, and by carrier code the trackings for which the configuration has no account.
#[derive(Clone, Debug)]
pub struct Overview {
    pub accounts: Vec<AccountOverview>,
    pub unrouted: BTreeMap<String, Counts>,
}

/// Reads the current state of all accounts.
pub async fn overview(serve: &Serve) -> Result<Overview, StoreError> {
    let now = serve.clock.now();
    let states = serve.store.account_states().await?;
    let mut states: HashMap<String, AccountState> = states
        .into_iter()
        .map(|state| (state.account.clone(), state))
        .collect();
    let mut calls = serve.store.calls_of_minute(minute_of(now) - 1).await?;
    let mut counts: HashMap<&str, Counts> = HashMap::new();
    let mut unrouted = BTreeMap::new();
    for count in serve.store.carrier_counts(now).await? {
        let code = CarrierCode::parse(count.carrier_code.as_str()).ok();
        let route = code.and_then(|code| serve.routes.resolve(&code));
        let sum = match route {
            Some(route) => counts.entry(route.account.name.as_str()).or_default(),
            None => unrouted
                .entry(count.carrier_code)
                .or_insert_with(Counts::default),
        };
        sum.active += count.active;
        sum.due += count.due;
        sum.failing += count.failing;
    }
    let accounts = serve.routes.accounts().iter().map(|account| {
        let state = states.remove(&account.name);
        let counts = counts
            .get(account.name.as_str())
            .copied()
            .unwrap_or_default();
        let calls = calls.remove(&account.name).unwrap_or_default();
        account_overview(account, counts, state, calls, now)
    });
    Ok(Overview {
        accounts: accounts.collect(),
        unrouted,
    })
}

fn account_overview(
    account: &Arc<Account>,
    counts: Counts,
    state: Option<AccountState>,
    used_last_minute: i64,
    now: Time,
) -> AccountOverview {
    let used = state
        .as_ref()
        .map_or(0, |state| state.used(account.limits.per_day, now));
    let paused_until = state
        .as_ref()
        .and_then(|state| state.paused_until)
        .filter(|until| *until > now);
    let (reason, failures) = state
        .map(|state| (state.pause_reason, state.failures))
        .unwrap_or_default();
    AccountOverview {
        account: Arc::clone(account),
        counts,
        used_today: (account.limits.per_day > 0).then_some(used),
        used_last_minute,
        paused_until,
        pause_reason: if paused_until.is_some() {
            reason
        } else {
            String::new()
        },
        failures,
    }
}

/// Updates the metrics of the accounts, at most every few seconds. Clones share the time of the last update.
#[derive(Clone)]
pub struct Measure {
    serve: Serve,
    measured_at: Arc<Mutex<Option<Instant>>>,
}

impl Measure {
    pub fn new(serve: Serve) -> Self {
        Self {
            serve,
            measured_at: Arc::default(),
        }
    }

    /// Measures, unless the last time is recent. If the database does not answer, the metrics keep their values.
    pub async fn run(self) {
        let mut measured_at = self.measured_at.lock().await;
        if measured_at.is_some_and(|at| at.elapsed() < MEASURE_EVERY) {
            return;
        }
        match tokio::time::timeout(MEASURE_TIMEOUT, overview(&self.serve)).await {
            Ok(Ok(overview)) => {
                for account in overview.accounts {
                    let name = &account.account.name;
                    let metrics = &self.serve.metrics;
                    metrics.due_trackings(name).set(account.counts.due);
                    let paused = account.paused_until.is_some();
                    metrics.account_paused(name).set(paused.into());
                }
            }
            Ok(Err(error)) => tracing::warn!(
                "the metrics of the accounts are not updated: {:#}",
                anyhow::Error::from(error)
            ),
            Err(_) => tracing::warn!(
                "the metrics of the accounts are not updated: the database did not answer within {} s",
                MEASURE_TIMEOUT.as_secs()
            ),
        }
        *measured_at = Some(Instant::now());
    }
}
