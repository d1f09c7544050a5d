//! The limits that several subjects share: pinned statements alone, plain calls to the carriers, a plain topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use rskafka::BackoffConfig;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use trackbox::clock::machine_now;
use trackbox::model::tenant::Tenant;
use trackbox::store::{Connections, WholeStore};

use crate::engines::{self, Place};
use crate::http;
use crate::load::{Until, load};
use crate::parcels::{self, CARRIER, Carriers};
use crate::subjects::pinned::Pinned;

/// As `work` claims at a concurrency of 100, and as `consume` applies by default.
pub const CLAIM: usize = 100;
pub const APPLY: usize = 500;

/// How many calls to the carriers are under way, as `work` is told.
pub const CALLS: usize = 100;

/// The store, and parcels in it that are due.
pub async fn store_with(place: &Place, numbers: &[String]) -> anyhow::Result<WholeStore> {
    let store = WholeStore::open(&place.url, Connections::default()).await?;
    store.migrate().await?;
    for chunk in numbers.chunks(10_000) {
        store
            .create_or_get(Tenant::DEFAULT, &parcels::pairs(chunk)?, machine_now())
            .await?;
    }
    Ok(store)
}

/// Checks a second of the statements on this many connections side by side.
pub async fn statements(place: &Place, connections: usize) -> anyhow::Result<f64> {
    let mut tasks = Vec::new();
    for _ in 0..connections {
        tasks.push(tokio::spawn(Pinned::open(place).await?.run(CLAIM, APPLY)));
    }
    let began = Instant::now();
    let mut checked = 0;
    for ended in try_join_all(tasks).await? {
        checked += ended?;
    }
    Ok(checked as f64 / began.elapsed().as_secs_f64())
}

/// Calls a second to the carriers.
pub async fn calls(carriers: &Carriers, numbers: &[String]) -> anyhow::Result<f64> {
    let requests = numbers
        .iter()
        .map(|number| http::get(&format!("/v1/tracking/{CARRIER}/{number}")));
    let requests = Arc::new(requests.collect());
    let loaded = load(
        carriers.address,
        requests,
        CALLS,
        Until::Requests(numbers.len()),
    )
    .await?;
    Ok(loaded.per_sec)
}

/// A topic of one run.
pub struct Topic {
    partitions: Vec<(PartitionClient, i64)>,
}

impl Topic {
    pub async fn create(name: &str, partitions: i32) -> anyhow::Result<Self> {
        let backoff = BackoffConfig {
            deadline: Some(Duration::from_secs(10)),
            ..BackoffConfig::default()
        };
        let client = ClientBuilder::new(engines::brokers()?)
            .backoff_config(backoff)
            .build()
            .await?;
        let controller = client.controller_client()?;
        controller.create_topic(name, partitions, -1, 5_000).await?;
        let mut made = Vec::new();
        for partition in 0..partitions {
            let client = client
                .partition_client(name, partition, UnknownTopicHandling::Retry)
                .await?;
            made.push((client, 0));
        }
        Ok(Self { partitions: made })
    }

    /// Produces `count` checks, at most `batch` in a request, and fetches them; all partitions at once.
    pub async fn pass(&mut self, count: usize, batch: usize) -> anyhow::Result<()> {
        let share = count.div_ceil(self.partitions.len());
        try_join_all(
            self.partitions
                .iter_mut()
                .map(|(client, offset)| async move {
                    let now = machine_now();
                    for first in (0..share).step_by(batch) {
                        let ids = first..share.min(first + batch);
                        let records = ids.map(|id| Record {
                            key: Some(id.to_string().into_bytes()),
                            value: Some(parcels::record(id as i64, now)),
                            headers: BTreeMap::new(),
                            timestamp: now,
                        });
                        client
                            .produce(records.collect(), Compression::NoCompression)
                            .await?;
                    }
                    let end = *offset + share as i64;
                    while *offset < end {
                        let (records, _) = client.fetch_records(*offset, 1..1_000_000, 500).await?;
                        let last = records.last().context("a fetch without records")?;
                        *offset = last.offset + 1;
                    }
                    anyhow::Ok(())
                }),
        )
        .await?;
        Ok(())
    }
}
