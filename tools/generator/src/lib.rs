//! Makes demo parcels: numbers that look real, journeys for the emulator, trackings through the API.
//!
//! [`run`] does it all; [`numbers`] stands alone for those that only want track numbers.

pub mod ask;
pub mod journeys;
pub mod numbers;
pub mod options;
mod outage;
mod pace;
pub mod parcels;
mod problem;
pub mod run;
mod target;
