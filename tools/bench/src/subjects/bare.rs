//! The limit of reading: a handler that looks ids up, in a map or by one MGET, and joins what it finds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use fred::prelude::{Client, KeysInterface as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::engines;

/// The most bytes of its address.
const ADDRESS_BYTES_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Bare {
    /// An answer of TrackBox: what to answer, parcel by parcel
    #[arg(long)]
    pub answer: PathBuf,
    /// What `GET /fixed` answers, without looking anything up: as much as the load itself can take
    #[arg(long)]
    pub fixed: PathBuf,
    /// Keep the parcels in Redis instead of a map
    #[arg(long)]
    pub redis: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    trackings: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Head {
    id: String,
}

#[derive(Deserialize)]
struct Request {
    ids: Vec<i64>,
}

enum Kept {
    Map(HashMap<i64, Bytes>),
    Redis(Client),
}

fn key(id: i64) -> String {
    format!("bare:{id}")
}

impl Bare {
    /// Serves until it is killed; its first line says where.
    pub async fn serve(self) -> anyhow::Result<()> {
        let answer = std::fs::read(&self.answer)?;
        let answer: Answer = serde_json::from_slice(&answer)?;
        let fixed = Bytes::from(std::fs::read(&self.fixed)?);
        let mut map = HashMap::new();
        for tracking in answer.trackings {
            let text = tracking.get().to_owned();
            let head: Head = serde_json::from_str(&text)?;
            map.insert(head.id.parse()?, Bytes::from(text));
        }
        let kept = match self.redis {
            None => Kept::Map(map),
            Some(url) => {
                let client = engines::redis(&url).await?;
                for (id, text) in map {
                    client
                        .set::<(), _, _>(key(id), text, None, None, false)
                        .await?;
                }
                Kept::Redis(client)
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                eprintln!("cannot set TCP_NODELAY: {error}");
            }
        });
        let router = Router::new()
            .route("/", post(answer_ids))
            .route("/fixed", get(async move || fixed.clone()))
            .with_state(Arc::new(kept));
        axum::serve(listener, router).await?;
        Ok(())
    }
}

async fn answer_ids(State(kept): State<Arc<Kept>>, Json(request): Json<Request>) -> Response {
    let found: Vec<Option<Bytes>> = match kept.as_ref() {
        Kept::Map(map) => request.ids.iter().map(|id| map.get(id).cloned()).collect(),
        Kept::Redis(client) => {
            let keys: Vec<String> = request.ids.into_iter().map(key).collect();
            match client.mget(keys).await {
                Ok(found) => found,
                Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
            }
        }
    };
    let mut body = Vec::with_capacity(
        found
            .iter()
            .flatten()
            .map(|text| text.len() + 1)
            .sum::<usize>()
            + 20,
    );
    body.extend_from_slice(b"{\"trackings\":[");
    for (place, text) in found.iter().flatten().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(text);
    }
    body.extend_from_slice(b"]}");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The handler in a process of its own, as TrackBox is.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
}

impl Running {
    pub async fn start(bare: &Bare) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare");
        command.arg("--answer").arg(&bare.answer);
        command.arg("--fixed").arg(&bare.fixed);
        if let Some(url) = &bare.redis {
            command.args(["--redis", url]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("has an output")?;
        let mut line = String::with_capacity(ADDRESS_BYTES_MAX);
        BufReader::new(output).read_line(&mut line).await?;
        let address = line
            .trim()
            .parse()
            .context("the bare handler did not start")?;
        Ok(Self { child, address })
    }

    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}
