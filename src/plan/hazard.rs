//! How likely news is: counts of what followed which event, how long after it and in which slot of the week, and what
//! they say.
//!
//! Each count is kept twice, with a memory of 60 days and one of 3: the short one takes what the long one says as its
//! starting point, so that a carrier that changes its ways is followed within days and a small one is not forgotten.

use crate::plan::{
    AGE_EDGES, AGES, Class, DAYS, HOURS, KINDS, SLOTS, STEP, age_class, slot_of, usual_day,
};

/// Half-lives of the two memories, in hours.
pub const SLOW_HALF_LIFE: f64 = 60.0 * 24.0;
pub const FAST_HALF_LIFE: f64 = 3.0 * 24.0;

/// How often what was learned is fitted again, in hours; what the memories lose is taken off at the same time.
pub const REFIT_EVERY: f64 = 6.0;

/// How many hours of what is expected count as much as what was seen.
const PRIOR_EVENTS: f64 = 10.0;

/// How often the factors of a fit are adjusted to each other.
const ROUNDS: usize = 12;

/// The least that a factor of the long memory counts for the short one: an hour that was always quiet may not stay so.
const FLOOR: f64 = 0.1;

/// How many events' worth an hour's or a day's factor is pulled towards what is usual.
const PULL: f64 = 4.0;

/// Events, and hours of watching, in both memories.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub events: f64,
    pub hours: f64,
    pub fast_events: f64,
    pub fast_hours: f64,
}

/// What came after events of a code.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Leave {
    pub events: f64,
    /// Their weights.
    pub weights: f64,
    /// How many of them ended the journey.
    pub ended: f64,
}

impl Leave {
    /// Adds an event that came after one of the code.
    pub fn add(&mut self, weight: f64, ended: bool) {
        self.events += 1.0;
        self.weights += weight;
        self.ended += f64::from(u8::from(ended));
    }
}

/// What is known of one code.
#[derive(Clone, Debug)]
pub struct Counts {
    pub class: Class,
    pub cells: [[Cell; SLOTS]; AGES],
    pub leave: Leave,
}

impl Counts {
    pub fn new(class: Class) -> Self {
        Self {
            class,
            cells: [[Cell::default(); SLOTS]; AGES],
            leave: Leave::default(),
        }
    }

    /// Adds what a poll showed.
    pub fn add(&mut self, gain: &Gain) {
        match *gain {
            Gain::Watched { age, slot, hours } => {
                let cell = &mut self.cells[age][slot];
                cell.hours += hours;
                cell.fast_hours += hours;
            }
            Gain::Event {
                age,
                slot,
                weight,
                ended,
            } => {
                let cell = &mut self.cells[age][slot];
                cell.events += 1.0;
                cell.fast_events += 1.0;
                self.leave.add(weight, ended);
            }
        }
    }

    /// Forgets as much as the memories do in `hours`.
    pub fn forget(&mut self, hours: f64) {
        let (slow, fast) = left_after(hours);
        for cell in self.cells.as_flattened_mut() {
            cell.events *= slow;
            cell.hours *= slow;
            cell.fast_events *= fast;
            cell.fast_hours *= fast;
        }
        self.leave.events *= slow;
        self.leave.weights *= slow;
        self.leave.ended *= slow;
    }
}

/// What is left in the two memories after `hours`, as shares.
pub fn left_after(hours: f64) -> (f64, f64) {
    let left = |half_life: f64| 0.5_f64.powf(hours / half_life);
    (left(SLOW_HALF_LIFE), left(FAST_HALF_LIFE))
}

/// What a poll adds to the counts of one code: always a sum, so that it does not matter who adds it when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gain {
    /// A parcel was watched for so many hours without news.
    Watched { age: usize, slot: usize, hours: f64 },
    /// Then something happened.
    Event {
        age: usize,
        slot: usize,
        weight: f64,
        ended: bool,
    },
}

/// An event that a poll showed for the first time; `C` is what codes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen<C> {
    pub at: f64,
    pub code: C,
    pub weight: f64,
    pub ends: bool,
}

/// Tells what a good poll at `now` adds, code by code: before it the last event was `code` at `since`, and the poll
/// before was at `last_ok`. `news` are in the order of their times.
///
/// An event that the carrier tells of late counts as of just after the last poll, when it was not yet to be seen.
pub fn learn<C: Copy>(
    mut code: C,
    mut since: f64,
    last_ok: f64,
    news: &[Seen<C>],
    now: f64,
    mut gain: impl FnMut(C, Gain),
) {
    const JUST_AFTER: f64 = 1.0 / 3_600.0;
    let mut watched = last_ok.max(since);
    for event in news {
        let at = event.at.max(last_ok + JUST_AFTER).min(now);
        watch(code, since, watched, at, &mut gain);
        let event_gain = Gain::Event {
            age: age_class((at - since).max(0.0)),
            slot: slot_of(at),
            weight: event.weight,
            ended: event.ends,
        };
        gain(code, event_gain);
        (code, since, watched) = (event.code, event.at.min(now), at);
        if event.ends {
            return;
        }
    }
    watch(code, since, watched, now, &mut gain);
}

/// Splits the time from `from` to `to` at whole hours and at the edges of ages.
fn watch<C: Copy>(code: C, since: f64, mut from: f64, to: f64, gain: &mut impl FnMut(C, Gain)) {
    // No parcel is watched for longer than its month; a clock that is wrong by years must not keep this busy.
    const PIECES_MAX: usize = 2_000;
    for _ in 0..PIECES_MAX {
        if from >= to {
            return;
        }
        let age = age_class((from - since).max(0.0));
        let edge = AGE_EDGES
            .get(age + 1)
            .map_or(f64::INFINITY, |edge| since + edge);
        let mut end = (from.floor() + 1.0).min(to);
        if edge > from {
            end = end.min(edge);
        }
        let hours = end - from;
        gain(
            code,
            Gain::Watched {
                age,
                slot: slot_of(from),
                hours,
            },
        );
        from = end;
    }
}

/// Events by hour of the day, as far as they are remembered.
pub fn events_by_hour<'a>(counts: impl Iterator<Item = &'a Counts>) -> [f64; HOURS] {
    let mut events = [0.0; HOURS];
    for row in counts.flat_map(|counts| &counts.cells) {
        for (slot, cell) in row.iter().enumerate() {
            events[slot % HOURS] += cell.events;
        }
    }
    events
}

/// What the counts of one code say.
#[derive(Clone, Debug)]
pub struct CodeFit {
    /// Events an hour, by age.
    pub by_age: [f64; AGES],
    /// How much more or less than that, by slot.
    pub by_slot: [f64; SLOTS],
    /// The expected weight of the next event.
    pub next_weight: f64,
    /// The expected weight an hour of what follows the next event.
    pub after_weight: f64,
    /// The chance of an event within a step of the look ahead, from both.
    pub chance: [[f64; SLOTS]; AGES],
}

impl CodeFit {
    /// Events an hour at this age and slot.
    pub fn hazard(&self, age: usize, slot: usize) -> f64 {
        self.by_age[age] * self.by_slot[slot]
    }
}

/// One look at counts: events and hours by age and slot.
struct Look<'a>(&'a [[Cell; SLOTS]; AGES], bool);

impl Look<'_> {
    fn at(&self, age: usize, slot: usize) -> (f64, f64) {
        let cell = &self.0[age][slot];
        if self.1 {
            (cell.fast_events, cell.fast_hours)
        } else {
            (cell.events, cell.hours)
        }
    }

    /// What was seen and what the other factors let expect, added up by the `part` of age and slot that a factor is for.
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

    /// Adjusts the factors to each other; hours and days are pulled towards `usual`, ages as the argument says.
    fn adjust(
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

/// What the rate of a code is made of: events an hour by age, and how much more or less than that by the hour of the day
/// and by the kind of day. A kind of day that was seen once only says little, so it has one factor and not one an hour.
#[derive(Clone)]
struct Factors {
    by_age: [f64; AGES],
    by_hour: [f64; HOURS],
    by_day: [f64; KINDS],
}

impl Factors {
    fn by_slot(&self) -> [f64; SLOTS] {
        std::array::from_fn(|slot| self.by_hour[slot % HOURS] * self.by_day[slot / HOURS])
    }
}

/// Fits all codes of a carrier, in the order that they come in.
///
/// Until every hour of the day was watched it says what is usual, whatever was counted: after a quiet night a fit would
/// say that nothing ever happens.
pub fn fit<'a>(counts: impl Iterator<Item = &'a Counts> + Clone) -> Vec<CodeFit> {
    let (mut weights, mut by_hour) = (0.0, [0.0; HOURS]);
    for code in counts.clone() {
        weights += code.leave.weights;
        for row in &code.cells {
            for (slot, cell) in row.iter().enumerate() {
                by_hour[slot % HOURS] += cell.hours;
            }
        }
    }
    if by_hour.iter().any(|hours| *hours <= 0.0) {
        return counts
            .map(|code| fit_code(&Counts::new(code.class), 0.0))
            .collect();
    }
    let rate = (weights + 1.0) / (by_hour.iter().sum::<f64>() + 24.0);
    counts.map(|code| fit_code(code, rate)).collect()
}

fn fit_code(counts: &Counts, rate: f64) -> CodeFit {
    let cells = counts.cells.as_flattened();
    let (events, hours) = cells
        .iter()
        .fold((0.0, 0.0), |(n, x), cell| (n + cell.events, x + cell.hours));
    let start = (events + PRIOR_EVENTS) / (hours + PRIOR_EVENTS / counts.class.prior());
    let usual = Factors {
        by_age: [start; AGES],
        by_hour: usual_day(),
        by_day: [1.0; KINDS],
    };
    let mut factors = usual.clone();
    Look(&counts.cells, false).adjust(&mut factors, &usual, |age, by_age| {
        if age == 0 { start } else { by_age[age - 1] }
    });
    let mut slow = factors.clone();
    slow.by_hour = slow.by_hour.map(|factor| factor.max(FLOOR));
    slow.by_day = slow.by_day.map(|factor| factor.max(FLOOR));
    Look(&counts.cells, true).adjust(&mut factors, &slow, |age, _| slow.by_age[age]);
    let leave = &counts.leave;
    let (next_weight, after_weight) = if rate > 0.0 {
        let ends = (leave.ended + 0.2) / (leave.events + 1.0);
        (
            (leave.weights + 3.0) / (leave.events + 2.0),
            rate * (1.0 - ends),
        )
    } else {
        (1.5, 0.03)
    };
    CodeFit::new(
        factors.by_age,
        factors.by_slot(),
        next_weight,
        after_weight.max(0.0),
    )
}

impl CodeFit {
    pub fn new(
        by_age: [f64; AGES],
        by_slot: [f64; SLOTS],
        next_weight: f64,
        after_weight: f64,
    ) -> Self {
        let mut chance = [[0.0; SLOTS]; AGES];
        for (age, row) in chance.iter_mut().enumerate() {
            for (slot, chance) in row.iter_mut().enumerate() {
                *chance = -(-by_age[age] * by_slot[slot] * STEP).exp_m1();
            }
        }
        Self {
            by_age,
            by_slot,
            next_weight,
            after_weight,
            chance,
        }
    }
}

#[cfg(test)]
mod tests;
