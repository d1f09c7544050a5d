//! How often a carrier's account may be called.

use std::time::Duration;

use crate::clock::Time;
use crate::model::quota::Quota;

/// The most calls of one [`Rule`], and so the most that a limiter remembers. No worker has more calls in flight.
pub const REMEMBERED_MAX: u32 = 1_000;

/// The limits of an account; all of them hold at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// By the second, minute or hour; the limiter keeps them.
    pub windows: Vec<Window>,
    /// By the calendar's day or month; the store counts them.
    pub quotas: Vec<Quota>,
    /// How many calls may follow each other at once; at least 1.
    pub burst: u32,
}

/// At most `calls` in any span of time as long as `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub calls: u32,
    pub per: Duration,
}

/// How a limiter keeps a window: at most `calls` slots in any span as long as `within`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub calls: u32,
    pub within: Duration,
}

/// How old a permit of this window may be when it is used, and how long its call may take to arrive: a tenth of the
/// window, at most a second.
pub fn age(window: Duration) -> Duration {
    (window / 10).min(Duration::from_secs(1))
}

impl Limits {
    /// These limits in real time, for a clock that runs `speed` times as fast. Windows and ages of permits stay real.
    pub fn at_speed(&self, speed: u32) -> Self {
        let mut limits = self.clone();
        for window in &mut limits.windows {
            window.calls = window.calls.saturating_mul(speed);
        }
        limits
    }

    /// How old a permit may be when it is used, and how long its call may take to arrive. `None` without windows.
    pub fn transit(&self) -> Option<Duration> {
        self.windows.iter().map(|window| age(window.per)).min()
    }

    /// The rules by which a limiter gives out slots.
    ///
    /// The carrier counts arrivals. A call arrives at most its permit's age and as much again for transit behind its slot,
    /// so slots that are as much longer apart never arrive as too many.
    pub fn rules(&self) -> Vec<Rule> {
        let margin = self.transit().unwrap_or_default() * 2;
        let rules = self.windows.iter().flat_map(|window| {
            // What is too much to remember is kept in equal parts.
            let parts = window.calls.div_ceil(REMEMBERED_MAX).max(1);
            let calls = (window.calls / parts).max(1);
            // Rounded up: a nanosecond lost in a division would let one call more into the window.
            let rounding = Duration::from_nanos(1);
            let within = (window.per + margin) / parts + rounding;
            let burst = self.burst.clamp(1, calls);
            let spaced = Rule {
                calls: burst,
                within: within * burst / calls + rounding,
            };
            // Bursts that make up the limit exactly keep it by themselves.
            let whole = (!calls.is_multiple_of(burst)).then_some(Rule { calls, within });
            [Some(spaced), whole]
        });
        rules.flatten().collect()
    }

    /// When the first of the days and months ends that lie around `now`; `None` if none is limited.
    pub fn quotas_end(&self, now: Time) -> Option<Time> {
        self.quotas
            .iter()
            .map(|quota| quota.stretch(now).ends)
            .min()
    }

    /// The calls an hour that the windows allow; `None` without windows.
    pub fn calls_per_hour_of_windows(&self) -> Option<f64> {
        let rules = self.rules().into_iter();
        rules
            .map(|rule| f64::from(rule.calls) / rule.within.as_secs_f64() * 3_600.0)
            .min_by(f64::total_cmp)
    }

    /// The calls an hour that all limits allow in the long run; `None` without limits.
    pub fn calls_per_hour(&self) -> Option<f64> {
        let quotas = self.quotas.iter().map(Quota::calls_per_hour);
        quotas
            .chain(self.calls_per_hour_of_windows())
            .min_by(f64::total_cmp)
    }

    /// Whether a limit by the day or month is the strictest.
    pub fn is_by_day(&self) -> bool {
        let windows = self.calls_per_hour_of_windows().unwrap_or(f64::INFINITY);
        self.calls_per_hour().is_some_and(|calls| calls < windows)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Limits, Window};

    fn calls_per_hour(calls: u32, secs: u64, burst: u32) -> f64 {
        let per = Duration::from_secs(secs);
        let limits = Limits {
            windows: vec![Window { calls, per }],
            burst,
            ..Limits::default()
        };
        let rules = limits.rules();
        assert!(rules.iter().all(|rule| rule.calls <= 1_000), "{rules:?}");
        limits.calls_per_hour().expect("has a limit")
    }

    #[test]
    fn every_burst_allows_the_whole_limit_but_for_the_margins() {
        for (calls, secs, margin) in [
            (60, 60, 2.0),
            (5, 1, 0.2),
            (1, 5, 1.0),
            (999_983, 3_600, 2.0),
        ] {
            let whole = f64::from(calls) / (secs as f64 + margin) * 3_600.0;
            for burst in [1, 2, 7, calls / 2, calls - 1, calls] {
                let allowed = calls_per_hour(calls, secs, burst);
                let share = allowed / whole;
                assert!(
                    (0.998..=1.0).contains(&share),
                    "{calls} in {secs} s, burst {burst}: {share}"
                );
            }
        }
    }
}
