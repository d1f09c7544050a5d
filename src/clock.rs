//! The one place that reads the clock.
//!
//! Every role works by the store's time: the time last measured there plus the monotonic time since then. A machine
//! whose clock is wrong or jumps therefore neither steals leases nor blocks the results of others.
//!
//! Also here: the calendar that limits, counts and learned patterns share.

use std::ops::Add;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A moment in UTC. Times from outside are [`cut`] to microseconds.
pub type Time = DateTime<Utc>;

/// Tells the time. A clone tells the same time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's monotonic clock, set by the store's time.
    System(Arc<SystemClock>),
    /// A clock that moves only when a test moves it.
    Manual(Arc<Mutex<ManualClock>>),
}

/// The state of [`Clock::System`]: when the monotonic clock began, and the store's time measured on it.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
    measured: Mutex<(Time, Duration)>,
    /// How many times faster than real time it runs. The monotonic time is always real.
    speed: u32,
}

/// The state of [`Clock::Manual`].
#[derive(Debug)]
pub struct ManualClock {
    now: Time,
    monotonic: Duration,
    /// Wakes what sleeps on this clock.
    moved: Arc<Notify>,
    /// Until when each waiting task sleeps.
    sleeping: Vec<Duration>,
}

impl Clock {
    /// The machine's clock, until [`Clock::set`] moves it to the store's time.
    pub fn system() -> Self {
        Self::fast(1)
    }

    /// A clock for demonstrations: it begins at the machine's time and runs `speed` times as fast. [`Clock::set`] does
    /// not move it. Durations that must stay real, such as a lease, go through [`Clock::scaled`].
    pub fn fast(speed: u32) -> Self {
        let system = SystemClock {
            began: Instant::now(),
            measured: Mutex::new((machine_now(), Duration::ZERO)),
            speed: speed.max(1),
        };
        Self::System(Arc::new(system))
    }

    /// How many times as fast as real time it runs.
    pub fn speed(&self) -> u32 {
        match self {
            Self::System(system) => system.speed,
            Self::Manual(_) => 1,
        }
    }

    /// How much time passes on this clock while `real` passes.
    pub fn scaled(&self, real: Duration) -> Duration {
        real.saturating_mul(self.speed())
    }

    /// How much real time passes while this clock moves on by `scaled`.
    pub fn real(&self, scaled: Duration) -> Duration {
        scaled / self.speed()
    }

    /// A clock for tests, which stands at `now`.
    pub fn manual(now: Time) -> Self {
        let manual = ManualClock {
            now: cut(now),
            monotonic: Duration::from_secs(1_000_000),
            moved: Arc::default(),
            sleeping: Vec::new(),
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

    /// Real time since some fixed start. It never goes back, and never jumps with the store's time.
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System(system) => system.began.elapsed(),
            Self::Manual(manual) => manual.lock().monotonic,
        }
    }

    /// Sets the clock to the store's time as measured at the monotonic time `at`. Returns by how much the clock moved.
    ///
    /// Does nothing to a manual or a fast clock.
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

    /// Changes the time of a manual clock, but not its monotonic time. Does nothing to a system clock.
    pub fn jump(&self, by: TimeDelta) {
        if let Self::Manual(manual) = self {
            manual.lock().now += by;
        }
    }

    /// Moves a manual clock. Does nothing to a system clock.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(manual) = self {
            let mut manual = manual.lock();
            manual.now += by;
            manual.monotonic += by;
            manual.moved.notify_waiters();
        }
    }

    /// Waits until the monotonic time is `until`. On a manual clock, the test ends the wait by moving the clock.
    pub async fn sleep_until(&self, until: Duration) {
        match self {
            Self::System(_) => tokio::time::sleep(until.saturating_sub(self.monotonic())).await,
            Self::Manual(manual) => {
                let _sleeper = Sleeper::new(manual, until);
                loop {
                    let moved = Arc::clone(&manual.lock().moved);
                    // Made before the time is read, so that no move between the two is missed.
                    let moved = moved.notified();
                    if self.monotonic() >= until {
                        return;
                    }
                    moved.await;
                }
            }
        }
    }

    /// How many tasks wait for a manual clock to move: not those whose time has come, which are about to go on.
    pub fn sleeping(&self) -> usize {
        match self {
            Self::System(_) => 0,
            Self::Manual(manual) => {
                let manual = manual.lock();
                let waits = |until: &&Duration| **until > manual.monotonic;
                manual.sleeping.iter().filter(waits).count()
            }
        }
    }
}

/// Counts a task among those that sleep on a manual clock until a time, until it is dropped.
struct Sleeper<'a>(&'a Mutex<ManualClock>, Duration);

impl<'a> Sleeper<'a> {
    fn new(clock: &'a Mutex<ManualClock>, until: Duration) -> Self {
        clock.lock().sleeping.push(until);
        Self(clock, until)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let sleeping = &mut self.0.lock().sleeping;
        if let Some(place) = sleeping.iter().position(|until| *until == self.1) {
            sleeping.swap_remove(place);
        }
    }
}

/// Test hook: seconds to add to the machine's clock. Unset in production.
const OFFSET_VARIABLE: &str = "TRACKBOX_TEST_CLOCK_OFFSET";

/// The machine's own time. Only the SQLite store and a clock's start use it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn machine_now() -> Time {
    cut(Utc::now() + test_offset())
}

/// By how much a test makes this process's clock wrong.
fn test_offset() -> TimeDelta {
    static OFFSET: OnceLock<TimeDelta> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let text = std::env::var(OFFSET_VARIABLE).unwrap_or_default();
        let secs = text.trim().parse::<i32>().unwrap_or_default();
        TimeDelta::seconds(i64::from(secs))
    })
}

/// `time` cut to microseconds, the finest that both databases keep.
pub fn cut(time: Time) -> Time {
    time.duration_trunc(TimeDelta::microseconds(1))
        .unwrap_or(time)
}

/// `duration` as a signed duration, which ends at about 292 million years.
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// The calendar day of `time` (UTC, days since 1970).
pub fn day_of(time: Time) -> i64 {
    time.timestamp().div_euclid(86_400)
}

/// How much of the calendar day (UTC) is left at `time`.
pub fn left_of_day(time: Time) -> Duration {
    let secs = (day_of(time) + 1) * 86_400 - time.timestamp();
    Duration::from_secs(secs.unsigned_abs())
        .saturating_sub(Duration::from_nanos(time.timestamp_subsec_nanos().into()))
}

/// The minute of `time` (UTC, minutes since 1970).
pub fn minute_of(time: Time) -> i64 {
    time.timestamp().div_euclid(60)
}

/// The hour of `time` (UTC, hours since 1970).
pub fn hour_of(time: Time) -> i64 {
    time.timestamp().div_euclid(3_600)
}

/// The begin of a minute (since 1970 UTC).
pub fn at_minute(minute: i64) -> Time {
    at_secs(minute.saturating_mul(60))
}

/// The begin of an hour (since 1970 UTC).
pub fn at_hour(hour: i64) -> Time {
    at_secs(hour.saturating_mul(3_600))
}

fn at_secs(secs: i64) -> Time {
    let last = if secs < 0 {
        Time::MIN_UTC
    } else {
        Time::MAX_UTC
    };
    Time::from_timestamp(secs, 0).unwrap_or(last)
}

/// The quarter of an hour of `time` (UTC, quarters since 1970). Every time zone's days begin with one.
pub fn quarter_of(time: Time) -> i64 {
    time.timestamp().div_euclid(900)
}

/// The begin of a quarter of an hour (since 1970 UTC).
pub fn at_quarter(quarter: i64) -> Time {
    at_secs(quarter.saturating_mul(900))
}

/// What was stored as `at` when it was at most `most` ahead of the time. If it lies further ahead of `now`, the clock was
/// wrong then, and `now` replaces it.
pub fn not_ahead<T: Copy + PartialOrd + Add<D, Output = T>, D>(at: T, now: T, most: D) -> T {
    if at > now + most { now } else { at }
}

/// The first Monday of 1970 (UTC), in microseconds since 1970: hours are counted from it, so that whole weeks begin at
/// multiples of 168.
const MONDAY_MICROS: i64 = 4 * 86_400 * 1_000_000;

const HOUR_MICROS: f64 = 3.6e9;

/// `time` in hours since Monday, 5 January 1970 UTC.
pub fn hours(time: Time) -> f64 {
    (time.timestamp_micros() - MONDAY_MICROS) as f64 / HOUR_MICROS
}

/// The way back from [`hours`]. Hours out of range give the first or the last possible time.
pub fn at_hours(hours: f64) -> Time {
    let micros = ((hours * HOUR_MICROS) as i64).saturating_add(MONDAY_MICROS);
    Time::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        Time::MIN_UTC
    } else {
        Time::MAX_UTC
    })
}
