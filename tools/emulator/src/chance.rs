//! Numbers that look random and depend on nothing but their input.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A hash of `what`: equal values give equal hashes.
pub fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A number from 0 to 1, without 1: equal values of `what` give equal numbers.
pub fn unit(what: &impl Hash) -> f64 {
    (hash(what) >> 11) as f64 / (1_u64 << 53) as f64
}
