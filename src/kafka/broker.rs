//! The bus on Apache Kafka, by rskafka.
//!
//! rskafka gives calls no deadline, retries some errors and not others, and sends requests larger than its buffer but
//! smaller than a TCP segment 44 ms late. So every call here has a deadline, a connection that failed is dropped, and a
//! partition's records travel in small requests, several in flight at once. Connections are made on first use, so a
//! broker that is unreachable at the start is treated like one that becomes unreachable later.

pub mod fetch;
pub mod publish;
pub mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::kafka::broker::settings::{BrokerSettings, Mechanism};
use crate::kafka::record::BusError;

/// How long one request may take. Measured: a broker that was killed and is back answers a new call in 0.3 s, but a
/// call that was begun meanwhile never ends.
const CALL_MAX: Duration = Duration::from_secs(5);

/// The first pause before a failed request is sent again. It doubles.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// How often the partitions are counted: a topic may get more.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// How many times to look for a new topic: it takes a moment until all brokers know it.
const COUNT_TRIES: usize = 20;

/// How often unreachable brokers are probed, and how long a probe may take.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);

/// The first and the longest pause before publishing is tried again, if the brokers answer but refuse records.
const REFUSED_FIRST: Duration = Duration::from_secs(1);
const REFUSED_MAX: Duration = Duration::from_secs(60);

/// The topic on its brokers.
pub struct Broker {
    settings: BrokerSettings,
    clock: Clock,
    session: Mutex<Session>,
}

/// A connection to a partition's leader.
struct Connection {
    client: PartitionClient,
    /// Whether the leader has accepted records on it.
    proven: AtomicBool,
}

/// The connections to the brokers, and what is known of the brokers' state.
#[derive(Default)]
struct Session {
    client: Option<Arc<Client>>,
    /// Apart from the readers: a fetch that waits would hold up what is published on the same connection.
    writers: BTreeMap<i32, Arc<Connection>>,
    readers: BTreeMap<i32, Arc<Connection>>,
    partitions: i32,
    /// When the partitions were last counted.
    counted: Option<Instant>,
    /// Since when calls fail, and when the brokers were last probed.
    away: Option<(Instant, Instant)>,
    /// Set if the last publish failed.
    refused: Option<Refused>,
}

/// Brokers that answer may still refuse records: too few replicas are in sync, or we may not write.
struct Refused {
    /// When publishing may be tried again.
    until: Instant,
    /// The pause after the next attempt.
    pause: Duration,
}

impl Refused {
    fn new() -> Self {
        Self {
            until: Instant::now() + REFUSED_FIRST,
            pause: REFUSED_FIRST * 2,
        }
    }

    /// Whether it is time for another attempt. If so, the next one has to wait longer.
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
            session: Mutex::default(),
        }
    }

    pub fn topic(&self) -> &str {
        &self.settings.topic
    }

    /// The partitions as last counted. None until [`Broker::prepare`] has succeeded once.
    pub fn partitions(&self) -> Vec<i32> {
        (0..self.lock().partitions).collect()
    }

    /// Creates the topic if it is missing. Counts its partitions if that was more than [`COUNT_EVERY`] ago.
    ///
    /// # Errors
    /// [`BusError::Away`] if no broker answers or the topic cannot be created.
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
        let mut session = self.lock();
        let (topic, wanted) = (self.topic(), self.settings.partitions);
        if counted < wanted && counted != session.partitions {
            tracing::warn!(
                topic,
                partitions = counted,
                wanted,
                "topic {topic} already exists with {counted} partitions, fewer than kafka.partitions = {wanted}: at \
                 most {counted} consumers can share it"
            );
        }
        session.partitions = counted;
        session.counted = Some(Instant::now());
        Ok(())
    }

    async fn count(&self) -> Result<i32, Error> {
        let client = self.client().await?;
        let (topic, partitions) = (self.topic(), self.settings.partitions);
        for _ in 0..COUNT_TRIES {
            let topics = client.list_topics().await?;
            if let Some(found) = topics.iter().find(|found| found.name == topic) {
                // Kafka counts partitions from 0 without gaps.
                return Ok(i32::try_from(found.partitions.len()).unwrap_or(i32::MAX));
            }
            let controller = client.controller_client()?;
            // With as many replicas as the brokers are configured to make.
            let created = controller.create_topic(topic, partitions, -1, 5_000).await;
            match created {
                Ok(()) => tracing::info!(
                    topic,
                    partitions,
                    "created topic {topic} with {partitions} partitions"
                ),
                Err(error) if is(&error, ProtocolError::TopicAlreadyExists) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RETRY_FIRST).await;
        }
        Err(Error::Timeout)
    }

    /// `Bus::is_ready`, on Kafka.
    pub async fn is_ready(&self) -> bool {
        {
            let mut session = self.lock();
            match session.away {
                None if session.partitions > 0 => return true,
                None => {}
                Some((_, probed)) if probed.elapsed() < PROBE_EVERY => return false,
                Some((since, _)) => session.away = Some((since, Instant::now())),
            }
            session.counted = None;
        }
        matches!(timeout(PROBE_MAX, self.prepare()).await, Ok(Ok(())))
    }

    /// `Bus::may_publish`, on Kafka.
    pub async fn may_publish(&self) -> bool {
        self.is_ready().await && self.lock().refused.as_mut().is_none_or(Refused::may_try)
    }

    /// `Bus::ends`, on Kafka.
    pub async fn ends(&self) -> Result<Vec<(i32, i64)>, BusError> {
        self.prepare().await?;
        let mut ends = Vec::new();
        for partition in self.partitions() {
            let end = async {
                let reader = self
                    .connection(partition, |session| &mut session.readers)
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
        kind: impl Fn(&mut Session) -> &mut BTreeMap<i32, Arc<Connection>>,
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
            let outage_secs = since.elapsed().as_secs();
            tracing::info!(outage_secs, "Kafka works again after {outage_secs} s");
        }
    }

    /// Notes a failure. The next call makes new connections.
    fn failed(&self, doing: &'static str, error: &Error) -> BusError {
        let reason = reason(error);
        let mut session = self.lock();
        session.client = None;
        session.counted = None;
        let now = Instant::now();
        if session.away.is_none() {
            tracing::warn!(doing, error = %reason, "Kafka fails, retrying: cannot {doing}: {reason}");
        }
        session.away.get_or_insert((now, now));
        BusError::Away { doing, reason }
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock()
    }
}

fn is(error: &Error, wanted: ProtocolError) -> bool {
    matches!(error, Error::ServerError { protocol_error, .. } if *protocol_error == wanted)
}

/// What went wrong, without rskafka's wording around it.
fn reason(error: &Error) -> String {
    match error {
        Error::Timeout => "no answer in time".to_owned(),
        Error::ServerError { protocol_error, .. } => {
            format!("the broker answered {protocol_error:?}")
        }
        error => error.to_string(),
    }
}
