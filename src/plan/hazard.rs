//! How likely news is: counts of the events that followed an event, by age and by slot of the week, and the rates that
//! follow from the counts.
//!
//! Each count is kept twice, with a half-life of 60 days and with one of 3 days. The fit to the fast memory starts from
//! the fit to the slow one. So it follows a carrier that changes its habits within days, and does not forget a carrier
//! with few parcels.

pub mod factors;

use std::ops::AddAssign;

use crate::plan::hazard::factors::{Cell, Factors, Memory, Week};
use crate::plan::{AGE_EDGES, AGES, Class, HOURS, SLOTS, STEP, age_class, slot_of};

/// Half-lives of the two memories, in hours.
pub const SLOW_HALF_LIFE: f64 = 60.0 * 24.0;
pub const FAST_HALF_LIFE: f64 = 3.0 * 24.0;

/// Hours between two fits. The memories decay at the same time.
pub const REFIT_EVERY: f64 = 6.0;

/// The weight of the assumed rate, in events.
const PRIOR_EVENTS: f64 = 10.0;

/// The events that came next after events of a code.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Leave {
    pub events: f64,
    /// The sum of their weights.
    pub weights: f64,
    /// How many of them ended the journey.
    pub ended: f64,
}

impl AddAssign for Leave {
    fn add_assign(&mut self, more: Self) {
        self.events += more.events;
        self.weights += more.weights;
        self.ended += more.ended;
    }
}

impl Leave {
    /// Adds an event that came next after one of the code.
    pub fn add(&mut self, weight: f64, ended: bool) {
        self.events += 1.0;
        self.weights += weight;
        self.ended += f64::from(u8::from(ended));
    }
}

/// All counts of one code.
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

    /// Adds what a check showed.
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

    /// Lets both memories decay by `hours`.
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

/// The shares of the slow and of the fast memory that are left after `hours`.
pub fn left_after(hours: f64) -> (f64, f64) {
    let left = |half_life: f64| 0.5_f64.powf(hours / half_life);
    (left(SLOW_HALF_LIFE), left(FAST_HALF_LIFE))
}

/// What a check adds to the counts of one code. Gains are added up, so their order does not matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gain {
    /// A parcel was watched for `hours` without news.
    Watched { age: usize, slot: usize, hours: f64 },
    /// Then an event happened.
    Event {
        age: usize,
        slot: usize,
        weight: f64,
        ended: bool,
    },
}

/// An event that a check showed for the first time. `C` is the type of codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewsItem<C> {
    pub at: f64,
    pub code: C,
    pub weight: f64,
    pub ends: bool,
}

/// Calls `gain` with everything that a good answer at `now` adds, code by code.
///
/// The good answer before it was at `last_ok`, and then the last event was `code` at `since`. `news` are in the order of
/// their times. An event that the carrier reports late counts as just after `last_ok`, because it was not visible then;
/// one that lies ahead counts at `now`, by when it was reported. What was not watched teaches nothing: if the event before
/// it was reported late or ahead too, there were no hours between the two in which the parcel was watched.
pub fn learn<C: Copy>(
    mut code: C,
    mut since: f64,
    last_ok: f64,
    news: &[NewsItem<C>],
    now: f64,
    mut gain: impl FnMut(C, Gain),
) {
    const JUST_AFTER: f64 = 1.0 / 3_600.0;
    let mut watched = last_ok.max(since);
    let mut was_ahead = false;
    for (place, event) in news.iter().enumerate() {
        let at = event.at.max(last_ok + JUST_AFTER).min(now);
        watch(code, since, watched, at, &mut gain);
        if place == 0 || (event.at > last_ok && !was_ahead) {
            let event_gain = Gain::Event {
                age: age_class((at - since).max(0.0)),
                slot: slot_of(at),
                weight: event.weight,
                ended: event.ends,
            };
            gain(code, event_gain);
        }
        was_ahead = event.at > now;
        (code, since, watched) = (event.code, event.at.min(now), at);
        if event.ends {
            return;
        }
    }
    watch(code, since, watched, now, &mut gain);
}

/// Splits the time from `from` to `to` at whole hours and at the edges of age classes.
fn watch<C: Copy>(code: C, since: f64, mut from: f64, to: f64, gain: &mut impl FnMut(C, Gain)) {
    // A parcel is watched for a month at most. A clock that is wrong by years must not keep this loop busy.
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

/// Events by hour of the day in the slow memory.
pub fn events_by_hour<'a>(counts: impl Iterator<Item = &'a Counts>) -> [f64; HOURS] {
    let mut events = [0.0; HOURS];
    for row in counts.flat_map(|counts| &counts.cells) {
        for (slot, cell) in row.iter().enumerate() {
            events[slot % HOURS] += cell.events;
        }
    }
    events
}

/// The rates that follow from the counts of one code.
#[derive(Clone, Debug)]
pub struct CodeFit {
    /// Events an hour, by age.
    pub by_age: [f64; AGES],
    /// A factor by slot.
    pub by_slot: [f64; SLOTS],
    /// The expected weight of the next event.
    pub next_weight: f64,
    /// The expected weight an hour of the events after the next one.
    pub after_weight: f64,
    /// The probability of an event within a [`STEP`], by age and slot.
    pub chance: [[f64; SLOTS]; AGES],
}

impl CodeFit {
    /// Events an hour at this age and slot.
    pub fn hazard(&self, age: usize, slot: usize) -> f64 {
        self.by_age[age] * self.by_slot[slot]
    }
}

/// Fits all codes of a carrier, in their order. Each is pulled towards the week that they share.
///
/// Until every hour of the day has been watched, the result is what is assumed without counts: after a quiet night, a fit
/// would predict that nothing ever happens.
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
            .map(|code| fit_code(&Counts::new(code.class), 0.0, &Week::usual()))
            .collect();
    }
    let rate = (weights + 1.0) / (by_hour.iter().sum::<f64>() + 24.0);
    let memories: Vec<Memory<'_>> = counts
        .clone()
        .map(|code| Memory::Slow(&code.cells))
        .collect();
    let starts: Vec<f64> = counts.clone().map(start).collect();
    let week = Week::shared(&memories, &starts);
    counts.map(|code| fit_code(code, rate, &week)).collect()
}

/// The rate of a code at all ages and times together, in events an hour.
fn start(counts: &Counts) -> f64 {
    let cells = counts.cells.as_flattened();
    let (events, hours) = cells
        .iter()
        .fold((0.0, 0.0), |(n, x), cell| (n + cell.events, x + cell.hours));
    (events + PRIOR_EVENTS) / (hours + PRIOR_EVENTS / counts.class.prior())
}

fn fit_code(counts: &Counts, rate: f64, week: &Week) -> CodeFit {
    let start = start(counts);
    let mut factors = Factors {
        by_age: [start; AGES],
        week: week.clone(),
    };
    Memory::Slow(&counts.cells).adjust(&mut factors, week, |age, by_age| {
        if age == 0 { start } else { by_age[age - 1] }
    });
    let slow = factors.clone();
    Memory::Fast(&counts.cells).adjust(&mut factors, &slow.week.floored(), |age, _| {
        slow.by_age[age]
    });
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
        factors.week.by_slot(),
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
