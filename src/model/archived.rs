//! A carrier's answer about one number, as it is kept to be read again.

use uuid::Uuid;

use crate::clock::Time;
use crate::model::{CarrierCode, TrackNumber};

/// What an answer was read as: the same for answers that say the same, whatever else stands in them.
pub type Reading = [u8; 16];

/// An answer about one number. Further answers that were read as the same are one with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    pub tracking_id: i64,
    /// As the carrier was asked.
    pub carrier_code: CarrierCode,
    pub track_number: TrackNumber,
    /// The name of the adapter that read it.
    pub adapter: String,
    /// The HTTP status.
    pub status: u16,
    pub reading: Reading,
    /// When the carrier was asked, and the check's id: the first time that it was read so, and the last.
    pub first: (Time, Uuid),
    pub last: (Time, Uuid),
    /// Compressed.
    pub body: Vec<u8>,
}
