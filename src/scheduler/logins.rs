//! The accounts' tokens at work: one log-in at a time gets one, and all calls of all workers use it.
//!
//! The store says who may log in ([`begin_login`](crate::store::Store::begin_login)), which is the lock between workers. A
//! token is renewed after four fifths of its life by the first call that needs it; the others use the old one meanwhile.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::cache::tokens::Shelf;
use crate::cache::tokens::seal::Credentials;
use crate::carriers::login::{as_bytes, is_refusal};
use crate::carriers::routes::Route;
use crate::carriers::{CarrierError, Login};
use crate::clock::Time;
use crate::metrics::LoginOutcome;
use crate::model::token::Token;
use crate::scheduler::exchange::{Exchange, NotAsked, Progress, record};
use crate::scheduler::lane::Call;
use crate::scheduler::parts::SchedulerParts;
use crate::scheduler::pauses::Told;
use crate::scheduler::told::told_by_login;
use crate::store::logins::{Begun, Ending, Leave, LoginOf};

/// How long a log-in may take besides its wait for a call and its time limit: to connect, and to keep the token.
const HOLD_MARGIN: Duration = Duration::from_secs(5);

/// How often to look whether another worker has got the token: after this time, and up to twice of it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Gets the tokens for a worker's calls.
pub struct Logins {
    parts: SchedulerParts,
    exchange: Arc<Exchange>,
}

/// One call's need of its account's token.
struct Need<'a> {
    call: &'a Call,
    login: Login,
    shelf: Arc<Shelf>,
}

impl Logins {
    pub fn new(parts: SchedulerParts, exchange: Arc<Exchange>) -> Self {
        Self { parts, exchange }
    }

    /// The account's token, valid now.
    ///
    /// # Errors
    /// [`NotAsked::NotLoggedIn`] if the account cannot or must not log in; [`NotAsked::NoPermit`] if there is no time to.
    pub async fn token(
        &self,
        call: &Call,
        progress: &mut Progress,
    ) -> Result<Arc<Token>, NotAsked> {
        let login = call.route.adapter.login().ok_or(CarrierError::NoLogin)?;
        let shelf = self.shelf(&call.route, &login);
        let now = self.parts.clock.now();
        let held = shelf.held(now);
        let need = Need { call, login, shelf };
        match held {
            Some(token) if token.is_fresh(now) => Ok(token),
            Some(old) => Ok(self.renewed(&need, progress).await.unwrap_or(old)),
            None => self.first(&need, progress).await,
        }
    }

    /// Gives up a token that the carrier refused.
    pub fn void(&self, route: &Route, token: &Arc<Token>) {
        if let Some(login) = route.adapter.login() {
            self.shelf(route, &login).void(token);
        }
    }

    /// Ends the pauses of accounts whose credentials were refused and are others now. Answers whether the store knows all.
    pub async fn meet(&self) -> bool {
        let now = self.parts.clock.now();
        for route in self.parts.routes.all() {
            let Some(login) = route.adapter.login() else {
                continue;
            };
            let shelf = self.shelf(route, &login);
            let account = route.account.name.as_str();
            let meeting = self.parts.store.meet_credentials(of(&shelf), now);
            match record(account, "note the credentials", meeting).await {
                Some(true) => {
                    tracing::info!(
                        account,
                        "account {account} has new credentials: its pause ends"
                    );
                }
                Some(false) => {}
                None => return false,
            }
        }
        true
    }

    fn shelf(&self, route: &Route, login: &Login) -> Arc<Shelf> {
        let account = &route.account.name;
        let credentials = Credentials::new(account, &as_bytes(&login.request), &login.secret);
        self.parts.tokens.shelf(credentials)
    }

    /// A new token in place of one that is still valid; `None` if another call or worker is getting it, or if that fails.
    async fn renewed(&self, need: &Need<'_>, progress: &mut Progress) -> Option<Arc<Token>> {
        let _turn = need.shelf.free_turn()?;
        let now = self.parts.clock.now();
        if let Some(token) = need.shelf.fresh(now).await {
            return Some(token);
        }
        let Ok(Leave::Begun(begun)) = self.leave(need).await else {
            return None;
        };
        self.log_in(need, &begun, progress).await.ok()
    }

    /// The first token, or the next one after a pause. Waits for the call or the worker that is getting it.
    async fn first(
        &self,
        need: &Need<'_>,
        progress: &mut Progress,
    ) -> Result<Arc<Token>, NotAsked> {
        let clock = &self.parts.clock;
        let latest = need.call.latest_start();
        loop {
            if need.login.counts {
                // Before the turn: the calls that wait for it have the permits that this one would wait for.
                self.exchange.hold_permit(need.call, progress).await?;
            }
            let turn = tokio::select! {
                turn = need.shelf.turn() => turn,
                () = clock.sleep_until(latest) => return Err(NotAsked::NoPermit),
            };
            if let Some(token) = need.shelf.fresh(clock.now()).await {
                return Ok(token);
            }
            let held = progress.unused.map(|grant| grant.permit);
            let is_late = !held.is_some_and(|permit| permit.is_valid(clock.monotonic()));
            if need.login.counts && is_late {
                continue;
            }
            match self.leave(need).await? {
                Leave::Begun(begun) => return self.log_in(need, &begun, progress).await,
                Leave::Busy => drop(turn),
                Leave::Rest { until, reason } => return Err(rests(until - clock.now(), reason)),
                Leave::Spent { until } => {
                    let reason = "it has logged in as often as it may in an hour".to_owned();
                    return Err(rests(until - clock.now(), reason));
                }
            }
            let again = clock.monotonic() + LOOK_EVERY + jitter(need.call);
            if again > latest {
                return Err(NotAsked::NoPermit);
            }
            clock.sleep_until(again).await;
        }
    }

    /// Asks the store for leave to log in.
    async fn leave(&self, need: &Need<'_>) -> Result<Leave, NotAsked> {
        let clock = &self.parts.clock;
        let wait = need.call.latest_start().saturating_sub(clock.monotonic());
        let hold = clock.scaled(wait + need.call.route.timeout + HOLD_MARGIN);
        let is_limited = !need.login.counts;
        let store = &self.parts.store;
        let beginning = store.begin_login(of(&need.shelf), is_limited, hold, clock.now());
        let account = &need.call.route.account.name;
        let leave = record(account, "begin a log-in", beginning).await;
        leave.ok_or(NotAsked::NoPermit)
    }

    /// Logs in, unless another worker did so just before it was this one's turn.
    async fn log_in(
        &self,
        need: &Need<'_>,
        begun: &Begun,
        progress: &mut Progress,
    ) -> Result<Arc<Token>, NotAsked> {
        if let Some(token) = need.shelf.fresh(self.parts.clock.now()).await {
            self.end(need, begun, Ending::Unmade).await;
            return Ok(token);
        }
        let account = need.call.route.account.name.as_str();
        let sent = self.exchange.log_in(need.call, &need.login, progress).await;
        let adapter = &need.call.route.adapter;
        let read = match sent {
            Ok((answer, at)) => adapter.read_token(&need.login, &answer, at),
            Err(NotAsked::Failed(error)) => Err(error),
            Err(error) => {
                self.end(need, begun, Ending::Unmade).await;
                return Err(error);
            }
        };
        let error = match read {
            // Every call would log in again.
            Ok(token) if !token.is_valid(self.parts.clock.now()) => CarrierError::Unreadable {
                reason: "its token has ended already".to_owned(),
            },
            Ok(token) => {
                self.parts.metrics.logins(account, LoginOutcome::Good).inc();
                let token = need.shelf.keep(token).await;
                self.end(need, begun, Ending::Well).await;
                return Ok(token);
            }
            Err(error) => error,
        };
        self.parts.pricer.counter.failed(account, &error);
        tracing::warn!(account, "account {account} cannot log in: {error}");
        let reason = error.to_string();
        if !is_refusal(&error) {
            self.parts
                .metrics
                .logins(account, LoginOutcome::Failed)
                .inc();
            self.end(need, begun, Ending::Failed { reason }).await;
            return Err(NotAsked::NotLoggedIn(told_by_login(&error)));
        }
        self.parts
            .metrics
            .logins(account, LoginOutcome::Refused)
            .inc();
        let ending = Ending::Refused {
            reason: reason.clone(),
        };
        Err(match self.end(need, begun, ending).await {
            Some(until) => rests(until - self.parts.clock.now(), reason),
            None => NotAsked::NotLoggedIn(told_by_login(&error)),
        })
    }

    async fn end(&self, need: &Need<'_>, begun: &Begun, ending: Ending) -> Option<Time> {
        let now = self.parts.clock.now();
        let ending = self.parts.store.end_login(begun, ending, now);
        let account = &need.call.route.account.name;
        record(account, "note how a log-in went", ending)
            .await
            .flatten()
    }
}

fn of(shelf: &Shelf) -> LoginOf<'_> {
    LoginOf {
        account: &shelf.credentials.account,
        credentials: &shelf.credentials.name,
    }
}

/// The account must not log in for a while.
fn rests(wait: TimeDelta, reason: String) -> NotAsked {
    NotAsked::NotLoggedIn(Told::Rest {
        reason: format!("cannot log in: {reason}"),
        wait: wait.to_std().unwrap_or_default(),
    })
}

/// Spreads the looks of several workers.
fn jitter(call: &Call) -> Duration {
    let lease = call.trackings.first().and_then(|row| row.lease_id);
    let share = lease.map_or(0, |id| id.as_u128() % 100);
    LOOK_EVERY * u32::try_from(share).unwrap_or(0) / 100
}
