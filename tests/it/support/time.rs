//! The tests' fixed moment.

use chrono::TimeDelta;
use trackbox::clock::Time;

/// 2026-11-20T12:00:00Z, plus `secs`.
pub fn at(secs: i64) -> Time {
    Time::from_timestamp(1_795_176_000, 0).expect("a time within range") + TimeDelta::seconds(secs)
}
