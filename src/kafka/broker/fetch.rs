//! Reading a partition, also if the offset is out of range or a batch cannot be decoded.

use std::time::Duration;

use rskafka::client::error::{Error, ProtocolError, RequestError};
use rskafka::client::partition::OffsetAt;
use rskafka::record::RecordAndOffset;
use tokio::time::timeout;

use crate::clock::cut;
use crate::kafka::broker::{Broker, CALL_MAX, PROBE_EVERY, is, reason};
use crate::kafka::record::{BusError, FETCH_BYTES_MAX, Fetched, Record};

/// How many undecodable offsets one fetch skips: more than a batch holds.
const SKIPPED_MAX: i64 = 10_000;

/// Part of rskafka 0.6.0's error for the marker that ends a transaction, which it cannot decode (tried on Kafka 4.1,
/// 2026-11-23).
const CONTROL_BATCH: &str = "control batch";

/// Records, and the partition's high watermark.
type Batch = (Vec<RecordAndOffset>, i64);

impl Broker {
    /// `Bus::fetch`, on Kafka.
    pub async fn fetch(
        &self,
        partition: i32,
        offset: i64,
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

    /// Reads on from `offset`, past batches that rskafka cannot decode: the markers that end a transaction, one offset
    /// each, and anything unforeseen. Returns the first readable offset, why those before it are unreadable, and the
    /// records.
    ///
    /// A fetch from any offset in a batch returns the whole batch, so the first readable offset follows the bad batch.
    async fn past_unreadable(
        &self,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> (i64, Option<String>, Result<Batch, Error>) {
        let mut unreadable = None;
        for from in offset.. {
            // A connection with an undecodable answer on it is not used again.
            self.lock().readers.remove(&partition);
            let fetched = self.fetch_once(partition, from, 2, wait).await;
            match fetched {
                Err(error) if is_undecodable(&error) && from - offset < SKIPPED_MAX => {
                    let reason = reason(&error);
                    if !reason.contains(CONTROL_BATCH) {
                        unreadable = Some(reason);
                    }
                }
                // Enough for one fetch; the next one goes on from here.
                Err(error) if is_undecodable(&error) => {
                    return (from, unreadable, Ok((Vec::new(), from)));
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
        bytes_max: usize,
        wait: Duration,
    ) -> Result<Batch, Error> {
        let fetching = async {
            let reader = self
                .connection(partition, |session| &mut session.readers)
                .await?;
            let bytes_max = i32::try_from(bytes_max).unwrap_or(i32::MAX);
            let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
            reader
                .client
                .fetch_records(offset, 1..bytes_max, wait_ms)
                .await
        };
        timeout(wait + CALL_MAX, fetching)
            .await
            .unwrap_or(Err(Error::Timeout))
    }

    /// Where to go on if `offset` is out of range: at the earliest record that is kept, or at `offset` itself if the
    /// broker knows it by now.
    async fn back_in_range(&self, partition: i32, offset: i64) -> Result<i64, Error> {
        let reader = self
            .connection(partition, |session| &mut session.readers)
            .await?;
        let mut range = (
            reader.client.get_offset(OffsetAt::Earliest).await?,
            reader.client.get_offset(OffsetAt::Latest).await?,
        );
        if offset > range.1 {
            // A new leader may not know the partition's end yet.
            tokio::time::sleep(PROBE_EVERY).await;
            range = (
                reader.client.get_offset(OffsetAt::Earliest).await?,
                reader.client.get_offset(OffsetAt::Latest).await?,
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
                "partition {partition} lost the records from {offset} to {earliest} before they were applied: extend \
                 the topic's retention; going on at {earliest}"
            );
        } else {
            tracing::warn!(
                partition,
                offset,
                latest,
                "partition {partition} ends at {latest}, but was applied up to {offset}: the topic was created again; \
                 reading it from its beginning, {earliest}"
            );
        }
        Ok(earliest)
    }
}

/// How rskafka 0.6.0's errors for an invalid record time begin. Its other `InvalidResponse` errors are not about
/// records, but for example about a partition missing from its list.
const UNREADABLE_TIMES: [&str; 3] = [
    "Timestamp overflow",
    "Not a valid timestamp",
    "Ambiguous timestamp",
];

/// Whether the broker answered but rskafka could not decode the answer. Asking again gives the same error.
fn is_undecodable(error: &Error) -> bool {
    match error {
        Error::InvalidResponse(reason) => {
            UNREADABLE_TIMES.iter().any(|text| reason.starts_with(text))
        }
        Error::Request(error) => matches!(
            error,
            RequestError::ReadError(_)
                | RequestError::ReadVersionedError(_)
                | RequestError::TooMuchData { .. }
        ),
        _ => false,
    }
}
