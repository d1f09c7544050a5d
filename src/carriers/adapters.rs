//! The list of adapters.

use crate::carriers::{Adapter, emulator, gdeposylka, track24};

/// Every adapter that a carrier's section can name.
pub const ADAPTERS: &[Adapter] = &[
    emulator::ADAPTER,
    emulator::BATCH_ADAPTER,
    gdeposylka::ADAPTER,
    track24::ADAPTER,
];
