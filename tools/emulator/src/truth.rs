//! What has really happened to a parcel, in the form that a tracker is judged by.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// An event that happened, or that a fault invented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueEvent {
    pub status: String,
    pub status_raw: String,
    pub event_time: DateTime<Utc>,
    pub location: String,
    pub message: String,
}

/// The state of one parcel now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Truth {
    pub carrier: String,
    pub track_number: String,
    pub status: String,
    pub status_raw: String,
    /// Whether all steps of the parcel have happened.
    pub done: bool,
    /// The events that have happened and that the carrier reports by now, oldest first.
    pub events: Vec<TrueEvent>,
    /// The events that switched-on faults invented.
    pub fault_events: Vec<TrueEvent>,
}

/// One page of the list of all parcels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TruthPage {
    pub total: usize,
    pub items: Vec<Truth>,
}
