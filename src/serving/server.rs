//! Binds a port and serves a router on it, with limits on what a client can occupy.
//!
//! `axum::serve` can limit neither the time for the head of a request nor the number of connections, so the accept loop is
//! our own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;

use crate::config::Http;
use crate::metrics::Metrics;

/// The most bytes of a request's head, including the URL; hyper answers a longer one with 431 and closes the connection.
///
/// It checks between two reads, so up to twice as much may pass.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The pause after a failed accept, usually because the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The answer to a client if all connections are taken.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 121\r\n\r\n\
    {\"type\":\"urn:trackbox:problem:unavailable\",\"title\":\"Not available now\",\"status\":503,\
    \"detail\":\"all connections are taken\"}";

/// What a client can occupy.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections_max: usize,
    /// How long the head of a request may take; also how long a connection may be idle.
    header_timeout: Duration,
    /// How long a client may read nothing while its answer is being sent.
    stall_timeout: Duration,
    /// How long requests in progress may take to end when the server stops.
    stop_wait: Duration,
}

/// The router of a port. A clone is the same: each request goes to the router that was set last.
#[derive(Clone, Debug)]
pub struct Served(Arc<RwLock<Router>>);

impl Served {
    /// Answers all later requests with `router`, also those on connections that are open already.
    pub fn set(&self, router: Router) {
        *self.0.write() = router;
    }

    fn router(&self) -> Router {
        self.0.read().clone()
    }
}

/// A bound port and the router that is served on it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    served: Served,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Binds the address; port 0 is any free port.
    ///
    /// # Errors
    /// If the port is taken or the address does not belong to this machine.
    pub async fn bind(
        listen: SocketAddr,
        router: Router,
        http: &Http,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let listening = async {
            let listener = TcpListener::bind(listen).await?;
            let address = listener.local_addr()?;
            std::io::Result::Ok((listener, address))
        };
        let (listener, address) = listening
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        Ok(Self {
            listener,
            address,
            served: Served(Arc::new(RwLock::new(router))),
            limits: Limits {
                connections_max: http.connections_max,
                header_timeout: http.header_timeout.get(),
                stall_timeout: http.request_timeout.get(),
                stop_wait: http.stop_wait.get(),
            },
            metrics,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it serves.
    pub fn served(&self) -> Served {
        self.served.clone()
    }

    /// Serves until `stop`; then lets the requests in progress end, for a few seconds.
    ///
    /// # Errors
    /// None: a client can end its own connection at most.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => note_end(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() >= self.limits.connections_max => {
                        self.metrics.http_connections_refused().inc();
                        turn_away(stream);
                    }
                    Ok((stream, peer)) => {
                        let service = WithPeer { served: self.served.clone(), peer };
                        let open = Open::new(&self.metrics);
                        let conversation = converse(stream, service, self.limits, stop.clone());
                        connections.spawn(async move {
                            conversation.await;
                            drop(open);
                        });
                    }
                    Err(error) => {
                        tracing::warn!("cannot accept a connection on {}: {error}", self.address);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        let all_ended = async {
            while let Some(ended) = connections.join_next().await {
                note_end(ended);
            }
        };
        if tokio::time::timeout(self.limits.stop_wait, all_ended)
            .await
            .is_err()
        {
            tracing::warn!(
                "closed {} connections whose requests did not end within {} s",
                connections.len(),
                self.limits.stop_wait.as_secs_f64()
            );
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// An open connection, counted as long as this lives.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.http_connections().inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.http_connections().dec();
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("the task of a connection failed: {error}");
    }
}

/// Tells a client that all connections are taken, without waiting for it to read that.
fn turn_away(stream: TcpStream) {
    let told = stream
        .into_std()
        .and_then(|mut stream| stream.write_all(FULL));
    match told {
        Ok(()) => tracing::debug!("refused a connection: all are taken"),
        Err(error) => tracing::debug!("refused a connection without an answer: {error}"),
    }
}

/// Serves one connection until either side closes it.
async fn converse(stream: TcpStream, service: WithPeer, limits: Limits, stop: CancellationToken) {
    let peer = service.peer;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY for {peer}: {error}");
    }
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.stall_timeout));
    let stream = TokioIo::new(Box::pin(stream));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(stream, TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("the connection of {peer} failed: {error}");
    }
}

/// The port's router; it gets the address of the peer with each request.
#[derive(Clone, Debug)]
struct WithPeer {
    served: Served,
    peer: SocketAddr,
}

impl<B> tower::Service<Request<B>> for WithPeer
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = axum::routing::future::RouteFuture<std::convert::Infallible>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        // A router is always ready.
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        self.served.router().call(request)
    }
}

#[cfg(test)]
mod tests;
