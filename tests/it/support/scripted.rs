//! A carrier that answers as a test says, number by number, over a real socket.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One answer.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    pub kind: &'static str,
    /// The `Content-Encoding`; empty for none.
    pub encoding: &'static str,
    pub body: Vec<u8>,
}

impl Said {
    /// JSON with status 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            kind: "application/json",
            encoding: "",
            body: body.into(),
        }
    }

    /// A page that no carrier wrote.
    pub fn page(status: u16) -> Self {
        let page = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>";
        Self {
            status,
            kind: "text/html",
            ..Self::ok(page)
        }
    }
}

/// What is answered by number, and how often each was asked for.
#[derive(Clone, Default)]
pub struct Script {
    answers: Arc<Mutex<HashMap<String, Said>>>,
    asked: Arc<Mutex<HashMap<String, u32>>>,
}

impl Script {
    /// From now on this is said of `number`.
    pub fn say(&self, number: &str, said: Said) {
        self.answers.lock().insert(number.to_owned(), said);
    }

    /// How often all numbers together were asked for.
    pub fn calls(&self) -> u32 {
        self.asked.lock().values().sum()
    }
}

/// Serves a carrier of a test's own. Its address, and the guard with which it ends.
pub async fn serve(router: Router) -> (String, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("has an address"));
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
    });
    (url, stop.drop_guard())
}

/// Starts one that reads the number from the parameter `code` or `track`. It ends with the guard.
pub async fn start() -> (Script, String, DropGuard) {
    let script = Script::default();
    let router = Router::new().fallback(answer).with_state(script.clone());
    let (url, stop) = serve(router).await;
    (script, url, stop)
}

async fn answer(State(script): State<Script>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let number = pairs
        .into_iter()
        .find(|(name, _)| name == "code" || name == "track")
        .map(|(_, number)| number.into_owned())
        .unwrap_or_default();
    *script.asked.lock().entry(number.clone()).or_default() += 1;
    let Some(said) = script.answers.lock().get(&number).cloned() else {
        return StatusCode::IM_A_TEAPOT.into_response();
    };
    let mut response = Response::new(said.body.into());
    *response.status_mut() = StatusCode::from_u16(said.status).expect("a status");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(said.kind));
    if !said.encoding.is_empty() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(said.encoding));
    }
    response
}
