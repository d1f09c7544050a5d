//! The price of a call, by hour and kind of day: it rises while more parcels want a call than there are, and sinks while calls are left.
//!
//! One worker adjusts it, each minute; several would multiply the gain, and a price that moves fast is worse than none.

use crate::plan::{HOURS, KINDS, hour_of, slot_of};

/// The least price: below it a call costs nothing.
const FLOOR: f64 = 1e-6;

/// How fast the price and its shape over the day follow, by hour.
const GAIN: f64 = 0.1;
const SHAPE_GAIN: f64 = 0.5;

/// The least and the most that the price of an hour or a day may differ from the whole.
const SHAPE: (f64, f64) = (0.1, 10.0);

/// The price to begin with, in squares of the round; and how far from it a price may be that starts anew.
const START: f64 = 0.02;
const ANEW: (f64, f64) = (START / 2.0, START * 5.0);

/// How much longer or shorter a round may become before the price starts anew: following at its own pace takes weeks.
const JUMP: (f64, f64) = (0.8, 1.25);

/// The shortest and the longest round that is reckoned with, in hours.
const ROUND: (f64, f64) = (1e-6, 1e6);

/// What a call must save to be worth it, in weighted hours of unseen events.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    pub whole: f64,
    pub by_hour: [f64; HOURS],
    /// How much more or less than that on the kinds of days; 1 on working days.
    pub by_day: [f64; KINDS],
    /// How long it took to look at every parcel once when the price last started anew, in hours.
    pub round: f64,
}

impl Price {
    /// To begin with, where it takes `round` hours to look at every parcel once.
    pub fn start(round: f64) -> Self {
        let round = round.clamp(ROUND.0, ROUND.1);
        Self {
            whole: START * round * round,
            by_hour: [1.0; HOURS],
            by_day: [1.0; KINDS],
            round,
        }
    }

    /// The price at a time in hours.
    pub fn at(&self, time: f64) -> f64 {
        (self.whole * self.by_hour[hour_of(time)] * self.by_day[slot_of(time) / HOURS]).max(FLOOR)
    }

    /// Adjusts the price after some minutes, at most an hour, in which what was claimed was on the average `late` hours
    /// past its time (negative: early). `round` is how long it takes to look at every parcel once, in hours.
    pub fn adjust(&mut self, now: f64, late: f64, round: f64, minutes: f64) {
        let round = round.clamp(ROUND.0, ROUND.1);
        if !(JUMP.0..=JUMP.1).contains(&(round / self.round)) {
            // The best price goes with the square of the round.
            let share = if self.whole > FLOOR {
                (self.whole / (self.round * self.round)).clamp(ANEW.0, ANEW.1)
            } else {
                START
            };
            (self.whole, self.round) = (share * round * round, round);
        }
        let error = (late / round.min(12.0)).clamp(-0.5, 0.5);
        let hours = (minutes / 60.0).clamp(0.0, 1.0);
        let day = slot_of(now) / HOURS;
        if day > 0 {
            // What a weekend shows says nothing of working days: it moves its own price alone.
            let moved = self.by_day[day] * (SHAPE_GAIN * error * hours).exp();
            self.by_day[day] = moved.clamp(SHAPE.0, SHAPE.1);
            return;
        }
        self.whole = (self.whole * (GAIN * error * hours).exp()).clamp(FLOOR, 1e12);
        for distance in -2..=2_i32 {
            let hour = hour_of(now + f64::from(distance));
            let share = 1.0 - f64::from(distance.abs()) / 3.0;
            let moved = self.by_hour[hour] * (SHAPE_GAIN * share * error * hours).exp();
            self.by_hour[hour] = moved.clamp(SHAPE.0, SHAPE.1);
        }
    }
}
