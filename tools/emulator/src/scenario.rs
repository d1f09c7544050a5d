//! A parcel as it is seeded: its steps, and how fast it takes them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Upper limit of the steps of one parcel.
pub const STEPS_MAX: usize = 10_000;

/// A parcel as it is seeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parcel {
    pub carrier: String,
    #[serde(alias = "track_number")]
    pub track_number: String,
    /// Seconds from step to step; with progress `clock`, their mean.
    #[serde(alias = "step_seconds", default = "step_seconds_default")]
    pub step_seconds: u64,
    /// The chance, 0 to 1, that a call moves the parcel before `step_seconds` have passed (progress `ask` only).
    #[serde(alias = "progress_prob", default = "progress_prob_default")]
    pub progress_prob: f64,
    /// The addressee's: if it is given, only calls that name it are told of the parcel, and to all others its number is not
    /// known. The aggregators tell it to all.
    #[serde(
        default,
        alias = "postal_code",
        skip_serializing_if = "Option::is_none"
    )]
    pub postal_code: Option<String>,
    pub steps: Vec<Step>,
}

fn step_seconds_default() -> u64 {
    30
}

fn progress_prob_default() -> f64 {
    0.25
}

/// One thing that happens to a parcel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub status: String,
    #[serde(alias = "status_raw")]
    pub status_raw: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seconds from the event until the carrier reports it, but no later than the last step. So an event may be older
    /// than those reported before it.
    #[serde(default, alias = "late_seconds", skip_serializing_if = "is_not_late")]
    pub late_seconds: u64,
    /// When it happens (progress `clock` only), which may be in the past; absent: `step_seconds` after the step before.
    #[serde(default, alias = "event_time", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<DateTime<Utc>>,
    /// How often the carrier lists it in one answer.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeat: u32,
    /// The postal code of its location, for the aggregators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// The name of the carrier that reported it, for the aggregators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

fn once() -> u32 {
    1
}

fn is_once(repeat: &u32) -> bool {
    *repeat == once()
}

fn is_not_late(seconds: &u64) -> bool {
    *seconds == 0
}

impl Step {
    /// A step without a message.
    pub fn new(status: &str, status_raw: &str, location: &str) -> Self {
        Self {
            status: status.to_owned(),
            status_raw: status_raw.to_owned(),
            location: Some(location.to_owned()),
            repeat: 1,
            ..Self::default()
        }
    }

    /// The same step with a message.
    pub fn says(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }
}

impl Parcel {
    /// Refuses fields out of range, with the reason.
    pub fn check(&self) -> Result<(), String> {
        let text = |name: &str, text: &str| {
            let chars = text.chars().count();
            if (1..=64).contains(&chars) {
                Ok(())
            } else {
                Err(format!("{name} must have 1 to 64 characters"))
            }
        };
        text("carrier", &self.carrier)?;
        text("trackNumber", &self.track_number)?;
        if !(0.0..=1.0).contains(&self.progress_prob) {
            return Err("progressProb must be 0 to 1".to_owned());
        }
        if self.step_seconds > 10_000_000 {
            return Err("stepSeconds must be at most 10000000".to_owned());
        }
        match self.steps.len() {
            0 => Err("steps must not be empty".to_owned()),
            1..=STEPS_MAX => Ok(()),
            _ => Err(format!("steps must be at most {STEPS_MAX}")),
        }
    }
}
