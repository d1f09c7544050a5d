//! The layer before the routes that need a caller: it says who makes a request, by its key, and lets nobody else in.
//!
//! A port is open, and anyone who reaches it is [`Caller::open`], while two things hold: its address in the configuration is
//! a loopback one or `http.open` is set, and there has never been a key. In an open port no secret keeps web pages out, so
//! [`origin`] does.

mod failures;
pub mod origin;
mod ring;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Time};
use crate::config::Http;
use crate::metrics::Metrics;
use crate::model::key::ApiKey;
use crate::outage::Outage;
use crate::serving::access::failures::Failures;
use crate::serving::access::origin::Hosts;
use crate::serving::access::ring::{Known, Ring, Verdict};
use crate::serving::caller::Caller;
use crate::serving::flood::{Client, KnownKey};
use crate::serving::problem::{Kind, Problem};
use crate::store::Store;

/// How often the times of keys' last uses are stored, and acts that are too old deleted.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// How long that may take: at the stop the process waits for it.
const NOTE_MAX: Duration = Duration::from_secs(1);

/// How people are told to make a key.
pub const MAKE_A_KEY: &str =
    "make a key with `trackbox keys create --tenant default --name NAME --scope ADMIN --operator`";

/// How a client is told to send its key.
const SEND_THE_KEY: &str = "send your key in the header `Authorization: Bearer tbx_…`";

/// The keys of a process, for all its ports. Clones share what they know.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    ring: Ring,
    failures: Failures,
    clock: Clock,
    metrics: Arc<Metrics>,
    client: Client,
    hosts: Hosts,
    is_open: bool,
}

impl Access {
    /// Run its [`Access::run`] beside the servers.
    pub fn new(store: Store, clock: Clock, metrics: Arc<Metrics>, http: &Http) -> Self {
        Self(Arc::new(Inner {
            ring: Ring::new(store, clock.clone(), Arc::clone(&metrics)),
            failures: Failures::new(clock.clone()),
            clock,
            metrics,
            client: Client::new(http),
            hosts: Hosts::new(&http.hosts),
            is_open: http.open,
        }))
    }

    /// The gate of the port that is configured to listen there.
    pub fn at(&self, listen: SocketAddr) -> Gate {
        let is_loopback = listen.ip().to_canonical().is_loopback();
        Gate {
            access: self.clone(),
            is_loopback,
            may_be_open: is_loopback || self.0.is_open,
        }
    }

    /// Asks the database about every key again, since one was changed here.
    pub fn forget_keys(&self) {
        self.0.ring.forget();
    }

    /// Stores once a minute when keys were used, until `stop` and once more then, and deletes acts that are too old.
    pub async fn run(self, stop: CancellationToken) {
        let mut outage = Outage::new("noting when keys were used");
        let mut is_last = false;
        while !is_last {
            let pause = tokio::time::timeout(NOTE_EVERY, stop.cancelled());
            is_last = pause.await.is_ok();
            match tokio::time::timeout(NOTE_MAX, self.0.ring.note_uses()).await {
                Ok(Ok(())) => outage.over(),
                Ok(Err(error)) => outage.failed(error),
                Err(_) => outage.failed("the database did not answer in time"),
            }
        }
    }
}

/// Who may come in at one port.
#[derive(Clone)]
pub struct Gate {
    access: Access,
    is_loopback: bool,
    may_be_open: bool,
}

/// What a port is, for the start lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every request needs a key.
    Keyed,
    /// No request needs one, and only this machine reaches the port.
    OpenHere,
    /// No request needs one, and other machines may reach the port.
    OpenToAll,
    /// There is no key, and without one every request is refused.
    Shut,
}

impl Gate {
    /// Puts the gate before every route that `router` has.
    pub fn before(&self, router: Router) -> Router {
        router.route_layer(from_fn_with_state(self.clone(), admit))
    }

    /// Puts a layer around `router` that notes whose key a request has, for the flood guard inside: as far as the process knows
    /// without asking, since what asks is inside too.
    pub fn noting_keys(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), note_key))
    }

    /// For routes that need no key: keeps pages away that reach a loopback port by a name of their own.
    pub fn before_figures(&self, router: Router) -> Router {
        if self.is_loopback {
            router.route_layer(from_fn_with_state(self.clone(), own_hosts))
        } else {
            router
        }
    }

    /// # Errors
    /// If the database cannot be asked.
    pub async fn standing(&self) -> anyhow::Result<Standing> {
        let had_a_key = self.access.0.ring.had_a_key().await?;
        Ok(match (had_a_key, self.may_be_open, self.is_loopback) {
            (true, ..) => Standing::Keyed,
            (false, true, true) => Standing::OpenHere,
            (false, true, false) => Standing::OpenToAll,
            (false, false, _) => Standing::Shut,
        })
    }

    /// See [`Access::forget_keys`].
    pub fn forget_keys(&self) {
        self.access.forget_keys();
    }

    async fn admitted(&self, request: &Parts) -> Result<Admitted, Problem> {
        if request.uri.query().is_some_and(ApiKey::is_in) {
            return Err(self.refused(
                "in_url",
                format!("a key in a URL ends up in logs, so it is refused there: revoke it, make another, and {SEND_THE_KEY}"),
            ));
        }
        match bearer(&request.headers) {
            Given::Nothing => self.without_key(request).await.map(Admitted::open),
            Given::Key(text) => self.with_key(text, request).await,
            Given::Other => Err(self.refused("malformed", SEND_THE_KEY)),
        }
    }

    async fn without_key(&self, request: &Parts) -> Result<Caller, Problem> {
        let inner = &self.access.0;
        if inner.ring.had_a_key().await? {
            return Err(self.refused("missing", format!("this needs a key: {SEND_THE_KEY}")));
        }
        if !self.may_be_open {
            let detail = format!(
                "other machines may reach this port, and there is no key yet: {MAKE_A_KEY}, or set http.open = true if \
                 anyone who reaches it may do everything"
            );
            return Err(self.refused("missing", detail));
        }
        if let Some(name) = origin::proxy_header(&request.headers) {
            let detail = format!(
                "without a key only direct requests are answered, and the header {name} says that this one came through \
                 a proxy: {MAKE_A_KEY}"
            );
            return Err(self.refused("proxied", detail));
        }
        origin::check(request, &inner.hosts)?;
        Ok(Caller::open())
    }

    async fn with_key(&self, text: &str, request: &Parts) -> Result<Admitted, Problem> {
        let inner = &self.access.0;
        let Some(key) = ApiKey::parse(text) else {
            let detail = "this is not a key: it is mistyped or incomplete";
            return Err(self.failed(request, "malformed", detail));
        };
        let hash = key.hash();
        let verdict = match inner.ring.fresh(&hash) {
            Some(verdict) => verdict,
            None => {
                // A key that was known is asked about again whatever else its client sends: behind one address there may be
                // many clients.
                if inner.ring.remembered(&hash).is_none() {
                    self.check_failures(request)?;
                }
                inner.ring.look_up(hash).await?
            }
        };
        let Verdict::Known(known) = verdict else {
            return Err(self.failed(request, "unknown", "there is no such key"));
        };
        if let Some((reason, detail)) = not_in_force(&known, inner.clock.now()) {
            return Err(self.failed(request, reason, detail));
        }
        let caller = Caller {
            tenant: known.row.tenant,
            shop: known.tenant_code.clone(),
            key: Some(known.row.id),
            scope: known.row.scope,
            operator: known.row.is_operator,
            is_alone: known.tenant_is_alone,
        };
        Ok(Admitted {
            caller,
            limited: known.limited_now(),
        })
    }

    /// Counts a key that does not work; its client may only try a few.
    fn failed(&self, request: &Parts, reason: &str, detail: impl Into<String>) -> Problem {
        if let Err(blocked) = self.check_failures(request) {
            return blocked;
        }
        let inner = &self.access.0;
        inner
            .failures
            .note(inner.client.of(&request.extensions, &request.headers));
        self.refused(reason, detail)
    }

    fn check_failures(&self, request: &Parts) -> Result<(), Problem> {
        let inner = &self.access.0;
        match inner
            .failures
            .blocked_for(inner.client.of(&request.extensions, &request.headers))
        {
            None => Ok(()),
            Some(wait) => {
                inner.metrics.keys_refused("blocked").inc();
                let detail = "this client sent too many keys that do not work";
                Err(Problem::new(Kind::TooManyRequests, detail).retry_after(wait))
            }
        }
    }

    fn refused(&self, reason: &str, detail: impl Into<String>) -> Problem {
        self.access.0.metrics.keys_refused(reason).inc();
        Problem::new(Kind::Unauthorized, detail)
    }
}

/// Why a key that is known does not work, for metrics and for its owner.
fn not_in_force(known: &Known, now: Time) -> Option<(&'static str, String)> {
    let row = &known.row;
    if let Some(at) = row.revoked_at {
        Some(("revoked", format!("this key was revoked at {at}")))
    } else if row.expires_at.is_some_and(|at| at <= now) {
        Some(("expired", "this key has expired".to_owned()))
    } else if known.tenant_is_disabled {
        Some(("disabled", "the tenant of this key is disabled".to_owned()))
    } else {
        None
    }
}

/// A caller who may come in, unless the limit of the key says otherwise.
struct Admitted {
    caller: Caller,
    limited: Option<ring::Limited>,
}

impl Admitted {
    fn open(caller: Caller) -> Self {
        Self {
            caller,
            limited: None,
        }
    }
}

/// What stands in `Authorization`.
enum Given<'a> {
    Nothing,
    Key(&'a str),
    /// Another scheme, several headers, or bytes that are no text.
    Other,
}

fn bearer(headers: &HeaderMap) -> Given<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(header::AUTHORIZATION) {
            Given::Other
        } else {
            Given::Nothing
        };
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Given::Key(key.trim()),
        _ => Given::Other,
    }
}

async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    // Without the body, which other threads must not see.
    let (mut parts, body) = request.into_parts();
    let admitted = match gate.admitted(&parts).await {
        Ok(admitted) => admitted,
        Err(problem) => return problem.into_response(),
    };
    let limited = admitted.limited;
    let mut response = match limited.as_ref().and_then(ring::Limited::wait) {
        Some(wait) => {
            let detail = "this key makes too many requests";
            Problem::new(Kind::TooManyRequests, detail)
                .retry_after(wait)
                .into_response()
        }
        None => {
            parts.extensions.insert(admitted.caller);
            next.run(Request::from_parts(parts, body)).await
        }
    };
    if let Some(limited) = limited {
        for (name, value) in limited.headers() {
            // They consist of digits and plain letters.
            if let Ok(value) = HeaderValue::from_str(&value) {
                let name = HeaderName::from_static(name);
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

async fn note_key(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let inner = &gate.access.0;
    if let Given::Key(text) = bearer(request.headers())
        && let Some(key) = ApiKey::parse(text)
        && let Some(known) = inner.ring.remembered(&key.hash())
        && not_in_force(&known, inner.clock.now()).is_none()
    {
        request.extensions_mut().insert(KnownKey(known.row.id));
    }
    next.run(request).await
}

async fn own_hosts(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match origin::check_host(&parts, &gate.access.0.hosts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests;
