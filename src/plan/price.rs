//! The price of a call, by hour and kind of day. It rises while parcels are overdue and falls while calls are left over.
//!
//! One worker adjusts it once a minute. Several workers would multiply the gain, and a price that moves too fast is worse
//! than no price.

use crate::plan::{HOURS, KINDS, hour_of, slot_of};

/// The lowest price: a call is practically free.
const FLOOR: f64 = 1e-6;

/// The highest price.
const MOST: f64 = 1e12;

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

/// A price that stands still while parcels wait for another reason than the price: until a time in hours.
///
/// That is while their account is paused or its calls fail, while an import waits for its first answers, and after that
/// until the parcels that became late meanwhile have been checked. Otherwise an outage of a morning would make mornings dear
/// for days.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hold(pub Option<f64>);

impl Hold {
    /// The lateness to adjust the price by: 0 while it stands still.
    ///
    /// No price makes parcels later than a `round`: each is checked once in a round, however cheap calls are. So later ones
    /// have waited for something else.
    pub fn filter(&mut self, late: f64, disturbed: bool, round: f64, now: f64) -> f64 {
        const ROUND_MAX: f64 = 12.0;
        /// The share of a round by which parcels are late when a backlog counts as gone.
        const GONE: f64 = 0.02;
        if disturbed || late > round {
            self.0 = Some(now + round.min(ROUND_MAX));
        } else if late != 0.0 && late < GONE * round {
            self.0 = None;
        }
        if self.0.is_some_and(|until| now < until) {
            0.0
        } else {
            self.0 = None;
            late
        }
    }
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

    /// This price within the bounds that adjusting keeps: what is stored may be anything.
    pub fn bounded(self) -> Self {
        let shape = |factor: f64| factor.clamp(SHAPE.0, SHAPE.1);
        Self {
            whole: self.whole.min(MOST),
            by_hour: self.by_hour.map(shape),
            by_day: self.by_day.map(shape),
            round: self.round.clamp(ROUND.0, ROUND.1),
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
        self.whole = (self.whole * (GAIN * error * hours).exp()).clamp(FLOOR, MOST);
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
    use super::{Hold, Price, Sample};

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

    #[test]
    fn numbers_that_find_no_parcel_count_as_claims_of_the_next_one() {
        let sample = Sample {
            claimed: 10.0,
            late: 5.0,
            idle: 30.0,
        };
        assert!((sample.lateness(2.0) - (5.0 - 60.0) / 40.0).abs() < 1e-9);
        assert!(
            (sample.lateness(-1.0) - 0.5).abs() < 1e-9,
            "another is overdue"
        );
        assert!(
            Sample::default().lateness(2.0).abs() < 1e-9,
            "nothing was seen"
        );
    }

    /// 300 parcels of two kinds with 100 calls an hour, minute by minute: each is checked when its waiting costs the price.
    struct Model {
        price: Price,
        hold: Hold,
        /// When each parcel is due, and when it was last checked.
        parcels: Vec<(f64, f64)>,
        minute: u32,
        tokens: f64,
        late: f64,
    }

    impl Model {
        const ROUND: f64 = 3.0;

        fn run(&mut self, hours: u32, is_out: bool, holds: bool) {
            for _ in 0..hours * 60 {
                self.minute += 1;
                let now = f64::from(self.minute) / 60.0;
                self.tokens = if is_out {
                    0.0
                } else {
                    (self.tokens + 100.0 / 60.0).min(3.0)
                };
                let mut sample = Sample::default();
                while self.tokens >= 1.0 {
                    let free = |(_, parcel): &(usize, &(f64, f64))| {
                        parcel.0 <= now || now - parcel.1 > Self::ROUND / 2.0
                    };
                    let next = self.parcels.iter().enumerate().filter(free);
                    let Some((place, (due, _))) = next.min_by(|a, b| a.1.0.total_cmp(&b.1.0))
                    else {
                        break;
                    };
                    self.tokens -= 1.0;
                    sample.claimed += 1.0;
                    sample.late += now - due;
                    let rate = if place % 3 == 0 { 0.5 } else { 0.02 };
                    let wait = (2.0 * self.price.at(now) / rate)
                        .sqrt()
                        .clamp(1.0 / 12.0, 24.0);
                    self.parcels[place] = (now + wait, now);
                }
                self.late = sample.lateness(0.0);
                let filtered = self.hold.filter(self.late, is_out, Self::ROUND, now);
                let late = if holds { filtered } else { self.late };
                self.price.adjust(now, late, Self::ROUND, 1.0);
            }
        }

        /// The largest change of an hour's price by an outage of a morning, two hours after its backlog is gone.
        fn bent_by_an_outage(holds: bool) -> f64 {
            let mut model = Self {
                price: Price::start(Self::ROUND),
                hold: Hold::default(),
                parcels: (0..300).map(|n| (f64::from(n) / 100.0, 0.0)).collect(),
                minute: 0,
                tokens: 0.0,
                late: 0.0,
            };
            // Two weeks; then the Monday after, from six to noon.
            model.run(14 * 24 + 6, false, true);
            let before = model.price.by_hour;
            model.run(6, true, holds);
            model.run(1, false, holds);
            while model.late > 0.1 {
                model.run(1, false, holds);
            }
            model.run(2, false, holds);
            let bent = model.price.by_hour.iter().zip(before);
            bent.map(|(after, before)| (after / before - 1.0).abs())
                .fold(0.0, f64::max)
        }
    }

    #[test]
    fn an_outage_does_not_bend_the_prices_of_its_hours() {
        let held = Model::bent_by_an_outage(true);
        assert!(held < 0.1, "{held}");
        let followed = Model::bent_by_an_outage(false);
        assert!(followed > 0.2, "without standing still: {followed}");
    }
}
