//! The bus on Apache Kafka, by rskafka.
//!
//! rskafka gives no call a deadline, retries some errors and not others, and writes what lies between its buffer and a
//! TCP segment 44 ms late. So every call here has a deadline, a connection that failed is dropped, and a partition's
//! records travel in small requests, several under way at once. Nothing connects before it is used: a broker that is away
//! at the start is one that is away later.

pub mod fetch;
pub mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record as WireRecord;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::kafka::broker::settings::{BrokerSettings, Mechanism};
use crate::kafka::{BusError, Outgoing, partition_of};

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

/// How often the partitions are counted again: a topic may get more.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// How often a broker that is away is asked whether it is back, and how long it may take to answer.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Records for a partition.
type Request = (i32, Vec<WireRecord>);

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
    /// The partitions whose writer has had an answer.
    proven: BTreeSet<i32>,
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

    /// See [`crate::kafka::Bus::publish`]. Records of one key may end in another order where a leader is lost between two
    /// requests, or one had to be sent again: consumers go by what a record says, not by its place.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        let deadline = Instant::now() + PUBLISH_MAX;
        let publishing = timeout(PUBLISH_MAX, self.publish_until(deadline, records));
        publishing.await.unwrap_or_else(|_| {
            let mut state = self.lock();
            state.writers.clear();
            state.proven.clear();
            drop(state);
            Err(self.failed("publish", &Error::Timeout))
        })
    }

    /// Publishes; sends what failed again, unless the deadline comes first.
    async fn publish_until(
        &self,
        deadline: Instant,
        records: Vec<Outgoing>,
    ) -> Result<(), BusError> {
        self.prepare().await?;
        let mut pending = self.requests(records);
        let mut refused = None;
        let mut pause = RETRY_FIRST;
        loop {
            self.connect_writers(&pending).await;
            let mut failed = None;
            let (first, rest) = self.split_unproven(pending);
            pending = self.send(first, &mut failed, &mut refused).await;
            let unreached: BTreeSet<i32> =
                pending.iter().map(|(partition, _)| *partition).collect();
            let (held, rest) = rest
                .into_iter()
                .partition(|(partition, _)| unreached.contains(partition));
            pending.extend::<Vec<_>>(held);
            pending.extend(self.send(rest, &mut failed, &mut refused).await);
            pending.sort_by_key(|(partition, _)| *partition);
            match failed {
                None => return refused.map_or(Ok(()), Err),
                Some(error) if Instant::now() + pause >= deadline => return Err(error),
                Some(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }

    /// Apart: the first request to each partition whose writer has had no answer yet. A broker that has just become the
    /// leader refuses requests for a moment; had the next ones been under way by then, they would overtake the first.
    fn split_unproven(&self, requests: Vec<Request>) -> (Vec<Request>, Vec<Request>) {
        let mut unproven = BTreeSet::new();
        let state = self.lock();
        requests.into_iter().partition(|(partition, _)| {
            !state.proven.contains(partition) && unproven.insert(*partition)
        })
    }

    /// Sends requests, several at once, in their order; answers those that may be sent again.
    async fn send(
        &self,
        requests: Vec<Request>,
        failed: &mut Option<BusError>,
        refused: &mut Option<BusError>,
    ) -> Vec<Request> {
        let sent: Vec<_> = futures_util::stream::iter(requests)
            .map(|request| async { (self.produce(&request).await, request) })
            .buffered(IN_FLIGHT)
            .collect()
            .await;
        let mut again = Vec::new();
        for (result, request) in sent {
            match result {
                Ok(()) => {}
                Err(error @ BusError::TooLarge { .. }) => *refused = Some(error),
                Err(error) => {
                    *failed = Some(error);
                    again.push(request);
                }
            }
        }
        again
    }

    /// Connects to where `requests` go, each once: requests that share a connection keep their order. What cannot be
    /// connected is told by the requests.
    async fn connect_writers(&self, requests: &[Request]) {
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
    fn requests(&self, records: Vec<Outgoing>) -> Vec<Request> {
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

    async fn produce(&self, (partition, records): &Request) -> Result<(), BusError> {
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
                self.lock().proven.insert(partition);
                self.back();
                Ok(())
            }
            Err(error) if is(&error, ProtocolError::MessageTooLarge) => Err(BusError::TooLarge {
                size_bytes: records.iter().map(WireRecord::approximate_size).sum(),
                // The broker's setting; it does not tell.
                limit_bytes: 1 << 20,
            }),
            Err(error) => {
                self.drop_writer(partition);
                Err(self.failed("publish", &error))
            }
        }
    }

    fn drop_writer(&self, partition: i32) {
        let mut state = self.lock();
        state.writers.remove(&partition);
        state.proven.remove(&partition);
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
