//! Reading a partition: out of range, in one go, or batch by batch past what cannot be decoded.

use std::time::Duration;

use rskafka::client::error::{Error, ProtocolError, RequestError};
use rskafka::client::partition::OffsetAt;
use rskafka::record::RecordAndOffset;
use tokio::time::timeout;

use crate::clock::cut;
use crate::kafka::broker::{Broker, CALL_MAX, PROBE_EVERY, is, reason};
use crate::kafka::record::{BusError, FETCH_BYTES_MAX, Fetched, Record};

/// How many offsets that cannot be decoded are passed over in one fetch: more than a batch holds.
const SKIPPED_MAX: i64 = 10_000;

/// What rskafka 0.6.0 says of the mark that ends a transaction, which it cannot decode (tried on Kafka 4.1, 2026-11-23).
const CONTROL_BATCH: &str = "control batch";

/// Records, and the end of the partition.
type Batch = (Vec<RecordAndOffset>, i64);

impl Broker {
    /// See [`crate::kafka::Bus::fetch`].
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
                // So far for now; the next fetch goes on from there.
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
                .connection(partition, |state| &mut state.readers)
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

    /// Where to go on when `offset` is out of range: the earliest record that is kept, or `offset` itself where the
    /// broker has come to know it meanwhile.
    async fn back_in_range(&self, partition: i32, offset: i64) -> Result<i64, Error> {
        let reader = self
            .connection(partition, |state| &mut state.readers)
            .await?;
        let mut range = (
            reader.client.get_offset(OffsetAt::Earliest).await?,
            reader.client.get_offset(OffsetAt::Latest).await?,
        );
        if offset > range.1 {
            // A new leader may not know its end yet.
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
}

/// How rskafka 0.6.0 begins to say that a record's time is none. Its other invalid answers are not about records: of a
/// partition that its list of them does not have, for one.
const UNREADABLE_TIMES: [&str; 3] = [
    "Timestamp overflow",
    "Not a valid timestamp",
    "Ambiguous timestamp",
];

/// Whether the broker answered, and rskafka could not read what. The same question gets the same answer.
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
