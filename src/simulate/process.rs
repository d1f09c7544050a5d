//! The invented carriers of a simulation: what happens to their parcels, when, and with what chance.
//!
//! A stage lasts for a dwell that is counted in active hours, and a profile says how active each hour of the week is. So
//! the true rate of news at a time is the dwell's rate at the active hours that have passed, times the activity.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::plan::Class;

/// The process that is simulated where no file is named.
pub const DEFAULT: &str = include_str!("../../tools/processes/default.toml");

const WEEK: usize = 168;

/// The most profiles, carriers, and stages of a carrier.
const MANY: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    profiles: BTreeMap<String, FileProfile>,
    carriers: Vec<FileCarrier>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProfile {
    base: f64,
    #[serde(default)]
    hours: BTreeMap<String, f64>,
    #[serde(default = "one")]
    saturday: f64,
    #[serde(default = "one")]
    sunday: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCarrier {
    name: String,
    per_day: f64,
    created: String,
    parcels: f64,
    stages: Vec<FileStage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStage {
    name: String,
    #[serde(default)]
    class: FileClass,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default)]
    profile: String,
    lognormal: Option<(f64, f64)>,
    weibull: Option<(f64, f64)>,
    #[serde(default)]
    line_haul: bool,
    #[serde(default)]
    next: Vec<String>,
    #[serde(default)]
    chances: Vec<f64>,
    #[serde(default)]
    stall: f64,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileClass {
    PreTransit,
    #[default]
    InTransit,
    OutForDelivery,
    Exception,
    Pickup,
}

fn one() -> f64 {
    1.0
}

/// Carriers and their parcels' journeys.
#[derive(Clone, Debug)]
pub struct Process {
    pub carriers: Vec<Carrier>,
}

#[derive(Clone, Debug)]
pub struct Carrier {
    pub name: String,
    pub per_day: f64,
    pub created: Activity,
    /// How many parcels a load counts on.
    pub parcels: f64,
    pub stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
pub struct Stage {
    pub name: String,
    pub class: Class,
    pub weight: f64,
    pub activity: Activity,
    pub dwell: Dwell,
    /// Whether a parcel's own lane makes it longer or shorter.
    pub line_haul: bool,
    /// What follows, each with its chance; nothing, where the journey ends.
    pub next: Vec<(usize, f64)>,
    pub stall: f64,
}

impl Stage {
    pub fn is_last(&self) -> bool {
        self.next.is_empty()
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Dwell {
    /// Median and sigma.
    Lognormal(f64, f64),
    /// Scale and shape.
    Weibull(f64, f64),
}

impl Dwell {
    /// The density and the chance to last longer, at so many active hours.
    pub fn density_and_survival(self, hours: f64) -> (f64, f64) {
        match self {
            Self::Lognormal(median, sigma) => {
                if hours <= 0.0 {
                    return (0.0, 1.0);
                }
                let z = (hours / median).ln() / sigma;
                let density =
                    (-z * z / 2.0).exp() / (hours * sigma * (2.0 * std::f64::consts::PI).sqrt());
                (density, upper_tail(z))
            }
            Self::Weibull(scale, shape) => {
                let ratio = (hours / scale).max(0.0);
                let survival = (-ratio.powf(shape)).exp();
                (shape / scale * ratio.powf(shape - 1.0) * survival, survival)
            }
        }
    }

    /// The dwell at this standard normal number.
    pub fn at(self, normal: f64) -> f64 {
        match self {
            Self::Lognormal(median, sigma) => median * (sigma * normal).exp(),
            Self::Weibull(scale, shape) => {
                scale * (-upper_tail(normal).max(1e-300).ln()).powf(1.0 / shape)
            }
        }
    }
}

/// The chance that a standard normal number is larger (Abramowitz and Stegun 26.2.17, error below 7.5e-8).
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly;
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// How active each hour of the week is, and the active hours since a Monday's midnight.
#[derive(Clone, Debug)]
pub struct Activity {
    before: Week,
    /// From this time on, every hour's activity comes twelve hours later in its day.
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
    fn new(profile: &FileProfile) -> anyhow::Result<Self> {
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
                .with_context(|| format!("hours {range:?} is no range such as \"8-20\""))?;
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

    /// The same, but from `at` on twelve hours later within each day.
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

    /// When so many active hours have passed since `from`.
    pub fn after(&self, from: f64, hours: f64) -> f64 {
        let (mut time, mut left) = (from, hours);
        loop {
            let end = time.floor() + 1.0;
            let rate = self.rate(time);
            let active = (end - time) * rate;
            if active >= left {
                return time + left / rate;
            }
            left -= active;
            time = end;
        }
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

impl Process {
    /// Reads a process from TOML.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text).context("is no process")?;
        let profiles = file
            .profiles
            .iter()
            .map(|(name, profile)| {
                let activity =
                    Activity::new(profile).with_context(|| format!("[profiles.{name}]"))?;
                Ok((name.as_str(), activity))
            })
            .collect::<anyhow::Result<BTreeMap<&str, Activity>>>()?;
        ensure!(
            (1..=MANY).contains(&file.carriers.len()),
            "needs from 1 to {MANY} [[carriers]]"
        );
        let carriers = file
            .carriers
            .iter()
            .map(|carrier| {
                Carrier::read(carrier, &profiles)
                    .with_context(|| format!("carrier {:?}", carrier.name))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { carriers })
    }

    /// Moves all activity twelve hours later within each day, from `at` on.
    pub fn shift(&mut self, at: f64) {
        for carrier in &mut self.carriers {
            carrier.created.shift(at);
            for stage in &mut carrier.stages {
                stage.activity.shift(at);
            }
        }
    }
}

impl Carrier {
    fn read(file: &FileCarrier, profiles: &BTreeMap<&str, Activity>) -> anyhow::Result<Self> {
        let activity = |name: &str| {
            profiles
                .get(name)
                .cloned()
                .with_context(|| format!("there is no [profiles.{name}]"))
        };
        ensure!(
            file.per_day.is_finite() && (0.0..=1e5).contains(&file.per_day),
            "per_day must be from 0 to 100000"
        );
        ensure!(
            file.parcels.is_finite() && (1.0..=1e6).contains(&file.parcels),
            "parcels must be from 1 to 1000000"
        );
        ensure!(
            (2..=MANY).contains(&file.stages.len()),
            "needs from 2 to {MANY} [[carriers.stages]]"
        );
        let stages = file
            .stages
            .iter()
            .map(|stage| {
                Self::stage(stage, &file.stages, &activity)
                    .with_context(|| format!("stage {:?}", stage.name))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            name: file.name.clone(),
            per_day: file.per_day,
            created: activity(&file.created)?,
            parcels: file.parcels,
            stages,
        })
    }

    fn stage(
        file: &FileStage,
        all: &[FileStage],
        activity: &impl Fn(&str) -> anyhow::Result<Activity>,
    ) -> anyhow::Result<Stage> {
        let positive = |a: f64, b: f64| a.is_finite() && b.is_finite() && a > 0.0 && b > 0.0;
        let last = file.next.is_empty();
        let dwell = match (file.lognormal, file.weibull) {
            (Some((median, sigma)), None) if positive(median, sigma) => {
                Dwell::Lognormal(median, sigma)
            }
            (None, Some((scale, shape))) if positive(scale, shape) => Dwell::Weibull(scale, shape),
            (None, None) if last => Dwell::Lognormal(1.0, 1.0),
            _ => {
                bail!("needs lognormal = [median, sigma] or weibull = [scale, shape], both above 0")
            }
        };
        let share = |chance: f64| (0.0..=1.0).contains(&chance);
        ensure!(share(file.stall), "stall must be from 0 to 1");
        ensure!(
            file.chances.iter().all(|chance| share(*chance))
                && file.chances.len() < file.next.len().max(1),
            "chances must be from 0 to 1, one less than next has"
        );
        let mut left = 1.0;
        let mut next = Vec::new();
        for (place, name) in file.next.iter().enumerate() {
            let stage = all
                .iter()
                .position(|other| other.name == *name)
                .with_context(|| format!("next names {name:?}, which is no stage"))?;
            let chance = file.chances.get(place).map_or(left, |chance| left * chance);
            left -= chance;
            next.push((stage, chance));
        }
        Ok(Stage {
            name: file.name.clone(),
            class: match file.class {
                FileClass::PreTransit => Class::PreTransit,
                FileClass::InTransit => Class::InTransit,
                FileClass::OutForDelivery => Class::OutForDelivery,
                FileClass::Exception => Class::Exception,
                FileClass::Pickup => Class::Pickup,
            },
            weight: file.weight,
            activity: if last && file.profile.is_empty() {
                Activity::new(&FileProfile {
                    base: 1.0,
                    hours: BTreeMap::new(),
                    saturday: 1.0,
                    sunday: 1.0,
                })?
            } else {
                activity(&file.profile)?
            },
            dwell,
            line_haul: file.line_haul,
            next,
            stall: file.stall,
        })
    }
}
