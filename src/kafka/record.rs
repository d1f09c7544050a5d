//! Records on the bus, and why they cannot be published or fetched.

use std::time::Duration;

use crate::clock::Time;

/// A record to publish.
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
    /// `None` in a tombstone, as Kafka calls it.
    pub value: Option<Vec<u8>>,
    /// When it was published, in the publisher's or the broker's time.
    pub timestamp: Time,
}

/// Upper limit of one fetch in bytes. A single larger record (on Kafka: a larger batch) is still returned whole.
pub const FETCH_BYTES_MAX: usize = 1_000_000;

/// The result of a fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The offset that was read from. It differs from the offset asked for if the records between them are gone or
    /// unreadable.
    pub from: i64,
    /// In the order of their offsets, which may have gaps. None is below `from`.
    pub records: Vec<Record>,
    /// Why records between the offset asked for and `from` could not be read, if any exist.
    pub unreadable: Option<String>,
    /// The offset that the partition's next record will get.
    pub high_watermark: i64,
}

/// Why records could not be published or fetched.
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
