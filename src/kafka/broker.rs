//! The bus on Apache Kafka, by rskafka.
//!
//! rskafka gives no call a deadline, retries some errors and not others, and writes what lies between its buffer and a
//! TCP segment 44 ms late. So every call here has a deadline, a connection that failed is dropped, and a partition's
//! records travel in small requests, several under way at once. Nothing connects before it is used: a broker that is away
//! at the start is one that is away later.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError, RequestError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::{Record as WireRecord, RecordAndOffset};
use tokio::time::timeout;

use crate::clock::{Clock, cut};
use crate::kafka::{BusError, Fetched, Outgoing, Record, partition_of};

/// How long one request may take; measured: a broker that was killed and is back answers a fresh call in 0.3 s, while
/// the call begun meanwhile never ends.
const CALL_MAX: Duration = Duration::from_secs(5);

/// How long publishing may take with all its retries: less than a worker's lease.
const PUBLISH_MAX: Duration = Duration::from_secs(8);

/// The pause before a failed request is sent again; it doubles.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// The most bytes of records in one request: with its head it stays below rskafka's 8 KiB buffer, so that it leaves in
/// one write. From there to a segment's size Nagle's algorithm holds the second write back for 44 ms.
const REQUEST_BYTES_MAX: usize = 7_000;

/// What a record costs in a request besides its key and value.
const RECORD_BYTES: usize = 40;

/// How many requests are under way at once.
const IN_FLIGHT: usize = 16;

/// The most bytes fetched at once, but for a larger batch, which comes whole.
const FETCH_BYTES_MAX: i32 = 1_000_000;

/// How often the partitions are counted again: a topic may get more.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// How often a broker that is away is asked whether it is back, and how long it may take to answer.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);

/// How many offsets that cannot be decoded are passed over in one fetch: more than a batch holds.
const SKIPPED_MAX: i64 = 10_000;

/// What rskafka 0.6.0 says of the mark that ends a transaction, which it cannot decode (tried on Kafka 4.1, 2026-11-23).
const CONTROL_BATCH: &str = "control batch";

/// Records, and the end of the partition.
type Batch = (Vec<RecordAndOffset>, i64);

/// Where the topic is, and how to get in.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// As `host:port`.
    pub brokers: Vec<String>,
    pub topic: String,
    /// How many partitions the topic gets where it is created.
    pub partitions: i32,
    /// In the open without it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub sasl: Option<Sasl>,
}

/// How a client says who it is.
#[derive(Clone)]
pub struct Sasl {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as {}", self.mechanism, self.user)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// The topic on its brokers.
pub struct Broker {
    settings: BrokerSettings,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    client: Option<Arc<Client>>,
    /// A connection each: a fetch that waits would hold back what is published behind it.
    writers: BTreeMap<i32, Arc<PartitionClient>>,
    readers: BTreeMap<i32, Arc<PartitionClient>>,
    partitions: i32,
    counted: Option<Instant>,
    /// Since when calls fail, and when it was last asked whether they still do.
    away: Option<(Instant, Instant)>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.settings)
    }
}

impl Broker {
    pub fn new(settings: BrokerSettings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            state: Mutex::default(),
        }
    }

    pub fn topic(&self) -> &str {
        &self.settings.topic
    }

    /// The partitions as last counted; none before [`Broker::prepare`] has succeeded once.
    pub fn partitions(&self) -> Vec<i32> {
        (0..self.lock().partitions).collect()
    }

    /// Creates the topic where it is missing, and counts its partitions where that was long ago.
    ///
    /// # Errors
    /// [`BusError::Away`] where no broker answers, or the topic cannot be created.
    pub async fn prepare(&self) -> Result<(), BusError> {
        let fresh = self
            .lock()
            .counted
            .is_some_and(|at| at.elapsed() < COUNT_EVERY);
        if fresh {
            return Ok(());
        }
        let counted = self
            .within("prepare the topic", CALL_MAX * 2, self.count())
            .await?;
        let mut state = self.lock();
        state.partitions = counted;
        state.counted = Some(Instant::now());
        Ok(())
    }

    async fn count(&self) -> Result<i32, Error> {
        let client = self.client().await?;
        loop {
            let topics = client.list_topics().await?;
            if let Some(topic) = topics.iter().find(|topic| topic.name == self.topic()) {
                // Kafka counts partitions from 0 without gaps.
                return Ok(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
            }
            let controller = client.controller_client()?;
            // As many copies as the brokers are set to make.
            let created = controller
                .create_topic(self.topic(), self.settings.partitions, -1, 5_000)
                .await;
            match created {
                Ok(()) => tracing::info!(
                    "created the topic {} with {} partitions",
                    self.topic(),
                    self.settings.partitions
                ),
                Err(error) if is(&error, ProtocolError::TopicAlreadyExists) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// See [`crate::kafka::Bus::is_ready`].
    pub async fn is_ready(&self) -> bool {
        {
            let mut state = self.lock();
            match state.away {
                None if state.partitions > 0 => return true,
                None => {}
                Some((_, asked)) if asked.elapsed() < PROBE_EVERY => return false,
                Some((since, _)) => state.away = Some((since, Instant::now())),
            }
            state.counted = None;
        }
        matches!(timeout(PROBE_MAX, self.prepare()).await, Ok(Ok(())))
    }

    /// See [`crate::kafka::Bus::publish`]. Records of one key may end in another order where a request had to be
    /// sent again: consumers go by what a record says, not by its place.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        self.prepare().await?;
        let deadline = Instant::now() + PUBLISH_MAX;
        let mut pending = self.requests(records);
        let mut refused = None;
        let mut pause = RETRY_FIRST;
        loop {
            self.connect_writers(&pending).await;
            let sent: Vec<_> = futures_util::stream::iter(pending)
                .map(|request| async { (self.produce(&request).await, request) })
                .buffer_unordered(IN_FLIGHT)
                .collect()
                .await;
            let mut failed = None;
            pending = Vec::new();
            for (result, request) in sent {
                match result {
                    Ok(()) => {}
                    Err(error @ BusError::TooLarge { .. }) => refused = Some(error),
                    Err(error) => {
                        failed = Some(error);
                        pending.push(request);
                    }
                }
            }
            match failed {
                None => return refused.map_or(Ok(()), Err),
                Some(error) if Instant::now() + pause >= deadline => return Err(error),
                Some(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }

    /// Connects to where `requests` go, each once: requests that share a connection keep their order. What cannot be
    /// connected is told by the requests.
    async fn connect_writers(&self, requests: &[(i32, Vec<WireRecord>)]) {
        let mut partitions: Vec<i32> = requests.iter().map(|(partition, _)| *partition).collect();
        partitions.dedup();
        let connecting = partitions.into_iter().map(|partition| async move {
            let connecting = self.partition_client(partition, |state| &mut state.writers);
            if let Ok(Err(error)) = timeout(CALL_MAX, connecting).await {
                tracing::debug!("cannot connect to partition {partition}: {error}");
            }
        });
        join_all(connecting).await;
    }

    /// The records by partition, in requests of [`REQUEST_BYTES_MAX`]; a larger record goes alone.
    fn requests(&self, records: Vec<Outgoing>) -> Vec<(i32, Vec<WireRecord>)> {
        let partitions = self.lock().partitions;
        let timestamp = self.clock.now();
        let mut by_partition: BTreeMap<i32, Vec<Vec<WireRecord>>> = BTreeMap::new();
        for record in records {
            let requests = by_partition
                .entry(partition_of(&record.key, partitions))
                .or_default();
            let size = |r: &WireRecord| r.approximate_size() + RECORD_BYTES;
            let record = WireRecord {
                key: Some(record.key),
                value: Some(record.value),
                headers: BTreeMap::new(),
                timestamp,
            };
            match requests.last_mut() {
                Some(last)
                    if last.iter().map(size).sum::<usize>() + size(&record)
                        <= REQUEST_BYTES_MAX =>
                {
                    last.push(record);
                }
                _ => requests.push(vec![record]),
            }
        }
        by_partition
            .into_iter()
            .flat_map(|(partition, requests)| requests.into_iter().map(move |r| (partition, r)))
            .collect()
    }

    async fn produce(&self, (partition, records): &(i32, Vec<WireRecord>)) -> Result<(), BusError> {
        let partition = *partition;
        let sending = async {
            let writer = self
                .partition_client(partition, |state| &mut state.writers)
                .await?;
            writer
                .produce(records.clone(), Compression::NoCompression)
                .await
        };
        let sent = timeout(CALL_MAX, sending)
            .await
            .unwrap_or(Err(Error::Timeout));
        match sent {
            Ok(_) => {
                self.back();
                Ok(())
            }
            Err(error) if is(&error, ProtocolError::MessageTooLarge) => Err(BusError::TooLarge {
                size_bytes: records.iter().map(WireRecord::approximate_size).sum(),
                // The broker's setting; it does not tell.
                limit_bytes: 1 << 20,
            }),
            Err(error) => {
                self.lock().writers.remove(&partition);
                Err(self.failed("publish", &error))
            }
        }
    }

    /// See [`crate::kafka::Bus::fetch`].
    pub async fn fetch(
        &self,
        partition: i32,
        offset: i64,
        limit: usize,
        wait: Duration,
    ) -> Result<Fetched, BusError> {
        let mut from = offset;
        let mut unreadable = None;
        let mut fetched = self
            .fetch_once(partition, from, FETCH_BYTES_MAX, wait)
            .await;
        match fetched {
            Err(error) if is(&error, ProtocolError::OffsetOutOfRange) => {
                let range = self.back_in_range(partition, offset);
                from = self.within("find the offset", CALL_MAX * 3, range).await?;
                fetched = self
                    .fetch_once(partition, from, FETCH_BYTES_MAX, wait)
                    .await;
            }
            Err(error) if is_undecodable(&error) => {
                (from, unreadable, fetched) = self.past_unreadable(partition, offset, wait).await;
            }
            Ok(_) | Err(_) => {}
        }
        match fetched {
            Ok((records, high_watermark)) => {
                self.back();
                Ok(Fetched {
                    from,
                    records: records
                        .into_iter()
                        .filter(|record| record.offset >= from)
                        .take(limit)
                        .map(|record| Record {
                            offset: record.offset,
                            key: record.record.key,
                            value: record.record.value,
                            timestamp: cut(record.record.timestamp),
                        })
                        .collect(),
                    unreadable,
                    high_watermark,
                })
            }
            Err(error) => {
                self.lock().readers.remove(&partition);
                Err(self.failed("fetch", &error))
            }
        }
    }

    /// Goes on from `offset` batch by batch, past those that rskafka cannot decode: the marks that end a transaction, one
    /// offset each, and what else nobody foresaw. Answers where it got to, and why what lies between is not there.
    ///
    /// A batch comes whole from any offset in it, so the first offset that can be read is the one after the bad batch.
    async fn past_unreadable(
        &self,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> (i64, Option<String>, Result<Batch, Error>) {
        let mut unreadable = None;
        for from in offset.. {
            // A connection that read nonsense is not used again.
            self.lock().readers.remove(&partition);
            let fetched = self.fetch_once(partition, from, 2, wait).await;
            match fetched {
                Err(error) if is_undecodable(&error) && from - offset < SKIPPED_MAX => {
                    let reason = reason(&error);
                    if !reason.contains(CONTROL_BATCH) {
                        unreadable = Some(reason);
                    }
                }
                fetched => return (from, unreadable, fetched),
            }
        }
        (offset, unreadable, Err(Error::Timeout))
    }

    async fn fetch_once(
        &self,
        partition: i32,
        offset: i64,
        bytes_max: i32,
        wait: Duration,
    ) -> Result<Batch, Error> {
        let fetching = async {
            let reader = self
                .partition_client(partition, |state| &mut state.readers)
                .await?;
            let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
            reader.fetch_records(offset, 1..bytes_max, wait_ms).await
        };
        timeout(wait + CALL_MAX, fetching)
            .await
            .unwrap_or(Err(Error::Timeout))
    }

    /// Where to go on when `offset` is out of range: the earliest record that is kept, or `offset` itself where the
    /// broker has come to know it meanwhile.
    async fn back_in_range(&self, partition: i32, offset: i64) -> Result<i64, Error> {
        let reader = self
            .partition_client(partition, |state| &mut state.readers)
            .await?;
        let mut range = (
            reader.get_offset(OffsetAt::Earliest).await?,
            reader.get_offset(OffsetAt::Latest).await?,
        );
        if offset > range.1 {
            // A new leader may not know its end yet.
            tokio::time::sleep(PROBE_EVERY).await;
            range = (
                reader.get_offset(OffsetAt::Earliest).await?,
                reader.get_offset(OffsetAt::Latest).await?,
            );
        }
        let (earliest, latest) = range;
        if (earliest..=latest).contains(&offset) {
            return Ok(offset);
        }
        if offset < earliest {
            tracing::error!(
                partition,
                offset,
                earliest,
                "the records from {offset} to {earliest} of partition {partition} are gone before they were applied: \
                 the topic keeps them for too short a time; going on at {earliest}"
            );
        } else {
            tracing::warn!(
                partition,
                offset,
                latest,
                "partition {partition} ends at {latest}, before {offset}, up to which it was applied: the topic was made \
                 anew; reading it from its beginning, {earliest}"
            );
        }
        Ok(earliest)
    }

    /// The end of every partition: the offset that its next record gets.
    pub async fn ends(&self) -> Result<Vec<(i32, i64)>, BusError> {
        self.prepare().await?;
        let mut ends = Vec::new();
        for partition in self.partitions() {
            let end = async {
                let reader = self
                    .partition_client(partition, |state| &mut state.readers)
                    .await?;
                reader.get_offset(OffsetAt::Latest).await
            };
            ends.push((
                partition,
                self.within("read the offsets", CALL_MAX, end).await?,
            ));
        }
        Ok(ends)
    }

    async fn client(&self) -> Result<Arc<Client>, Error> {
        if let Some(client) = &self.lock().client {
            return Ok(Arc::clone(client));
        }
        let mut builder = ClientBuilder::new(self.settings.brokers.clone())
            .client_id("trackbox")
            .backoff_config(BackoffConfig {
                init_backoff: RETRY_FIRST,
                max_backoff: Duration::from_secs(1),
                base: 2.0,
                deadline: Some(CALL_MAX),
            });
        if let Some(tls) = &self.settings.tls {
            builder = builder.tls_config(Arc::clone(tls));
        }
        if let Some(sasl) = &self.settings.sasl {
            let credentials = Credentials::new(sasl.user.clone(), sasl.password.clone());
            builder = builder.sasl_config(match sasl.mechanism {
                Mechanism::Plain => SaslConfig::Plain(credentials),
                Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            });
        }
        let client = Arc::new(builder.build().await?);
        self.lock().client = Some(Arc::clone(&client));
        Ok(client)
    }

    async fn partition_client(
        &self,
        partition: i32,
        kind: impl Fn(&mut State) -> &mut BTreeMap<i32, Arc<PartitionClient>>,
    ) -> Result<Arc<PartitionClient>, Error> {
        if let Some(client) = kind(&mut self.lock()).get(&partition) {
            return Ok(Arc::clone(client));
        }
        let client = self
            .client()
            .await?
            .partition_client(self.topic(), partition, UnknownTopicHandling::Error)
            .await?;
        let client = Arc::new(client);
        kind(&mut self.lock()).insert(partition, Arc::clone(&client));
        Ok(client)
    }

    async fn within<T>(
        &self,
        doing: &'static str,
        deadline: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, BusError> {
        match timeout(deadline, call).await.unwrap_or(Err(Error::Timeout)) {
            Ok(answer) => {
                self.back();
                Ok(answer)
            }
            Err(error) => Err(self.failed(doing, &error)),
        }
    }

    /// Notes that calls succeed again.
    fn back(&self) {
        if let Some((since, _)) = self.lock().away.take() {
            tracing::info!("Kafka is back after {} s", since.elapsed().as_secs());
        }
    }

    /// Notes a failure; after one the next call begins with new connections.
    fn failed(&self, doing: &'static str, error: &Error) -> BusError {
        let reason = reason(error);
        let mut state = self.lock();
        state.client = None;
        state.counted = None;
        let now = Instant::now();
        if state.away.is_none() {
            tracing::warn!("Kafka is away: cannot {doing}: {reason}");
        }
        state.away.get_or_insert((now, now));
        BusError::Away { doing, reason }
    }

    /// Never held across an await; a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the broker answered, and rskafka could not read what. The same question gets the same answer.
fn is_undecodable(error: &Error) -> bool {
    match error {
        Error::InvalidResponse(_) => true,
        Error::Request(error) => !matches!(error, RequestError::IO(_) | RequestError::Poisoned(_)),
        _ => false,
    }
}

fn is(error: &Error, wanted: ProtocolError) -> bool {
    matches!(error, Error::ServerError { protocol_error, .. } if *protocol_error == wanted)
}

/// What went wrong, without rskafka's own words around it.
fn reason(error: &Error) -> String {
    match error {
        Error::Timeout => "no answer in time".to_owned(),
        Error::ServerError { protocol_error, .. } => {
            format!("the broker answered {protocol_error:?}")
        }
        error => error.to_string(),
    }
}
