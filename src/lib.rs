//! TrackBox keeps tracking numbers fresh within what the carriers allow, and publishes every change.

pub mod clock;
pub mod model;
pub mod store;
