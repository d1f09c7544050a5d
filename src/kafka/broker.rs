//! The bus on Apache Kafka, by rskafka.
//!
//! rskafka gives no call a deadline, retries some errors and not others, and writes what lies between its buffer and a
//! TCP segment 44 ms late. So every call here has a deadline, a connection that failed is dropped, and a partition's
//! records travel in small requests, several under way at once. Nothing connects before it is used: a broker that is away
//! at the start is one that is away later.

pub mod fetch;
pub mod publish;
pub mod settings;

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::kafka::broker::settings::{BrokerSettings, Mechanism};
use crate::kafka::record::BusError;

/// How long one request may take; measured: a broker that was killed and is back answers a fresh call in 0.3 s, while
/// the call begun meanwhile never ends.
const CALL_MAX: Duration = Duration::from_secs(5);

/// The pause before a failed request is sent again; it doubles.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// How often the partitions are counted again: a topic may get more.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// How often a topic that was just made is looked for, until brokers that know of it answer.
const COUNT_TRIES: usize = 20;

/// How often a broker that is away is asked whether it is back, and how long it may take to answer.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);

/// The pause before something is published again after that failed, though the brokers answer; it doubles.
const REFUSED_FIRST: Duration = Duration::from_secs(1);
const REFUSED_MAX: Duration = Duration::from_secs(60);

/// The topic on its brokers.
pub struct Broker {
    settings: BrokerSettings,
    clock: Clock,
    state: Mutex<State>,
}

/// A connection to a partition's leader.
struct Connection {
    client: PartitionClient,
    /// Whether the leader has taken records on it.
    proven: AtomicBool,
}

#[derive(Default)]
struct State {
    client: Option<Arc<Client>>,
    /// A connection each: a fetch that waits would hold back what is published behind it.
    writers: BTreeMap<i32, Arc<Connection>>,
    readers: BTreeMap<i32, Arc<Connection>>,
    partitions: i32,
    counted: Option<Instant>,
    /// Since when calls fail, and when it was last asked whether they still do.
    away: Option<(Instant, Instant)>,
    /// Where the last thing published failed.
    refused: Option<Refused>,
}

/// Brokers that answer may still take nothing: too few copies, no right to write.
struct Refused {
    /// Until when nobody should try again.
    until: Instant,
    /// How long the next pause will be.
    pause: Duration,
}

impl Refused {
    fn new() -> Self {
        Self {
            until: Instant::now() + REFUSED_FIRST,
            pause: REFUSED_FIRST * 2,
        }
    }

    /// Whether it is time for one more try; until that has succeeded, the next one is further away.
    fn may_try(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.until;
        if due {
            self.until = now + self.pause;
            self.pause = (self.pause * 2).min(REFUSED_MAX);
        }
        due
    }
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
        if counted < self.settings.partitions && counted != state.partitions {
            tracing::warn!(
                "the topic {} has {counted} partitions, fewer than kafka.partitions, {}: somebody else made it; no more \
                 than {counted} consumers can share it",
                self.topic(),
                self.settings.partitions
            );
        }
        state.partitions = counted;
        state.counted = Some(Instant::now());
        Ok(())
    }

    async fn count(&self) -> Result<i32, Error> {
        let client = self.client().await?;
        // Looks, makes it, and looks again.
        for _ in 0..COUNT_TRIES {
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
            tokio::time::sleep(RETRY_FIRST).await;
        }
        Err(Error::Timeout)
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

    /// See [`crate::kafka::Bus::may_publish`].
    pub async fn may_publish(&self) -> bool {
        self.is_ready().await && self.lock().refused.as_mut().is_none_or(Refused::may_try)
    }

    /// The end of every partition: the offset that its next record gets.
    pub async fn ends(&self) -> Result<Vec<(i32, i64)>, BusError> {
        self.prepare().await?;
        let mut ends = Vec::new();
        for partition in self.partitions() {
            let end = async {
                let reader = self
                    .connection(partition, |state| &mut state.readers)
                    .await?;
                reader.client.get_offset(OffsetAt::Latest).await
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

    async fn connection(
        &self,
        partition: i32,
        kind: impl Fn(&mut State) -> &mut BTreeMap<i32, Arc<Connection>>,
    ) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = kind(&mut self.lock()).get(&partition) {
            return Ok(Arc::clone(connection));
        }
        let client = self
            .client()
            .await?
            .partition_client(self.topic(), partition, UnknownTopicHandling::Error)
            .await?;
        let connection = Arc::new(Connection {
            client,
            proven: AtomicBool::new(false),
        });
        kind(&mut self.lock()).insert(partition, Arc::clone(&connection));
        Ok(connection)
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
        self.state.lock()
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
