//! An overview of the accounts at the carriers, for `GET /carriers`, the budget of one, and the metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::carriers::routes::Account;
use crate::clock::{Time, minute_of};
use crate::http::Serve;
use crate::model::CarrierCode;
use crate::model::quota::Period;
use crate::store::account_states::AccountState;
use crate::store::error::StoreError;
use crate::store::failures::Failures;
use crate::store::subscriptions::SubscriptionState;

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
    /// Calls made of each of its limits by day and month.
    pub used: Vec<i64>,
    /// Calls of the last whole minute.
    pub used_last_minute: i64,
    /// `None` if the account is not paused now.
    pub paused_until: Option<Time>,
    /// Empty if the account is not paused now.
    pub pause_reason: String,
    pub failures: Failures,
    /// Of each of its sections whose carrier is told by a call to push, with what is known of it.
    pub subscriptions: Vec<(String, Option<SubscriptionState>)>,
}

/// All accounts, and by carrier code the trackings for which the configuration has no account.
#[derive(Clone, Debug)]
pub struct Overview {
    pub accounts: Vec<AccountOverview>,
    pub unrouted: BTreeMap<String, Counts>,
    /// When the trackings were counted.
    pub counted_at: Time,
}

/// Reads the current state of all accounts.
pub async fn overview(serve: &Serve) -> Result<Overview, StoreError> {
    let now = serve.clock.now();
    let states = serve.store.account_states(now).await?;
    let mut states: HashMap<String, AccountState> = states
        .into_iter()
        .map(|state| (state.account.clone(), state))
        .collect();
    let mut calls = serve.store.calls_of_minute(minute_of(now) - 1).await?;
    let mut counts: HashMap<&str, Counts> = HashMap::new();
    let mut unrouted = BTreeMap::new();
    let counted = serve.tally.counted(&serve.store, now).await?;
    for count in counted.carriers.iter() {
        let code = CarrierCode::parse(count.carrier_code.as_str()).ok();
        let route = code.and_then(|code| serve.routes.resolve(&code));
        let sum = match route {
            Some(route) => counts.entry(route.account.name.as_str()).or_default(),
            None => unrouted
                .entry(count.carrier_code.clone())
                .or_insert_with(Counts::default),
        };
        sum.active += count.active;
        sum.due += count.due;
        sum.failing += count.failing;
    }
    let mut subscriptions = subscriptions(serve).await?;
    let mut accounts = Vec::new();
    for account in serve.routes.accounts() {
        let (name, quotas) = (account.name.as_str(), &account.limits.quotas);
        let state = states.remove(name);
        let counts = counts.get(name).copied().unwrap_or_default();
        let used = serve.store.calls_used(name, quotas, now).await?;
        let last_minute = calls.remove(name).unwrap_or_default();
        let mut overview = account_overview(account, counts, state, (used, last_minute), now);
        overview.subscriptions = subscriptions.remove(name).unwrap_or_default();
        accounts.push(overview);
    }
    Ok(Overview {
        accounts,
        unrouted,
        counted_at: counted.at,
    })
}

/// The sections that subscribe to what their carriers push, by account.
async fn subscriptions(
    serve: &Serve,
) -> Result<HashMap<String, Vec<(String, Option<SubscriptionState>)>>, StoreError> {
    let mut sections = Vec::new();
    for route in serve.routes.all() {
        if route.callback.is_some() {
            sections.push((route.account.name.clone(), route.section.clone()));
        }
    }
    let mut found: HashMap<String, Vec<_>> = HashMap::new();
    if sections.is_empty() {
        return Ok(found);
    }
    let states = serve.store.subscription_states().await?;
    for (account, section) in sections {
        let state = states.iter().find(|state| state.section == section);
        let state = state.cloned();
        found.entry(account).or_default().push((section, state));
    }
    Ok(found)
}

fn account_overview(
    account: &Arc<Account>,
    counts: Counts,
    state: Option<AccountState>,
    (used, used_last_minute): (Vec<i64>, i64),
    now: Time,
) -> AccountOverview {
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
        used,
        used_last_minute,
        paused_until,
        pause_reason: if paused_until.is_some() {
            reason
        } else {
            String::new()
        },
        failures,
        subscriptions: Vec::new(),
    }
}

impl AccountOverview {
    /// Calls made today, in the time zone of the limit per day; `None` if there is none.
    pub fn used_today(&self) -> Option<i64> {
        let quotas = self.account.limits.quotas.iter().zip(&self.used);
        let mut days = quotas.filter(|(quota, _)| quota.period == Period::Day);
        days.next().map(|(_, used)| *used)
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
