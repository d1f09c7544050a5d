//! The factors of a rate, by age, hour of the day and kind of day, and how they are fitted to counts.

use crate::plan::{AGES, DAYS, HOURS, KINDS, SLOTS};

/// How often the factors are adjusted to each other.
const ROUNDS: usize = 12;

/// The weight of the usual factor of an hour or a day, in events.
const PULL: f64 = 4.0;

/// Events, and hours for which parcels were watched, in both memories.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub events: f64,
    pub hours: f64,
    pub fast_events: f64,
    pub fast_hours: f64,
}

/// One of the two memories of the counts: events and hours by age and slot.
pub enum Memory<'a> {
    Slow(&'a [[Cell; SLOTS]; AGES]),
    Fast(&'a [[Cell; SLOTS]; AGES]),
}

impl Memory<'_> {
    fn at(&self, age: usize, slot: usize) -> (f64, f64) {
        match self {
            Self::Slow(cells) => {
                let cell = &cells[age][slot];
                (cell.events, cell.hours)
            }
            Self::Fast(cells) => {
                let cell = &cells[age][slot];
                (cell.fast_events, cell.fast_hours)
            }
        }
    }

    /// The events counted, and those that the other factors predict, summed by the `part` of age and slot that a factor
    /// is for.
    fn sums<const N: usize>(
        &self,
        part: fn(usize, usize) -> usize,
        expected: impl Fn(usize, usize) -> f64,
    ) -> [(f64, f64); N] {
        let mut sums = [(0.0, 0.0); N];
        for age in 0..AGES {
            for slot in 0..SLOTS {
                let (events, hours) = self.at(age, slot);
                let sum = &mut sums[part(age, slot)];
                sum.0 += events;
                sum.1 += hours * expected(age, slot);
            }
        }
        sums
    }

    /// Adjusts the factors to each other and to the counts. Hours and days are pulled towards `usual`, ages towards
    /// `usual_age`.
    pub fn adjust(
        &self,
        factors: &mut Factors,
        usual: &Factors,
        usual_age: impl Fn(usize, &[f64; AGES]) -> f64,
    ) {
        for _ in 0..ROUNDS {
            let Factors {
                by_age,
                by_hour,
                by_day,
            } = factors;
            let hours: [_; HOURS] = self.sums(
                |_, slot| slot % HOURS,
                |age, slot| by_age[age] * by_day[slot / HOURS],
            );
            for (hour, (events, expected)) in hours.into_iter().enumerate() {
                by_hour[hour] = (events + PULL) / (expected + PULL / usual.by_hour[hour]);
            }
            let mean = by_hour.iter().sum::<f64>() / HOURS as f64;
            by_hour.iter_mut().for_each(|factor| *factor /= mean);
            let days: [_; KINDS] = self.sums(
                |_, slot| slot / HOURS,
                |age, slot| by_age[age] * by_hour[slot % HOURS],
            );
            for (day, (events, expected)) in days.into_iter().enumerate() {
                by_day[day] = (events + PULL) / (expected + PULL / usual.by_day[day]);
            }
            let week: f64 = DAYS.iter().sum();
            let mean = by_day.iter().zip(DAYS).map(|(f, n)| f * n).sum::<f64>() / week;
            by_day.iter_mut().for_each(|factor| *factor /= mean);
            let slots = factors.by_slot();
            let ages: [_; AGES] = self.sums(|age, _| age, |_, slot| slots[slot]);
            for (age, (events, expected)) in ages.into_iter().enumerate() {
                factors.by_age[age] =
                    (events + 1.0) / (expected + 1.0 / usual_age(age, &factors.by_age));
            }
        }
    }
}

/// The rate of a code: events an hour by age, times a factor by hour of the day and one by kind of day. A kind of day has
/// a single factor instead of one for each hour, because one weekend shows little.
#[derive(Clone)]
pub struct Factors {
    pub by_age: [f64; AGES],
    pub by_hour: [f64; HOURS],
    pub by_day: [f64; KINDS],
}

impl Factors {
    pub fn by_slot(&self) -> [f64; SLOTS] {
        std::array::from_fn(|slot| self.by_hour[slot % HOURS] * self.by_day[slot / HOURS])
    }
}
