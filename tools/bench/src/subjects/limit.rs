//! The limits that several subjects share: the store's statements alone, plain calls to the carriers, a plain topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use rskafka::BackoffConfig;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use trackbox::clock::machine_now;
use trackbox::store::claims::{Claim, Early, Take};
use trackbox::store::partitions::Ownership;
use trackbox::store::updates::Batch;
use trackbox::store::{Connections, WholeStore};
use uuid::Uuid;

use crate::engines::{self, Place};
use crate::http;
use crate::load::{Until, load};
use crate::parcels::{self, CARRIER, Carriers};

/// As `work` claims at a concurrency of 100, and as `consume` applies by default.
pub const CLAIM: usize = 100;
pub const APPLY: usize = 500;

/// How many calls to the carriers are under way, as `work` is told.
pub const CALLS: usize = 100;

const LEASE: Duration = Duration::from_secs(120);

/// The store, and parcels in it that are due.
pub async fn store_with(place: &Place, numbers: &[String]) -> anyhow::Result<WholeStore> {
    let store = WholeStore::open(&place.url, Connections::default()).await?;
    store.migrate().await?;
    for chunk in numbers.chunks(10_000) {
        store
            .create_or_get(&parcels::pairs(chunk)?, machine_now())
            .await?;
    }
    Ok(store)
}

/// Claims and applies as a worker and a consumer would, without anything between them.
pub struct Statements {
    store: WholeStore,
    ownership: Ownership,
    offset: i64,
    /// The time of the statements alone.
    pub spent: Duration,
}

impl Statements {
    pub async fn new(store: &WholeStore, partition: i32) -> anyhow::Result<Self> {
        let taken = store.take_partition("limit", partition, Uuid::now_v7(), machine_now());
        let (ownership, offset) = taken.await?;
        Ok(Self {
            store: store.clone(),
            ownership,
            offset,
            spent: Duration::ZERO,
        })
    }

    /// Takes at most `claim` parcels at a time, `apply` in all, and applies their checks; how many there were.
    pub async fn step(&mut self, claim: usize, apply: usize) -> anyhow::Result<usize> {
        let carriers = [parcels::carrier()];
        let mut ids = Vec::new();
        while ids.len() < apply {
            let began = Instant::now();
            let claimed = self.store.claim(
                Claim {
                    carriers: &carriers,
                    limit: u32::try_from(claim)?,
                    take: Take::Due {
                        unanswered_max: u32::try_from(claim)?,
                        early: Early::Fill { per_call: 1 },
                    },
                },
                machine_now(),
                LEASE,
            );
            let claimed = claimed.await?.trackings;
            self.spent += began.elapsed();
            if claimed.is_empty() {
                break;
            }
            ids.extend(claimed.iter().map(|tracking| tracking.id));
        }
        if ids.is_empty() {
            return Ok(0);
        }
        let now = machine_now();
        let updates: anyhow::Result<_> = ids.iter().map(|id| parcels::update(*id, now)).collect();
        let next_offset = self.offset + ids.len() as i64;
        let batch = Batch {
            ownership: self.ownership.clone(),
            first_offset: self.offset,
            next_offset,
            updates: updates?,
            dead_letters: Vec::new(),
        };
        let began = Instant::now();
        let applied = self.store.apply(&batch, now, async |_| {}).await?;
        self.spent += began.elapsed();
        ensure!(
            applied.changes.len() == ids.len(),
            "not all checks took effect"
        );
        self.offset = next_offset;
        Ok(ids.len())
    }

    /// Steps until nothing is due.
    async fn run(mut self) -> anyhow::Result<(usize, Duration)> {
        let mut checked = 0;
        loop {
            match self.step(CLAIM, APPLY).await? {
                0 => return Ok((checked, self.spent)),
                count => checked += count,
            }
        }
    }
}

/// Checks a second of the statements on one connection.
pub async fn statements_in_turn(store: &WholeStore) -> anyhow::Result<f64> {
    let (checked, spent) = Statements::new(store, 0).await?.run().await?;
    Ok(checked as f64 / spent.as_secs_f64())
}

/// Checks a second of the statements on four connections side by side.
pub async fn statements_side_by_side(store: &WholeStore) -> anyhow::Result<f64> {
    let mut tasks = Vec::new();
    for partition in 0..4 {
        tasks.push(tokio::spawn(Statements::new(store, partition).await?.run()));
    }
    let began = Instant::now();
    let mut checked = 0;
    for ended in try_join_all(tasks).await? {
        checked += ended?.0;
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
