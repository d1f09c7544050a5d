//! Publishing: small requests, several under way at once, and each partition's in their order.

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

/// How long publishing may take with all its retries: less than a worker's lease.
const PUBLISH_MAX: Duration = Duration::from_secs(8);

/// The most bytes of records in one request: with its head it stays below rskafka's 8 KiB buffer, so that it leaves in
/// one write. From there to a segment's size Nagle's algorithm holds the second write back for 44 ms.
const REQUEST_BYTES_MAX: usize = 7_000;

/// What a record costs in a request besides its key and value.
const RECORD_BYTES: usize = 40;

/// How many requests are under way at once.
const IN_FLIGHT: usize = 16;

/// Records for a partition.
type Request = (i32, Vec<WireRecord>);

impl Broker {
    /// See [`crate::kafka::Bus::publish`]. Records of one key may end in another order where a leader is lost between two
    /// requests, or one had to be sent again: consumers go by what a record says, not by its place.
    pub async fn publish(&self, records: Vec<Outgoing>) -> Result<(), BusError> {
        let deadline = Instant::now() + PUBLISH_MAX;
        let publishing = timeout(PUBLISH_MAX, self.publish_until(deadline, records));
        let published = publishing.await.unwrap_or_else(|_| {
            self.lock().writers.clear();
            Err(self.failed("publish", &Error::Timeout))
        });
        let mut state = self.lock();
        match &published {
            Ok(()) => state.refused = None,
            Err(BusError::Away { .. }) => {
                state.refused.get_or_insert_with(Refused::new);
            }
            // Of the record's making.
            Err(_) => {}
        }
        published
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
            let writer = state.writers.get(partition);
            let proven = writer.is_some_and(|writer| writer.proven.load(Ordering::Relaxed));
            !proven && unproven.insert(*partition)
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
            let connecting = self.connection(partition, |state| &mut state.writers);
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
                .connection(partition, |state| &mut state.writers)
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
                // The broker's setting; it does not tell.
                limit_bytes: 1 << 20,
            }),
            Err(error) => {
                self.lock().writers.remove(&partition);
                Err(self.failed("publish", &error))
            }
        }
    }
}
