//! The invented carriers of a simulation: what happens to their parcels, when, and with what probability.
//!
//! A stage lasts for a dwell that is counted in active hours, and a profile says how active each hour of the week is. So
//! the true rate of news at a time is the dwell's rate after the active hours passed, times the activity.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::plan::Class;
use crate::simulate::activity::{Activity, Profile};

/// The process that is simulated if no file is given.
pub const DEFAULT: &str = include_str!("../../tools/processes/default.toml");

/// Upper limit of carriers, and of the stages of a carrier.
const MANY: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    profiles: BTreeMap<String, Profile>,
    carriers: Vec<FileCarrier>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCarrier {
    name: String,
    #[serde(default)]
    account: String,
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

/// All carriers of a simulation.
#[derive(Clone, Debug)]
pub struct Process {
    pub carriers: Vec<InventedCarrier>,
}

#[derive(Clone, Debug)]
pub struct InventedCarrier {
    pub name: String,
    /// Carriers of one account share their calls.
    pub account: String,
    pub per_day: f64,
    pub created: Activity,
    /// How many parcels are under way at a time. The calls of a load are calculated from it.
    pub parcels: f64,
    pub stages: Vec<JourneyStage>,
}

#[derive(Clone, Debug)]
pub struct JourneyStage {
    pub name: String,
    pub class: Class,
    pub weight: f64,
    pub activity: Activity,
    pub dwell: Dwell,
    /// Whether it lasts longer or shorter on a parcel's own lane.
    pub line_haul: bool,
    /// The stages that may follow, each with its probability. Empty: the journey ends here.
    pub next: Vec<(usize, f64)>,
    /// The probability that nothing ever follows.
    pub stall: f64,
}

impl JourneyStage {
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

/// A number outside its range is refused, and so is one that is none (`nan`).
fn within(name: &str, number: f64, range: RangeInclusive<f64>) -> anyhow::Result<()> {
    let (from, to) = (range.start(), range.end());
    ensure!(
        range.contains(&number),
        "{name} = {number} must be from {from} to {to}"
    );
    Ok(())
}

impl Dwell {
    /// Hours in which a dwell is given.
    const HOURS: RangeInclusive<f64> = 1e-3..=1e4;

    fn read(file: &FileStage, last: bool) -> anyhow::Result<Self> {
        match (file.lognormal, file.weibull) {
            (Some((median, sigma)), None) => {
                within("lognormal: median", median, Self::HOURS)?;
                within("lognormal: sigma", sigma, 1e-3..=5.0)?;
                Ok(Self::Lognormal(median, sigma))
            }
            (None, Some((scale, shape))) => {
                within("weibull: scale", scale, Self::HOURS)?;
                within("weibull: shape", shape, 0.1..=100.0)?;
                Ok(Self::Weibull(scale, shape))
            }
            (None, None) if last => Ok(Self::Lognormal(1.0, 1.0)),
            _ => bail!("needs lognormal = [median, sigma] or weibull = [scale, shape]"),
        }
    }

    /// The density after `hours` active hours, and the probability to last longer.
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

    /// The dwell that belongs to a standard normal number.
    pub fn at(self, normal: f64) -> f64 {
        match self {
            Self::Lognormal(median, sigma) => median * (sigma * normal).exp(),
            Self::Weibull(scale, shape) => {
                scale * (-upper_tail(normal).max(1e-300).ln()).powf(1.0 / shape)
            }
        }
    }
}

/// The probability that a standard normal number is larger (Abramowitz and Stegun 26.2.17, error below 7.5e-8).
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly;
    if z >= 0.0 { tail } else { 1.0 - tail }
}

impl Process {
    /// Reads a process from TOML.
    ///
    /// # Errors
    /// The first mistake and its place in the file.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text).context("cannot be read as a process")?;
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
            "a process needs 1 to {MANY} [[carriers]]"
        );
        let carriers = file
            .carriers
            .iter()
            .map(|carrier| {
                InventedCarrier::read(carrier, &profiles)
                    .with_context(|| format!("carrier {:?}", carrier.name))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { carriers })
    }

    /// Makes everything so many times as large.
    pub fn multiply(&mut self, times: f64) {
        for carrier in &mut self.carriers {
            carrier.per_day *= times;
            carrier.parcels *= times;
        }
    }

    /// From the time `at` on, moves all activity twelve hours later within each day.
    pub fn shift(&mut self, at: f64) {
        for carrier in &mut self.carriers {
            carrier.created.shift(at);
            for stage in &mut carrier.stages {
                stage.activity.shift(at);
            }
        }
    }
}

impl InventedCarrier {
    fn read(file: &FileCarrier, profiles: &BTreeMap<&str, Activity>) -> anyhow::Result<Self> {
        let activity = |name: &str| {
            profiles
                .get(name)
                .cloned()
                .with_context(|| format!("there is no [profiles.{name}]"))
        };
        within("per_day", file.per_day, 0.0..=1e5)?;
        within("parcels", file.parcels, 1.0..=1e6)?;
        ensure!(
            (2..=MANY).contains(&file.stages.len()),
            "a carrier needs 2 to {MANY} [[carriers.stages]]"
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
            account: if file.account.is_empty() {
                file.name.clone()
            } else {
                file.account.clone()
            },
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
    ) -> anyhow::Result<JourneyStage> {
        let last = file.next.is_empty();
        let dwell = Dwell::read(file, last)?;
        within("weight", file.weight, 0.0..=1_000.0)?;
        let share = |chance: f64| (0.0..=1.0).contains(&chance);
        ensure!(share(file.stall), "stall must be from 0 to 1");
        ensure!(
            file.chances.iter().all(|chance| share(*chance))
                && file.chances.len() < file.next.len().max(1),
            "chances must be from 0 to 1, and at least one fewer than next"
        );
        let mut left = 1.0;
        let mut next = Vec::new();
        for (place, name) in file.next.iter().enumerate() {
            let stage = all
                .iter()
                .position(|other| other.name == *name)
                .with_context(|| {
                    format!("next names {name:?}, but there is no stage of that name")
                })?;
            let chance = file.chances.get(place).map_or(left, |chance| left * chance);
            left -= chance;
            next.push((stage, chance));
        }
        Ok(JourneyStage {
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
                Activity::always()
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
