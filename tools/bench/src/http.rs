//! A plain HTTP/1.1 client on one connection that stays open: no more work than the measurement needs.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trackbox::model::key::ApiKey;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The largest answer.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Of every `trackbox` that is measured: an installation of use has keys.
pub static KEY: LazyLock<ApiKey> = LazyLock::new(|| ApiKey::generate().expect("has randomness"));

fn common_headers() -> String {
    format!("host: bench\r\nauthorization: Bearer {}\r\n", KEY.expose())
}

/// A request's bytes.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{}\r\n", common_headers()).into_bytes()
}

/// A request's bytes, with a JSON body.
pub fn post(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    let headers = common_headers();
    format!(
        "POST {path} HTTP/1.1\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub struct Connection {
    stream: TcpStream,
    /// What was read and not taken yet.
    read: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a good answer.
    pub fn json(&self) -> anyhow::Result<Value> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!(self.status < 300, "answered {}: {text}", self.status);
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl Connection {
    pub async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::new(),
        })
    }

    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let answer = timeout(ANSWER_MAX, async {
            self.stream.write_all(request).await?;
            self.answer().await
        });
        answer.await.context("no answer in time")?
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        let head = self.take_through(b"\r\n\r\n").await?;
        let head = String::from_utf8(head)?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let header = |name: &str| {
            let mut lines = head.lines();
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let body = if let Some(length) = header("content-length") {
            let length = length.parse()?;
            self.take(length).await?
        } else if header("transfer-encoding") == Some("chunked") {
            self.chunks().await?
        } else {
            bail!("an answer of unknown length: {head}");
        };
        Ok(Answer { status, body })
    }

    async fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_through(b"\r\n").await?;
            let length = usize::from_str_radix(std::str::from_utf8(&line)?.trim(), 16)?;
            let chunk = self.take(length + 2).await?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
            ensure!(body.len() <= BYTES_MAX, "an answer that is too long");
        }
    }

    /// Takes all up to and with `end`.
    async fn take_through(&mut self, end: &[u8]) -> anyhow::Result<Vec<u8>> {
        loop {
            let found = self
                .read
                .windows(end.len())
                .position(|window| window == end);
            if let Some(place) = found {
                return self.take(place + end.len()).await;
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        ensure!(length <= BYTES_MAX, "an answer that is too long");
        while self.read.len() < length {
            self.more().await?;
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        self.read.reserve(64 * 1024);
        let read = self.stream.read_buf(&mut self.read).await?;
        ensure!(read > 0, "the connection was closed");
        Ok(())
    }
}

/// One request on a connection of its own.
pub async fn once(to: SocketAddr, request: &[u8]) -> anyhow::Result<Value> {
    Connection::open(to).await?.ask(request).await?.json()
}
