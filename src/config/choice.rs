//! Settings that are one of a few words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a worker chooses the time of the next check.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Policy {
    /// After the intervals of `next_check_*`.
    Fixed,
    /// After an interval for each status.
    Table,
    /// By how soon news usually follows, and by what a call is worth.
    Learned,
}

impl Policy {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Values for the keys that say how often and how patiently parcels are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Every parcel once a minute.
    #[default]
    Normal,
    /// Every parcel every few seconds, against the emulator.
    Demo,
}

/// Whether connections to the brokers are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaSecurity {
    Plaintext,
    Tls,
}

/// How a client logs in to the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaSasl {
    None,
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
