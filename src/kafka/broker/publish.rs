//! Publishing: small requests, several in flight at once, each partition's in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::Compression;
use rskafka::record::Record as WireRecord;
use tokio::time::timeout;

use crate::kafka::broker::{Broker, CALL_MAX, RETRY_FIRST, Refused, is};
use crate::kafka::partition::partition_of;
use crate::kafka::record::{BusError, Outgoing};

/// How long publishing may take with all retries: less than a worker's lease.
const PUBLISH_MAX: Duration = Duration::from_secs(8);

/// The most bytes of records in one request. With its header it fits in rskafka's 8 KiB buffer and so leaves in one
/// write. If a larger request is smaller than a TCP segment, Nagle's algorithm delays its second write by 44 ms.
const REQUEST_BYTES_MAX: usize = 7_000;

/// The size of a record in a request besides its key and value.
const RECORD_BYTES: usize = 40;

/// How many requests are in flight at once.
const IN_FLIGHT: usize = 16;

/// Records for a partition.
type Request = (i32, Vec<WireRecord>);

impl Broker {
    /// `Bus::publish`, on Kafka. Records of one key may end up in another order if the leader changes between two
    /// requests or one is sent again. Consumers go by the content of a record, not by its position.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        let deadline = Instant::now() + PUBLISH_MAX;
        let publishing = timeout(PUBLISH_MAX, self.publish_until(deadline, records));
        let published = publishing.await.unwrap_or_else(|_| {
            self.lock().writers.clear();
            Err(self.failed("publish", &Error::Timeout))
        });
        let mut session = self.lock();
        match &published {
            Ok(()) => session.refused = None,
            Err(BusError::Away { .. }) => {
                session.refused.get_or_insert_with(Refused::new);
            }
            // The fault of a record, not of the brokers.
            Err(_) => {}
        }
        published
    }

    /// Publishes, and sends failed requests again until the deadline.
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

    /// Splits off the first request to each partition whose writer has had no answer yet. A broker that has just become
    /// the leader refuses requests for a moment: requests already in flight behind the first would overtake it.
    fn split_unproven(&self, requests: Vec<Request>) -> (Vec<Request>, Vec<Request>) {
        let mut unproven = BTreeSet::new();
        let session = self.lock();
        requests.into_iter().partition(|(partition, _)| {
            let writer = session.writers.get(partition);
            let proven = writer.is_some_and(|writer| writer.proven.load(Ordering::Relaxed));
            !proven && unproven.insert(*partition)
        })
    }

    /// Sends requests in order, several at once. Returns those that should be sent again.
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

    /// Connects once to each partition of `requests`: requests that share a connection keep their order. If this fails,
    /// the requests to that partition fail too.
    async fn connect_writers(&self, requests: &[Request]) {
        let mut partitions: Vec<i32> = requests.iter().map(|(partition, _)| *partition).collect();
        partitions.dedup();
        let connecting = partitions.into_iter().map(|partition| async move {
            let connecting = self.connection(partition, |session| &mut session.writers);
            if let Ok(Err(error)) = timeout(CALL_MAX, connecting).await {
                tracing::debug!(partition, %error, "cannot connect to partition {partition}: {error}");
            }
        });
        join_all(connecting).await;
    }

    /// The records by partition, in requests of at most [`REQUEST_BYTES_MAX`]. A larger record gets its own.
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
                .connection(partition, |session| &mut session.writers)
                .await?;
            writer
                .client
                .produce(records.clone(), Compression::NoCompression)
                .await?;
            writer.proven.store(true, Ordering::Relaxed);
            Ok(())
        };
        let sent = timeout(CALL_MAX, sending)
            .await
            .unwrap_or(Err(Error::Timeout));
        match sent {
            Ok(()) => {
                self.back();
                Ok(())
            }
            Err(error) if is(&error, ProtocolError::MessageTooLarge) => Err(BusError::TooLarge {
                size_bytes: records.iter().map(WireRecord::approximate_size).sum(),
                // The broker's default; it does not tell its setting.
                limit_bytes: 1 << 20,
            }),
            Err(error) => {
                self.lock().writers.remove(&partition);
                Err(self.failed("publish", &error))
            }
        }
    }
}
