//! The parcels of a simulation by the time of their next check. It takes the place of the store's claim index.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Microseconds of an hour. Whole microseconds can be ordered, and the store orders parcels by them too.
const MICROS: f64 = 3.6e9;

/// A heap of parcels by time and id, with the earliest first.
#[derive(Debug, Default)]
pub struct Queue(BinaryHeap<Reverse<(i64, u32)>>);

impl Queue {
    pub fn push(&mut self, hours: f64, id: usize) {
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        self.0.push(Reverse(((hours * MICROS) as i64, id)));
    }

    pub fn earliest(&self) -> Option<f64> {
        self.0
            .peek()
            .map(|Reverse((time, _))| *time as f64 / MICROS)
    }

    pub fn pop(&mut self) -> Option<(f64, usize)> {
        let Reverse((time, id)) = self.0.pop()?;
        Some((time as f64 / MICROS, id as usize))
    }
}
