//! The one place that reads the clock.
//!
//! Every role works by the store's time: the time of the last measurement plus the monotonic time since,
//! so a machine whose clock is wrong or jumps neither steals leases nor blocks anyone's results.

use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// A moment in UTC, cut to microseconds where it came in.
pub type Time = DateTime<Utc>;

/// Tells the time; a clone tells the same time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's monotonic clock, set by the store's time.
    System(Arc<SystemClock>),
    /// A clock that moves only when a test moves it.
    Manual(Arc<Mutex<ManualClock>>),
}

/// The state of [`Clock::System`]: where the monotonic clock began, and the store's time measured on it.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
    measured: Mutex<(Time, Duration)>,
    /// How many times faster than the machine's the time runs; the monotonic time never does.
    speed: u32,
}

/// The state of [`Clock::Manual`].
#[derive(Debug)]
pub struct ManualClock {
    now: Time,
    monotonic: Duration,
}

impl Clock {
    /// The machine's clock; [`Clock::set`] moves it to the store's time.
    pub fn system() -> Self {
        Self::fast(1)
    }

    /// A clock that begins at the machine's time and runs `speed` times as fast, for shows: nothing sets it. What is to
    /// stay real, such as a lease, is [`Clock::scaled`].
    pub fn fast(speed: u32) -> Self {
        let system = SystemClock {
            began: Instant::now(),
            measured: Mutex::new((machine_now(), Duration::ZERO)),
            speed: speed.max(1),
        };
        Self::System(Arc::new(system))
    }

    /// How many times as fast as the monotonic time it runs.
    pub fn speed(&self) -> u32 {
        match self {
            Self::System(system) => system.speed,
            Self::Manual(_) => 1,
        }
    }

    /// How much time passes on this clock in so much real time.
    pub fn scaled(&self, real: Duration) -> Duration {
        real.saturating_mul(self.speed())
    }

    /// How much real time it takes this clock to move on so far.
    pub fn real(&self, scaled: Duration) -> Duration {
        scaled / self.speed()
    }

    /// A clock for tests that stands at `now`.
    pub fn manual(now: Time) -> Self {
        let manual = ManualClock {
            now: cut(now),
            monotonic: Duration::from_secs(1_000_000),
        };
        Self::Manual(Arc::new(Mutex::new(manual)))
    }

    /// The store's time now, in whole microseconds.
    pub fn now(&self) -> Time {
        match self {
            Self::System(system) => {
                let (time, at) = *system.measured.lock();
                cut(time + system.began.elapsed().saturating_sub(at) * system.speed)
            }
            Self::Manual(manual) => manual.lock().now,
        }
    }

    /// Time since some fixed start; never goes back and never jumps with the store's time.
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System(system) => system.began.elapsed(),
            Self::Manual(manual) => manual.lock().monotonic,
        }
    }

    /// Takes over the store's time, measured at the monotonic time `at`; answers by how much the clock moved.
    ///
    /// A manual clock stays where the test put it, and a fast one goes its own way.
    pub fn set(&self, store_time: Time, at: Duration) -> TimeDelta {
        match self {
            Self::System(system) if system.speed == 1 => {
                let mut measured = system.measured.lock();
                let expected = measured.0 + at.saturating_sub(measured.1);
                *measured = (store_time, at);
                store_time - expected
            }
            Self::System(_) | Self::Manual(_) => TimeDelta::zero(),
        }
    }

    /// Moves a manual clock on; a system clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(manual) = self {
            let mut manual = manual.lock();
            manual.now += by;
            manual.monotonic += by;
        }
    }
}

/// By how many seconds this process takes the machine's clock to be wrong: for tests, nothing where it is not set.
const OFFSET_VARIABLE: &str = "TRACKBOX_TEST_CLOCK_OFFSET";

/// The machine's own time, which only SQLite's store and the clock's start go by.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn machine_now() -> Time {
    cut(Utc::now() + wrong_by())
}

/// By how much this process's clock is wrong on purpose.
pub fn wrong_by() -> TimeDelta {
    static OFFSET: OnceLock<TimeDelta> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let text = std::env::var(OFFSET_VARIABLE).unwrap_or_default();
        let secs = text.trim().parse::<i32>().unwrap_or_default();
        TimeDelta::seconds(i64::from(secs))
    })
}

/// `time` without what is finer than a microsecond, the finest both databases keep.
pub fn cut(time: Time) -> Time {
    time.duration_trunc(TimeDelta::microseconds(1))
        .unwrap_or(time)
}

/// `duration` as a signed one, at most about 292,000 years.
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// The calendar day of `time` (UTC, days since 1970).
pub fn day_of(time: Time) -> i64 {
    time.timestamp().div_euclid(86_400)
}

/// How long the day of `time` lasts from then on.
pub fn left_of_day(time: Time) -> Duration {
    let secs = (day_of(time) + 1) * 86_400 - time.timestamp();
    Duration::from_secs(secs.unsigned_abs())
        .saturating_sub(Duration::from_nanos(time.timestamp_subsec_nanos().into()))
}

/// The minute of `time` (since 1970 UTC).
pub fn minute_of(time: Time) -> i64 {
    time.timestamp().div_euclid(60)
}

/// From when on hours are counted: Monday, 5 January 1970 UTC, in microseconds since 1970.
const MONDAY: i64 = 4 * 86_400 * 1_000_000;

const MICROS: f64 = 3.6e9;

/// A time as hours since a Monday.
pub fn hours(time: Time) -> f64 {
    (time.timestamp_micros() - MONDAY) as f64 / MICROS
}

/// Hours since that Monday as a time; what no time can be is the nearest that can.
pub fn at_hours(hours: f64) -> Time {
    let micros = ((hours * MICROS) as i64).saturating_add(MONDAY);
    Time::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        Time::MIN_UTC
    } else {
        Time::MAX_UTC
    })
}
