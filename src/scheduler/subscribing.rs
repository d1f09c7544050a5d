//! Subscriptions to what carriers push: made, renewed before they end, and tried again if they fail.
//!
//! Which worker asks is decided in the store. A call takes a permit like any other, and its failure says nothing of the parcels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::archive::asked;
use crate::carriers::login::as_bytes;
use crate::carriers::routes::Route;
use crate::carriers::subscription::Callback;
use crate::carriers::{Asked, CarrierError};
use crate::metrics::SubscriptionOutcome;
use crate::model::{Tracking, clean_text};
use crate::scheduler::call::{Caller, Ended, voids};
use crate::scheduler::exchange::{NotAsked, Progress, record};
use crate::scheduler::lane::{Call, LEASE_MARGIN};
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::pauses::Told;
use crate::scheduler::permits::Permits;
use crate::scheduler::told::told_by_error;
use crate::store::subscriptions::{Ending, Subscribing};

/// How often a worker looks whether anything is to be subscribed.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The most calls that one look makes for a section.
const CALLS_MAX: usize = 10;

/// The most characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 500;

/// Makes a worker's subscriptions.
pub struct Subscriber {
    parts: SchedulerParts,
    caller: Arc<Caller>,
    permits: Arc<Permits>,
    lease: Duration,
    /// Whether the store knows where this worker has carriers push.
    is_known: AtomicBool,
}

impl Subscriber {
    /// That of a worker; `None` if no section subscribes.
    pub fn new(
        parts: &SchedulerParts,
        caller: &Arc<Caller>,
        permits: &Arc<Permits>,
        lease: Duration,
    ) -> Option<Arc<Self>> {
        let subscribes = parts.routes.all().any(|route| route.callback.is_some());
        subscribes.then(|| {
            Arc::new(Self {
                parts: parts.clone(),
                caller: Arc::clone(caller),
                permits: Arc::clone(permits),
                lease,
                is_known: AtomicBool::new(false),
            })
        })
    }

    /// Subscribes what is to be subscribed now.
    pub async fn look(&self) -> Ended {
        let routes = self.parts.routes.all();
        let subscribing = routes.filter_map(|route| Some((route, route.callback.as_deref()?)));
        let mut is_known = true;
        for (route, callback) in subscribing {
            if !self.is_known.load(Ordering::Relaxed) && !self.meet(route, callback).await {
                is_known = false;
                continue;
            }
            for _ in 0..CALLS_MAX {
                if !self.subscribe_next(route, callback).await {
                    break;
                }
            }
        }
        self.is_known.fetch_or(is_known, Ordering::Relaxed);
        Ended {
            trackings: 0,
            was_call: false,
        }
    }

    /// Tells the store where the section's carrier is to push, and by whose account. Answers whether it knows.
    async fn meet(&self, route: &Route, callback: &Callback) -> bool {
        let adapter = &route.adapter;
        let login = adapter.login().map(|login| login.request);
        let requests = adapter.subscribe(callback, &[]).into_iter().chain(login);
        let mut hash = Sha256::new();
        requests.for_each(|request| hash.update(as_bytes(&request)));
        let hash = hash.finalize();
        let address: String = hash[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let now = self.parts.clock.now();
        let meeting = self
            .parts
            .store
            .meet_subscription(&route.section, &address, now);
        let met = record(&route.account.name, "note a subscription", meeting);
        met.await.is_some()
    }

    /// Makes the section's next call. Answers whether there may be another one.
    async fn subscribe_next(&self, route: &Route, callback: &Callback) -> bool {
        let (account, clock) = (route.account.name.as_str(), &self.parts.clock);
        let Some(subscription) = route.adapter.subscription() else {
            return false;
        };
        let paused = self.caller.pauses.until(account);
        if paused.is_some_and(|until| until > clock.now()) {
            return false;
        }
        let (numbers, hold) = (subscription.numbers, clock.scaled(self.lease));
        let lease_ends = clock.monotonic() + self.lease;
        let store = &self.parts.store;
        let taking = store.take_subscriptions(&route.section, numbers, hold, clock.now());
        let Some(Some(held)) = record(account, "begin a subscription", taking).await else {
            return false;
        };
        let rows: Vec<Tracking> = held
            .rows
            .iter()
            .cloned()
            .map(|row| route.asked(row))
            .collect();
        let asked: Vec<Asked> = rows.iter().map(asked).collect();
        let outcome = |outcome| self.parts.metrics.subscriptions(&route.section, outcome);
        match self.ask(route, callback, &asked, lease_ends).await {
            Ok(refused) => {
                let ids = rows
                    .iter()
                    .zip(&asked)
                    .filter(|(_, it)| refused.contains(it));
                let not_taken: Vec<i64> = ids.map(|(row, _)| row.id).collect();
                let made = rows.len().max(1).saturating_sub(not_taken.len());
                outcome(SubscriptionOutcome::Made).inc_by(made as u64);
                outcome(SubscriptionOutcome::NotTaken).inc_by(not_taken.len() as u64);
                let (lasts, not_taken) = (subscription.lasts, not_taken.as_slice());
                self.end(route, &held, Ending::Made { lasts, not_taken })
                    .await;
                rows.len() == numbers && numbers > 0
            }
            Err(NotAsked::NoPermit) => {
                self.end(route, &held, Ending::Unmade).await;
                false
            }
            Err(NotAsked::NotLoggedIn(told)) => {
                self.caller.note_account(account, told, clock.now()).await;
                self.end(route, &held, Ending::Unmade).await;
                false
            }
            Err(NotAsked::Failed(error)) => {
                outcome(SubscriptionOutcome::Failed).inc();
                let reason = error.to_string();
                let section = route.section.as_str();
                tracing::warn!(
                    section,
                    "the carrier of {section} did not take a subscription: {reason}"
                );
                // Its checks find out the rest: an account may be asked for parcels, and not subscribe.
                if let Some(told @ Told::Pause { .. }) = told_by_error(&[], &error) {
                    self.caller.note_account(account, told, clock.now()).await;
                }
                let reason: String = clean_text(&reason).chars().take(REASON_CHARS_MAX).collect();
                self.end(route, &held, Ending::Failed { reason: &reason })
                    .await;
                false
            }
        }
    }

    /// Asks the carrier, and answers which of the numbers it does not take.
    async fn ask(
        &self,
        route: &Route,
        callback: &Callback,
        asked: &[Asked],
        lease_ends: Duration,
    ) -> Result<Vec<Asked>, NotAsked> {
        let unheld = CarrierError::Unreadable {
            reason: "a URL cannot hold the subscription".to_owned(),
        };
        let adapter = &route.adapter;
        let request = adapter.subscribe(callback, asked).ok_or(unheld)?;
        let latest = lease_ends.saturating_sub(route.timeout + LEASE_MARGIN);
        let grant = match self.permits.take_one(&route.account, latest).await {
            Ok(grant) => grant.ok_or(NotAsked::NoPermit)?,
            Err(error) => {
                let account = route.account.name.as_str();
                tracing::warn!(account, "cannot take a call of account {account}: {error}");
                return Err(NotAsked::NoPermit);
            }
        };
        let call = Call {
            route: route.clone(),
            trackings: Vec::new(),
            ticket: None,
            grant,
            was_split: false,
            gate: None,
            lease_ends,
        };
        let mut progress = Progress {
            unused: Some(grant),
            asked_at: self.parts.clock.now(),
            began: None,
            answer: None,
        };
        let mut has_new_token = false;
        let read = loop {
            let (answer, token) = match self.caller.answer(&call, &request, &mut progress).await {
                Ok(answered) => answered,
                Err(error) => break Err(error),
            };
            let read = adapter.read_subscription(callback, asked, &answer);
            let is_void = read.as_ref().is_err_and(|error| voids(&answer, error));
            match token.filter(|_| is_void && !has_new_token) {
                Some(token) => self.caller.logins.void(route, &token),
                None => break read.map_err(NotAsked::from),
            }
            has_new_token = true;
        };
        if let Some(grant) = progress.unused {
            self.caller.exchange.give_back(&call, grant).await;
        }
        read
    }

    async fn end(&self, route: &Route, held: &Subscribing, ending: Ending<'_>) {
        let now = self.parts.clock.now();
        let ending = self.parts.store.end_subscriptions(held, ending, now);
        record(&route.account.name, "note how a subscription went", ending).await;
    }
}
