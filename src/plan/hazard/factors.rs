//! The factors of a rate, by age, hour of the day and kind of day, and how they are fitted to counts.

use std::ops::AddAssign;

use crate::plan::{AGES, DAYS, HOURS, KINDS, SLOTS, USUAL_WEEK, usual_day};

/// How often the factors are adjusted to each other.
const ROUNDS: usize = 12;

/// The weight of the usual factor of an hour or a day, in events.
const PULL: f64 = 4.0;

/// The smallest factor that is handed on as the usual one: an hour that was always quiet may change.
const FLOOR: f64 = 0.1;

/// Events, and hours for which parcels were watched, in both memories.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub events: f64,
    pub hours: f64,
    pub fast_events: f64,
    pub fast_hours: f64,
}

impl AddAssign for Cell {
    fn add_assign(&mut self, more: Self) {
        self.events += more.events;
        self.hours += more.hours;
        self.fast_events += more.fast_events;
        self.fast_hours += more.fast_hours;
    }
}

/// One of the two memories of the counts: events and hours by age and slot.
pub enum Memory<'a> {
    Slow(&'a [[Cell; SLOTS]; AGES]),
    Fast(&'a [[Cell; SLOTS]; AGES]),
}

/// Events, and the events that the factors of the ages predict, by slot.
type BySlot = [(f64, f64); SLOTS];

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

    fn add_slots(&self, by_age: &[f64; AGES], sums: &mut BySlot) {
        for (age, rate) in by_age.iter().enumerate() {
            for (slot, sum) in sums.iter_mut().enumerate() {
                let (events, hours) = self.at(age, slot);
                sum.0 += events;
                sum.1 += hours * rate;
            }
        }
    }

    /// Adjusts the rates by age. They are pulled towards `usual_age`, one event each.
    fn adjust_ages(
        &self,
        by_age: &mut [f64; AGES],
        week: &Week,
        usual_age: impl Fn(usize, &[f64; AGES]) -> f64,
    ) {
        let slots = week.by_slot();
        for age in 0..AGES {
            let (mut events, mut expected) = (0.0, 0.0);
            for (slot, factor) in slots.iter().enumerate() {
                let (n, hours) = self.at(age, slot);
                events += n;
                expected += hours * factor;
            }
            by_age[age] = (events + 1.0) / (expected + 1.0 / usual_age(age, by_age));
        }
    }

    /// Adjusts the factors of one code to each other and to its counts. Those of the week are pulled towards `usual`.
    pub fn adjust(
        &self,
        factors: &mut Factors,
        usual: &Week,
        usual_age: impl Fn(usize, &[f64; AGES]) -> f64,
    ) {
        for _ in 0..ROUNDS {
            let mut slots = [(0.0, 0.0); SLOTS];
            self.add_slots(&factors.by_age, &mut slots);
            factors.week.adjust(usual, &slots);
            self.adjust_ages(&mut factors.by_age, &factors.week, &usual_age);
        }
    }
}

/// A factor by hour of the day and one by kind of day; the mean of each over a week is 1. A kind of day has a single factor
/// instead of one for each hour, because one weekend shows little.
#[derive(Clone)]
pub struct Week {
    pub by_hour: [f64; HOURS],
    pub by_day: [f64; KINDS],
}

impl Week {
    /// What is assumed before anything was learned.
    pub fn usual() -> Self {
        Self {
            by_hour: usual_day(),
            by_day: USUAL_WEEK,
        }
    }

    /// The week that codes are pulled towards: its hours are fitted to the slow memories of all codes of a carrier together,
    /// each with rates of its own by age, which begin at `starts`. So a code with few events knows the nights of the others.
    ///
    /// Its days stay the usual ones. Codes differ too much in them: a hub that rests on Sundays would say that nothing is
    /// delivered then. In simulations that made the first Sunday worse, and more so for small carriers.
    pub fn shared(memories: &[Memory<'_>], starts: &[f64]) -> Self {
        let (usual, mut week) = (Self::usual(), Self::usual());
        let mut rates: Vec<[f64; AGES]> = starts.iter().map(|start| [*start; AGES]).collect();
        for _ in 0..ROUNDS {
            let mut slots = [(0.0, 0.0); SLOTS];
            for (memory, by_age) in memories.iter().zip(&rates) {
                memory.add_slots(by_age, &mut slots);
            }
            week.adjust(&usual, &slots);
            for ((memory, by_age), start) in memories.iter().zip(&mut rates).zip(starts) {
                memory.adjust_ages(by_age, &week, |age, by_age| {
                    if age == 0 { *start } else { by_age[age - 1] }
                });
            }
        }
        week.by_day = usual.by_day;
        week.floored()
    }

    pub fn floored(&self) -> Self {
        Self {
            by_hour: self.by_hour.map(|factor| factor.max(FLOOR)),
            by_day: self.by_day.map(|factor| factor.max(FLOOR)),
        }
    }

    pub fn by_slot(&self) -> [f64; SLOTS] {
        std::array::from_fn(|slot| self.by_hour[slot % HOURS] * self.by_day[slot / HOURS])
    }

    fn adjust(&mut self, usual: &Self, slots: &BySlot) {
        let mut sums = [(0.0, 0.0); HOURS];
        for (slot, (events, expected)) in slots.iter().enumerate() {
            let sum = &mut sums[slot % HOURS];
            sum.0 += events;
            sum.1 += expected * self.by_day[slot / HOURS];
        }
        pull(&mut self.by_hour, &usual.by_hour, &sums, [1.0; HOURS]);
        let mut sums = [(0.0, 0.0); KINDS];
        for (slot, (events, expected)) in slots.iter().enumerate() {
            let sum = &mut sums[slot / HOURS];
            sum.0 += events;
            sum.1 += expected * self.by_hour[slot % HOURS];
        }
        pull(&mut self.by_day, &usual.by_day, &sums, DAYS);
    }
}

/// Sets each factor to the events counted over the events expected, pulled towards the usual factor, and then scales the
/// factors to a mean of 1. `times` is how often each counts in the mean.
fn pull<const N: usize>(
    factors: &mut [f64; N],
    usual: &[f64; N],
    sums: &[(f64, f64); N],
    times: [f64; N],
) {
    for ((factor, usual), (events, expected)) in factors.iter_mut().zip(usual).zip(sums) {
        *factor = (events + PULL) / (expected + PULL / usual);
    }
    let whole: f64 = times.iter().sum();
    let mean = factors.iter().zip(times).map(|(f, n)| f * n).sum::<f64>() / whole;
    factors.iter_mut().for_each(|factor| *factor /= mean);
}

/// The rate of a code: events an hour by age, times the factors of the week.
#[derive(Clone)]
pub struct Factors {
    pub by_age: [f64; AGES],
    pub week: Week,
}
