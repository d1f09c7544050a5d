//! Open connections to the carriers' servers.
//!
//! Connecting takes several round trips (DNS, TCP, TLS) and is no call, so it has a time-out of its own and needs no
//! permit. A call then sends on a connection that is open: what it sends is on its way once.
//!
//! HTTP clients do not show when a connection is open and nothing is sent yet, so the pool is our own. It speaks HTTP/1.1:
//! every server does, a connection carries one request at a time, and a request that was not sent at all can be told from
//! one that may have arrived. No task runs behind a connection: its user moves its bytes. An idle one is looked at
//! when it is wanted again.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::iter::successors;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::poll_fn;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use parking_lot::Mutex;
use reqwest::Url;
use rustls::ClientConfig;
use tokio::time::timeout;
use tower::ServiceExt as _;

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The most idle connections that are kept to one server.
const IDLE_MAX: usize = 100;

/// How often an unused connection is probed, so that networks do not forget it.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Why there is no connection, or no answer on one.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("no connection within {} s", CONNECT_MAX.as_secs())]
    ConnectTimeout,
    /// Nothing of the request was sent: the server had closed the idle connection.
    #[error("the connection was closed before the request was sent")]
    Unsent,
    /// The connection ended before the answer began.
    #[error("the connection was closed before an answer")]
    Closed,
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// The answer cannot be decompressed.
    #[error("{0}")]
    Coding(String),
    /// The innermost reason alone: the others may hold the URL, which may hold a key.
    #[error("{0}")]
    Failed(String),
}

/// The idle connections, and the way to open more.
pub struct Connections {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    /// The proxies for https.
    proxies: Matcher,
    /// By origin; the one that was used last stands last.
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

/// An open connection, for one request at a time.
pub struct Connection {
    origin: String,
    requests: SendRequest<Full<Bytes>>,
    driver: Driver,
    used_at: Instant,
}

/// Moves the bytes of a connection; `None` once it has ended.
struct Driver(Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>);

impl Driver {
    /// Waits for `work` and moves the connection's bytes meanwhile.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Some(driver) = &mut self.0
                && driver.as_mut().poll(cx).is_ready()
            {
                // Its error reaches `work` too.
                self.0 = None;
            }
            work.as_mut().poll(cx)
        })
        .await
    }
}

impl Connections {
    pub fn new(mut tls: ClientConfig, proxies: Matcher) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        Self {
            tcp,
            tls: Arc::new(tls),
            proxies,
            idle: Mutex::default(),
        }
    }

    /// A connection to the server of `url`: an idle one, or a new one.
    ///
    /// # Errors
    /// [`WireError::ConnectTimeout`] or [`WireError::Failed`].
    pub async fn open(&self, url: &Url) -> Result<Connection, WireError> {
        let origin = url.origin().ascii_serialization();
        while let Some(mut connection) = self.take_idle(&origin) {
            if connection.is_ready() {
                return Ok(connection);
            }
        }
        timeout(CONNECT_MAX, self.connect(origin))
            .await
            .unwrap_or(Err(WireError::ConnectTimeout))
    }

    /// Keeps a connection for the next request if it is still open.
    pub fn keep(&self, mut connection: Connection) {
        let now = Instant::now();
        connection.used_at = now;
        let mut idle = self.idle.lock();
        idle.retain(|_, connections| {
            connections.retain(|it| now.duration_since(it.used_at) < IDLE_TIMEOUT);
            !connections.is_empty()
        });
        let same = idle.entry(connection.origin.clone()).or_default();
        if same.len() < IDLE_MAX && connection.is_ready() {
            same.push(connection);
        }
    }

    fn take_idle(&self, origin: &str) -> Option<Connection> {
        let connection = self.idle.lock().get_mut(origin)?.pop()?;
        (connection.used_at.elapsed() < IDLE_TIMEOUT).then_some(connection)
    }

    async fn connect(&self, origin: String) -> Result<Connection, WireError> {
        let uri: Uri = origin
            .parse()
            .map_err(|_| WireError::Failed("the address has no host".to_owned()))?;
        let is_https = uri.scheme_str() == Some("https");
        let (tcp, tls) = (self.tcp.clone(), Arc::clone(&self.tls));
        let stream = match self.proxies.intercept(&uri).filter(|_| is_https) {
            None => HttpsConnector::from((tcp, tls)).oneshot(uri).await,
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                HttpsConnector::from((tunnel, tls)).oneshot(uri).await
            }
        };
        let stream = stream.map_err(|error| failed(&*error))?;
        let (requests, driver) = http1::handshake(stream).await.map_err(|e| failed(&e))?;
        Ok(Connection {
            origin,
            requests,
            driver: Driver(Some(Box::pin(driver))),
            used_at: Instant::now(),
        })
    }
}

impl Connection {
    /// Whether a request can be sent: it is open, and the last answer was read to its end.
    fn is_ready(&mut self) -> bool {
        let ready = self.driver.during(self.requests.ready());
        matches!(ready.now_or_never(), Some(Ok(())))
    }

    /// Sends a request, whose URI has a path alone, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`WireError::Unsent`], [`WireError::Closed`] or [`WireError::Failed`]. The connection is of no more use then.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, WireError> {
        // The server may have closed it while the caller waited for a permit.
        if !self.is_ready() {
            return Err(WireError::Unsent);
        }
        let sending = self.requests.try_send_request(request);
        let answer = self.driver.during(sending).await;
        answer.map_err(|mut error| match error.take_message() {
            Some(_) => WireError::Unsent,
            None if is_end(error.error()) => WireError::Closed,
            None => failed(error.error()),
        })
    }

    /// Reads the body of the answer, at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`WireError::TooLong`] or [`WireError::Failed`]. The connection is of no more use then.
    pub async fn read(&mut self, body: Incoming, bytes_max: usize) -> Result<Bytes, WireError> {
        let reading = Limited::new(body, bytes_max).collect();
        let read = self.driver.during(reading).await;
        let read = read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => WireError::TooLong(bytes_max),
            None => failed(&*error),
        })?;
        Ok(read.to_bytes())
    }
}

fn failed(error: &(dyn Error + 'static)) -> WireError {
    let innermost = chain(error).last().unwrap_or(error);
    WireError::Failed(innermost.to_string())
}

/// Whether the server ended the connection.
fn is_end(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        let ended = [
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::UnexpectedEof,
        ];
        let is_incomplete = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_incomplete_message);
        let is_broken = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| ended.contains(&error.kind()));
        is_incomplete || is_broken
    })
}

/// An error and its sources, the innermost last.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}

#[cfg(test)]
mod tests;
