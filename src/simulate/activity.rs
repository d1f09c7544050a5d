//! How active an invented carrier is at each hour of the week.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// Hours of a week.
const WEEK: usize = 168;

/// An activity as the process file describes it: `base`, then ranges of hours, then factors of the weekend's days.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    base: f64,
    #[serde(default)]
    hours: BTreeMap<String, f64>,
    #[serde(default = "one")]
    saturday: f64,
    #[serde(default = "one")]
    sunday: f64,
}

fn one() -> f64 {
    1.0
}

/// How active each hour of the week is, and the active hours since midnight of a Monday.
#[derive(Clone, Debug)]
pub struct Activity {
    before: Week,
    /// From this time on, all activity is twelve hours later in its day.
    shifted: Option<(f64, Week)>,
}

#[derive(Clone, Debug)]
struct Week {
    rate: [f64; WEEK],
    sum: [f64; WEEK + 1],
}

impl Week {
    fn new(rate: [f64; WEEK]) -> Self {
        let mut sum = [0.0; WEEK + 1];
        for hour in 0..WEEK {
            sum[hour + 1] = sum[hour] + rate[hour];
        }
        Self { rate, sum }
    }

    fn rate(&self, time: f64) -> f64 {
        self.rate[time.floor().rem_euclid(WEEK as f64) as usize]
    }

    fn active(&self, time: f64) -> f64 {
        let weeks = (time / WEEK as f64).floor();
        let in_week = time - weeks * WEEK as f64;
        let hour = (in_week as usize).min(WEEK - 1);
        weeks * self.sum[WEEK] + self.sum[hour] + self.rate[hour] * (in_week - hour as f64)
    }
}

impl Activity {
    /// Reads a profile.
    ///
    /// # Errors
    /// The first value that is out of range.
    pub fn new(profile: &Profile) -> anyhow::Result<Self> {
        let valid = |number: f64| number.is_finite() && (1e-6..=1e3).contains(&number);
        ensure!(valid(profile.base), "base must be from 0.000001 to 1000");
        let mut day = [profile.base; 24];
        for (range, activity) in &profile.hours {
            let (from, to) = range
                .split_once('-')
                .and_then(|(from, to)| {
                    Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
                })
                .filter(|(from, to)| from < to && *to <= 24)
                .with_context(|| format!("hours {range:?} must be a range such as \"8-20\""))?;
            ensure!(
                valid(*activity),
                "hours {range:?} must be from 0.000001 to 1000"
            );
            day[from..to].fill(*activity);
        }
        ensure!(
            valid(profile.saturday) && valid(profile.sunday),
            "saturday and sunday must be from 0.000001 to 1000"
        );
        let mut rate = [0.0; WEEK];
        for (hour, rate) in rate.iter_mut().enumerate() {
            let factor = match hour / 24 {
                5 => profile.saturday,
                6 => profile.sunday,
                _ => 1.0,
            };
            *rate = day[hour % 24] * factor;
        }
        Ok(Self {
            before: Week::new(rate),
            shifted: None,
        })
    }

    /// Full activity at every hour.
    pub fn always() -> Self {
        Self {
            before: Week::new([1.0; WEEK]),
            shifted: None,
        }
    }

    /// From the time `at` on, moves all activity twelve hours later within each day.
    pub fn shift(&mut self, at: f64) {
        let mut rate = [0.0; WEEK];
        for (hour, rate) in rate.iter_mut().enumerate() {
            *rate = self.before.rate[hour / 24 * 24 + (hour + 12) % 24];
        }
        self.shifted = Some((at, Week::new(rate)));
    }

    pub fn rate(&self, time: f64) -> f64 {
        match &self.shifted {
            Some((at, week)) if time >= *at => week.rate(time),
            _ => self.before.rate(time),
        }
    }

    /// Active hours until `time`.
    pub fn active(&self, time: f64) -> f64 {
        match &self.shifted {
            Some((at, week)) if time >= *at => {
                self.before.active(*at) + week.active(time) - week.active(*at)
            }
            _ => self.before.active(time),
        }
    }

    /// The time at which `hours` active hours have passed since `from`; `None` if that is after `horizon`.
    pub fn after(&self, from: f64, hours: f64, horizon: f64) -> Option<f64> {
        let (mut time, mut left) = (from, hours);
        while time <= horizon {
            let end = time.floor() + 1.0;
            let rate = self.rate(time);
            let active = (end - time) * rate;
            if active >= left {
                return Some(time + left / rate);
            }
            left -= active;
            time = end;
        }
        None
    }

    pub fn mean(&self) -> f64 {
        self.before.sum[WEEK] / WEEK as f64
    }

    pub fn highest(&self) -> f64 {
        let shifted = self.shifted.iter().flat_map(|(_, week)| week.rate.iter());
        self.before
            .rate
            .iter()
            .chain(shifted)
            .copied()
            .fold(0.0, f64::max)
    }
}
