//! The price of a call, by hour and kind of day. It rises while parcels are overdue and falls while calls are left over.
//!
//! One worker adjusts it once a minute. Several workers would multiply the gain, and a price that moves too fast is worse
//! than no price.

use crate::plan::{HOURS, KINDS, hour_of, slot_of};

/// The lowest price: a call is practically free.
const FLOOR: f64 = 1e-6;

/// How fast the price, and its shape over the day, follow the error, in each hour.
const GAIN: f64 = 0.1;
const SHAPE_GAIN: f64 = 0.5;

/// The smallest and the largest factor of an hour or of a kind of day.
const SHAPE: (f64, f64) = (0.1, 10.0);

/// The initial price, as a multiple of the square of the round, and the range of that multiple when a price starts again.
const START: f64 = 0.02;
const ANEW: (f64, f64) = (START / 2.0, START * 5.0);

/// How much shorter or longer a round may become before the price starts again. Following at its own pace takes weeks.
const JUMP: (f64, f64) = (0.8, 1.25);

/// The shortest and the longest round in calculations, in hours.
const ROUND: (f64, f64) = (1e-6, 1e6);

/// What a call must save to be worth making, in weighted hours of unseen events.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    pub whole: f64,
    pub by_hour: [f64; HOURS],
    /// A factor by kind of day; 1 on working days.
    pub by_day: [f64; KINDS],
    /// How many hours it took to check every parcel once when the price last started.
    pub round: f64,
}

/// What the claims of some minutes say of the price.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Parcels claimed that had an answer before. Those that never had one wait for no price.
    pub claimed: f64,
    /// By how many hours these were overdue together; early ones count negative.
    pub late: f64,
    /// Numbers that calls had room for and no parcel filled.
    pub idle: f64,
}

impl Sample {
    /// How late parcels were claimed on average, in hours. An idle number counts as a claim of the next parcel, which is due
    /// in `next` hours.
    pub fn lateness(&self, next: f64) -> f64 {
        let idle = if next > 0.0 { self.idle } else { 0.0 };
        let claims = self.claimed + idle;
        if claims > 0.0 {
            (self.late - idle * next) / claims
        } else {
            0.0
        }
    }
}

impl Price {
    /// The initial price, if it takes `round` hours to check every parcel once.
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
        let slot = slot_of(time);
        (self.whole * self.by_hour[slot % HOURS] * self.by_day[slot / HOURS]).max(FLOOR)
    }

    /// Adjusts the price after `minutes`, at most an hour, in which parcels were claimed on average `late` hours after
    /// they were due (negative: before). `round` is how many hours it takes to check every parcel once.
    pub fn adjust(&mut self, now: f64, late: f64, round: f64, minutes: f64) {
        let round = round.clamp(ROUND.0, ROUND.1);
        if !(JUMP.0..=JUMP.1).contains(&(round / self.round)) {
            // The best price is proportional to the square of the round.
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
            // A weekend says nothing about working days, so it moves only its own factor.
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

#[cfg(test)]
mod tests {
    use super::Price;

    /// Adjusts each minute for some hours, starting at `from`.
    fn adjust(price: &mut Price, from: f64, hours: f64, late: f64, round: f64) {
        for minute in 0..(hours * 60.0) as u32 {
            price.adjust(from + f64::from(minute) / 60.0, late, round, 1.0);
        }
    }

    #[test]
    fn it_rises_while_parcels_are_overdue_and_falls_while_calls_are_left() {
        let mut price = Price::start(3.0);
        assert!((price.at(10.0) - 0.18).abs() < 1e-9);
        adjust(&mut price, 10.0, 6.0, 1.0, 3.0);
        assert!(price.at(14.0) > 0.18 && price.by_hour[13] > price.by_hour[3]);
        let risen = price.clone();
        adjust(&mut price, 34.0, 6.0, -1.0, 3.0);
        assert!(price.at(14.0) < risen.at(14.0));
        // Even a huge error moves it only a little.
        let mut wrong = Price::start(3.0);
        wrong.adjust(10.0, 1e9, 3.0, 1.0);
        assert!(wrong.at(10.0) / 0.18 < 1.01);
    }

    #[test]
    fn several_minutes_at_once_are_as_good_as_one_by_one() {
        let (mut one, mut all) = (Price::start(3.0), Price::start(3.0));
        adjust(&mut one, 10.0, 0.5, 1.0, 3.0);
        all.adjust(10.0, 1.0, 3.0, 30.0);
        assert!((one.at(10.0) / all.at(10.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn it_starts_again_when_the_parcels_or_the_limits_change_much() {
        let mut price = Price::start(0.0);
        price.adjust(10.0, 0.0, 3.0, 1.0);
        assert!((price.whole - 0.18).abs() < 1e-3, "{price:?}");
        adjust(&mut price, 10.0, 12.0, 1.0, 3.0);
        let before = price.whole;
        price.adjust(22.0, 0.0, 1.5, 1.0);
        assert!(
            (price.whole / before - 0.25).abs() < 1e-3,
            "with the square of the round"
        );
        price.adjust(23.0, 0.0, 1.6, 1.0);
        assert!(
            (price.round - 1.5).abs() < 1e-9,
            "a small change does not start it again"
        );
    }

    #[test]
    fn a_weekend_moves_its_own_price_alone() {
        let mut price = Price::start(3.0);
        let sunday = 6.0 * 24.0;
        adjust(&mut price, sunday, 12.0, -1.0, 3.0);
        assert!((price.at(10.0) - 0.18).abs() < 1e-9, "Monday");
        assert!(price.at(sunday + 10.0) < 0.1);
        assert!((price.at(sunday - 10.0) - 0.18).abs() < 1e-9, "Saturday");
    }
}
