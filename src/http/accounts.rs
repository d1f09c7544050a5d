//! What waits for each account at a carrier, and what it has spent: for `GET /carriers` and for the metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::carriers::routes::Account;
use crate::clock::Time;
use crate::clock::day_of;
use crate::http::Serve;
use crate::model::CarrierCode;
use crate::store::account_states::AccountState;
use crate::store::error::StoreError;

/// How old the figures of the metrics may be: they are counted over all trackings.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// How long the metrics wait for the database.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(1);

/// Trackings in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Still checked.
    pub active: i64,
    /// Their time has come.
    pub due: i64,
    /// Their last check failed.
    pub failing: i64,
}

/// An account and how it stands.
#[derive(Clone, Debug)]
pub struct Standing {
    pub account: Arc<Account>,
    pub waiting: Waiting,
    /// Calls made today (UTC); counted only where the day is limited.
    pub used_today: Option<i64>,
    /// Calls of the last whole minute.
    pub used_last_minute: i64,
    /// Only where it is ahead.
    pub paused_until: Option<Time>,
    pub pause_reason: String,
    /// Calls that failed for all their numbers, in a row.
    pub fails: u32,
}

/// All accounts, and the trackings of carriers that no section of the configuration leads to.
#[derive(Clone, Debug)]
pub struct Standings {
    pub accounts: Vec<Standing>,
    pub unrouted: BTreeMap<String, Waiting>,
}

/// How all accounts stand now.
pub async fn standings(serve: &Serve) -> Result<Standings, StoreError> {
    let now = serve.clock.now();
    let states = serve.store.account_states().await?;
    let mut states: HashMap<String, AccountState> = states
        .into_iter()
        .map(|state| (state.account.clone(), state))
        .collect();
    let mut waiting: HashMap<&str, Waiting> = HashMap::new();
    let mut unrouted = BTreeMap::new();
    for count in serve.store.carrier_counts(now).await? {
        let code = CarrierCode::parse(count.carrier_code.as_str()).ok();
        let route = code.and_then(|code| serve.routes.resolve(&code));
        let sum = match route {
            Some(route) => waiting.entry(route.account.name.as_str()).or_default(),
            None => unrouted
                .entry(count.carrier_code)
                .or_insert_with(Waiting::default),
        };
        sum.active += count.active;
        sum.due += count.due;
        sum.failing += count.failing;
    }
    let accounts = serve.routes.accounts().iter().map(|account| {
        let state = states.remove(&account.name);
        let waiting = waiting
            .get(account.name.as_str())
            .copied()
            .unwrap_or_default();
        standing(account, waiting, state, now)
    });
    Ok(Standings {
        accounts: accounts.collect(),
        unrouted,
    })
}

fn standing(
    account: &Arc<Account>,
    waiting: Waiting,
    state: Option<AccountState>,
    now: Time,
) -> Standing {
    let used = state
        .as_ref()
        .filter(|state| state.day == day_of(now))
        .map_or(0, |state| state.day_used);
    let used_last_minute = state
        .as_ref()
        .map_or(0, |state| state.calls_of_last_minute(now));
    let paused_until = state
        .as_ref()
        .and_then(|state| state.paused_until)
        .filter(|until| *until > now);
    let (reason, fails) = state.map_or((String::new(), 0), |state| {
        (state.pause_reason, state.fails)
    });
    Standing {
        account: Arc::clone(account),
        waiting,
        used_today: (account.limits.per_day > 0).then_some(used),
        used_last_minute,
        paused_until,
        pause_reason: if paused_until.is_some() {
            reason
        } else {
            String::new()
        },
        fails,
    }
}

/// Brings the metrics of the accounts up to date, at most every few seconds. A clone shares the last time.
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

    /// Measures, unless it was done a moment ago; where the database is away the last figures stay.
    pub async fn run(self) {
        let mut measured_at = self.measured_at.lock().await;
        if measured_at.is_some_and(|at| at.elapsed() < MEASURE_EVERY) {
            return;
        }
        match tokio::time::timeout(MEASURE_TIMEOUT, standings(&self.serve)).await {
            Ok(Ok(standings)) => {
                for standing in standings.accounts {
                    let name = &standing.account.name;
                    self.serve
                        .metrics
                        .due_trackings(name)
                        .set(standing.waiting.due);
                    self.serve
                        .metrics
                        .account_paused(name)
                        .set(standing.paused_until.is_some().into());
                }
            }
            Ok(Err(error)) => tracing::warn!(
                "the accounts' metrics stay as they were: {:#}",
                anyhow::Error::from(error)
            ),
            Err(_) => tracing::warn!(
                "the accounts' metrics stay as they were: no answer from the database"
            ),
        }
        *measured_at = Some(Instant::now());
    }
}
