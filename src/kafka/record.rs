//! What is put on the bus and taken off it.

use std::time::Duration;

use crate::clock::Time;

/// A record to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// A record of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// `None` for what Kafka calls a tombstone.
    pub value: Option<Vec<u8>>,
    /// When it was published, by the publisher's or the broker's clock.
    pub timestamp: Time,
}

/// The most bytes of records in one fetch, but for a larger record, or on Kafka a larger batch, which comes whole.
pub const FETCH_BYTES_MAX: usize = 1_000_000;

/// What a fetch gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The offset that was really read from. It differs from the one asked for where nothing can be had there: what lay
    /// between is gone or unreadable, which the bus logs.
    pub from: i64,
    /// In the order of their offsets, which may have gaps; none lies below `from`.
    pub records: Vec<Record>,
    /// Why the offsets between the one asked for and `from` could not be read, where they are there.
    pub unreadable: Option<String>,
    /// The offset that the partition's next record gets.
    pub high_watermark: i64,
}

/// Why the bus did not take or give records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    #[error("the bus is full: nothing has been consumed for {} s", waited.as_secs())]
    Full { waited: Duration },
    #[error("a record of {size_bytes} bytes is larger than the bus takes ({limit_bytes})")]
    TooLarge {
        size_bytes: usize,
        limit_bytes: usize,
    },
    #[error("there is no partition {partition}")]
    NoPartition { partition: i32 },
    #[error("cannot {doing}: {reason}")]
    Away { doing: &'static str, reason: String },
}
