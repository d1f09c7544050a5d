//! Limits of an account.

use std::time::Duration;

use chrono_tz::Tz;
use trackbox::model::limits::{Limits, Window};
use trackbox::model::quota::{Period, Quota};

pub const MINUTE: Duration = Duration::from_secs(60);

/// So many calls a day, which are not spread: a limiter, which the test does not ask, would allow fewer.
pub fn per_day(calls: u32, zone: Tz) -> Limits {
    let period = Period::Day;
    Limits {
        quotas: vec![Quota {
            calls,
            period,
            zone,
        }],
        ..in_any(24 * 60 * MINUTE, 1)
    }
}

pub fn in_any(per: Duration, calls: u32) -> Limits {
    Limits {
        windows: vec![Window { calls, per }],
        // Fewer and larger reservations.
        burst: calls.min(1_000),
        ..Limits::default()
    }
}
