//! Makes demo parcels: numbers that look real, journeys for the emulator, and trackings through the API.
//!
//! [`run`] does all of it. [`numbers`] alone is for programs that need only track numbers.

pub mod ask;
pub mod numbers;
pub mod options;
mod pace;
pub mod progress;
mod refusal;
mod retry;
pub mod run;
mod target;
