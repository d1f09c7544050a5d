//! One request of a check and its answer: on an open connection, with a permit that is valid by then.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::carriers::{Answer, CarrierError, Login, Request};
use crate::clock::Time;
use crate::model::token::Token;
use crate::scheduler::lane::Call;
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::pauses::Told;
use crate::scheduler::permits::{Grant, Permits};
use crate::scheduler::sender::Sender;
use crate::store::error::StoreError;

/// How many connections a request may try: the server may close an idle one at the very moment it is used.
const CONNECTIONS_MAX: u32 = 3;

/// How long the database may take to record how a call went, or to release its leases.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// Why a check came to no answer.
#[derive(Debug)]
pub enum NotAsked {
    /// The account has no call left for its next step: neither the carrier's fault nor the parcels'.
    NoPermit,
    /// The account could not log in.
    NotLoggedIn(Told),
    Failed(CarrierError),
}

impl From<CarrierError> for NotAsked {
    fn from(error: CarrierError) -> Self {
        Self::Failed(error)
    }
}

/// How far a check has come.
pub struct Progress {
    /// The permit with which nothing was sent yet.
    pub unused: Option<Grant>,
    /// When the last request was sent.
    pub asked_at: Time,
    /// When the first request was sent, on the clock's monotonic time.
    pub began: Option<Duration>,
    /// The answer to the only request that was needed.
    pub answer: Option<Answer>,
}

/// What a request is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Check,
    /// A log-in takes a permit if the carrier counts it.
    Login {
        counts: bool,
    },
}

/// Makes the requests of a worker's checks.
pub struct Exchange {
    parts: SchedulerParts,
    permits: Arc<Permits>,
    sender: Sender,
}

impl Exchange {
    pub fn new(parts: SchedulerParts, permits: Arc<Permits>) -> Self {
        let sender = Sender::new(parts.clock.clone(), Arc::clone(&parts.connections));
        Self {
            parts,
            permits,
            sender,
        }
    }

    /// Sends a request of the check's adapter. `None` if the token ended while the request waited for its permit.
    pub async fn ask(
        &self,
        call: &Call,
        request: &Request,
        token: Option<&Token>,
        progress: &mut Progress,
    ) -> Result<Option<Answer>, NotAsked> {
        let sent = self.send(call, request, token, Kind::Check, progress);
        Ok(sent.await?.map(|(answer, _)| answer))
    }

    /// Sends the request of a log-in. Answers when it was sent, too.
    pub async fn log_in(
        &self,
        call: &Call,
        login: &Login,
        progress: &mut Progress,
    ) -> Result<(Answer, Time), NotAsked> {
        let kind = Kind::Login {
            counts: login.counts,
        };
        let sent = self.send(call, &login.request, None, kind, progress);
        sent.await?.ok_or_else(|| CarrierError::Closed.into())
    }

    async fn send(
        &self,
        call: &Call,
        request: &Request,
        token: Option<&Token>,
        kind: Kind,
        progress: &mut Progress,
    ) -> Result<Option<(Answer, Time)>, NotAsked> {
        let clock = &self.parts.clock;
        for _ in 0..CONNECTIONS_MAX {
            let connection = self.sender.connect(request).await?;
            let grant = match kind {
                Kind::Login { counts: false } => None,
                Kind::Check | Kind::Login { counts: true } => {
                    Some(self.permit(call, progress).await?)
                }
            };
            let (at, began) = (clock.now(), clock.monotonic());
            if token.is_some_and(|token| !token.is_valid(at)) {
                progress.unused = grant;
                return Ok(None);
            }
            let within = call.route.timeout;
            let sending = self.sender.send(connection, request, token, within);
            let answer = match sending.await {
                Ok(None) => {
                    progress.unused = grant.or(progress.unused.take());
                    continue;
                }
                Ok(Some(answer)) => Ok(Some((answer, at))),
                Err(error) => Err(error.into()),
            };
            let mut asks = 0;
            if kind == Kind::Check {
                if progress.began.is_none() && call.ticket.is_none() {
                    asks = call.trackings.len();
                }
                progress.asked_at = at;
                progress.began.get_or_insert(began);
            }
            if grant.is_some() {
                let account = &call.route.account.name;
                self.parts.pricer.counter.called(account, asks);
            }
            return answer;
        }
        Err(CarrierError::Closed.into())
    }

    /// Sees to it that the check has an unused permit, which may be valid for a moment only.
    pub async fn hold_permit(&self, call: &Call, progress: &mut Progress) -> Result<(), NotAsked> {
        let grant = self.permit(call, progress).await?;
        progress.unused = Some(grant);
        Ok(())
    }

    /// Takes the unused permit if it is still valid, or else the next one, for whose slot it waits as long as the lease
    /// allows.
    async fn permit(&self, call: &Call, progress: &mut Progress) -> Result<Grant, NotAsked> {
        let account = &call.route.account;
        if let Some(grant) = progress.unused.take() {
            let now = self.parts.clock.monotonic();
            if grant.permit.is_valid(now) && now <= call.latest_start() {
                return Ok(grant);
            }
            // Connecting took longer.
            self.give_back(call, grant).await;
        }
        match self.permits.take_one(account, call.latest_start()).await {
            Ok(Some(grant)) => Ok(grant),
            Ok(None) => Err(NotAsked::NoPermit),
            Err(error) => {
                let account = account.name.as_str();
                tracing::warn!(account, "cannot take a call of account {account}: {error}");
                Err(NotAsked::NoPermit)
            }
        }
    }

    /// Gives back a call that was not made. If that fails, it stays counted for the day.
    pub async fn give_back(&self, call: &Call, grant: Grant) {
        let account = &call.route.account;
        let grants = [grant];
        let giving_back = self.permits.give_back_counted(account, &grants);
        record(&account.name, "give back a call", giving_back).await;
    }
}

/// Waits for the database to record something, for a while only. If it does not, others learn of it later.
pub async fn record<T>(
    account: &str,
    what: &str,
    recording: impl Future<Output = Result<T, StoreError>>,
) -> Option<T> {
    let error = match timeout(RECORD_MAX, recording).await {
        Ok(Ok(recorded)) => return Some(recorded),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database did not answer in time".to_owned(),
    };
    tracing::warn!(account, "cannot {what} of account {account}: {error}");
    None
}
