//! Serves an emulator on a port. It can close a connection without an answer, which axum's own server cannot.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::emulator::Emulator;
use crate::http::deliver::CloseConnection;
use crate::http::router;

/// The pause after a connection could not be accepted, usually because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long requests in flight may take to finish when the server stops.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// Serves until `stop`, then gives requests in flight a second to finish.
pub async fn serve(
    emulator: Emulator,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = router(emulator);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
        tracing::debug!("closed connections whose requests did not finish");
    }
    Ok(())
}

async fn connection(stream: TcpStream, router: axum::Router, stop: CancellationToken) {
    // Answers are small and written at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY: {error}");
    }
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            if response.extensions().get::<CloseConnection>().is_some() {
                return Err(std::io::Error::other("closed on purpose"));
            }
            Ok::<Response<Body>, std::io::Error>(response)
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}
