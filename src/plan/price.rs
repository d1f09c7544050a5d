//! The price of a call, by hour: it rises while more parcels want a call than there are, and sinks while calls are left.
//!
//! One worker adjusts it, each minute; several would multiply the gain, and a price that moves fast is worse than none.

use crate::plan::{HOURS, hour_of};

/// The least price: below it a call costs nothing.
const FLOOR: f64 = 1e-6;

/// How fast the price and its shape over the day follow, by hour.
const GAIN: f64 = 0.1;
const SHAPE_GAIN: f64 = 0.5;

/// The least and the most that an hour's price may differ from the whole.
const SHAPE: (f64, f64) = (0.1, 10.0);

/// What a call must save to be worth it, in weighted hours of unseen events.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    pub whole: f64,
    pub by_hour: [f64; HOURS],
}

impl Price {
    /// To begin with, where `parcels` share `calls_per_hour`.
    pub fn start(parcels: f64, calls_per_hour: f64) -> Self {
        let round = parcels / calls_per_hour.max(1e-9);
        Self {
            whole: (0.02 * round * round).max(FLOOR),
            by_hour: [1.0; HOURS],
        }
    }

    /// The price at a time in hours.
    pub fn at(&self, time: f64) -> f64 {
        self.whole * self.by_hour[hour_of(time)]
    }

    /// Adjusts the price after a minute in which what was claimed was on the average `late` hours past its time
    /// (negative: early). `round` is how long it takes to look at every parcel once, in hours.
    pub fn adjust(&mut self, now: f64, late: f64, round: f64) {
        let error = (late / round.clamp(1e-6, 12.0)).clamp(-0.5, 0.5);
        self.whole = (self.whole * (GAIN * error / 60.0).exp()).clamp(FLOOR, 1e12);
        for distance in -2..=2_i32 {
            let hour = hour_of(now + f64::from(distance));
            let share = 1.0 - f64::from(distance.abs()) / 3.0;
            let moved = self.by_hour[hour] * (SHAPE_GAIN * share * error / 60.0).exp();
            self.by_hour[hour] = moved.clamp(SHAPE.0, SHAPE.1);
        }
    }
}
