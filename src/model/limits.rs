//! How often a carrier's account may be called.

use std::time::Duration;

/// The limits of an account; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub per_second: u32,
    pub per_minute: u32,
    /// Counted in the store, by calendar day.
    pub per_day: u32,
    /// How many calls may follow each other at once; at least 1.
    pub burst: u32,
}

/// A limit over a second or a minute, as a limiter enforces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The time between calls, once the burst is used up.
    pub spacing: Duration,
    pub burst: u32,
    /// See [`age`].
    pub age: Duration,
}

/// How old a permit may be when it is used, and how long its call may take to arrive: a tenth of the window, at most a
/// second.
pub fn age(window: Duration) -> Duration {
    (window / 10).min(Duration::from_secs(1))
}

impl Limits {
    /// These limits in real time, for a clock that runs `speed` times as fast. Windows and ages of permits stay real.
    pub fn at_speed(&self, speed: u32) -> Self {
        Self {
            per_second: self.per_second.saturating_mul(speed),
            per_minute: self.per_minute.saturating_mul(speed),
            ..*self
        }
    }

    /// The windows that have a limit. The day is not among them: the store counts it.
    pub fn windows(&self) -> Vec<Window> {
        [
            (Duration::from_secs(1), self.per_second),
            (Duration::from_secs(60), self.per_minute),
        ]
        .into_iter()
        .filter(|(_, limit)| *limit > 0)
        .map(|(window, limit)| {
            let burst = self.burst.clamp(1, limit);
            let age = age(window);
            Window {
                // Rounded up: a nanosecond lost in the division would let one call more into the window.
                spacing: (window + age * 2) / (limit - burst + 1) + Duration::from_nanos(1),
                burst,
                age,
            }
        })
        .collect()
    }

    /// How long a request may be on its way: the transit time that the spacing allows for. `None` without a limit.
    pub fn transit(&self) -> Option<Duration> {
        self.windows().iter().map(|window| window.age).min()
    }
}
