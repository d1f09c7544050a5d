//! What a claim hands on to the next one.

use std::collections::VecDeque;

use crate::simulate::queue::Entry;

/// Parcels that were read ahead, and the half of an odd number.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Parcels to check early, and when they were read.
    pub early: VecDeque<Entry>,
    pub read_at: f64,
    /// 1 if half a parcel without an answer was left over.
    pub half: usize,
}
