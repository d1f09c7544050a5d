//! Load: many connections that each ask again as soon as they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::http::Connection;
use crate::report::quantile;

/// When a load ends.
#[derive(Clone, Copy)]
pub enum Until {
    After(Duration),
    Requests(usize),
}

pub struct Loaded {
    pub per_sec: f64,
    pub p99_ms: f64,
}

/// Asks `requests` in turn over `connections`. Every answer must be good.
pub async fn load(
    to: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
    until: Until,
) -> anyhow::Result<Loaded> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(to).await?);
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in open {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        tasks.spawn(async move {
            let mut took_ms = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let ends = match until {
                    Until::After(time) => began.elapsed() >= time,
                    Until::Requests(most) => place >= most,
                };
                if ends {
                    return anyhow::Ok(took_ms);
                }
                let asked = Instant::now();
                let answer = connection.ask(&requests[place % requests.len()]).await?;
                took_ms.push(asked.elapsed().as_secs_f64() * 1e3);
                ensure!(answer.status < 300, "answered {}", answer.status);
            }
        });
    }
    let mut took_ms = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        took_ms.extend(ended??);
    }
    Ok(Loaded {
        per_sec: took_ms.len() as f64 / began.elapsed().as_secs_f64(),
        p99_ms: quantile(&took_ms, 0.99),
    })
}
