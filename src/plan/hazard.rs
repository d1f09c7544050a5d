//! How likely news is: counts of what followed which event, how long after it and at which hour, and what they say.
//!
//! Each count is kept twice, with a memory of 60 days and one of 3: the short one takes what the long one says as its
//! starting point, so that a carrier that changes its ways is followed within days and a small one is not forgotten.

use crate::plan::{AGE_EDGES, AGES, Class, HOURS, age_class, hour_of, usual_day};

/// Half-lives of the two memories, in hours.
pub const SLOW_HALF_LIFE: f64 = 60.0 * 24.0;
pub const FAST_HALF_LIFE: f64 = 3.0 * 24.0;

/// How often what was learned is fitted again, in hours; what the memories lose is taken off at the same time.
pub const REFIT_EVERY: f64 = 6.0;

/// How many hours of what is expected count as much as what was seen.
const PRIOR_EVENTS: f64 = 10.0;

/// How often the two factors of a fit are adjusted to each other.
const ROUNDS: usize = 12;

/// The least that the long memory's hour counts for the short one: an hour that was always quiet may not stay so.
const HOUR_FLOOR: f64 = 0.1;

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

/// What is known of one code.
#[derive(Clone, Debug)]
pub struct Counts {
    pub class: Class,
    pub cells: [[Cell; HOURS]; AGES],
    pub leave: Leave,
}

impl Counts {
    pub fn new(class: Class) -> Self {
        Self {
            class,
            cells: [[Cell::default(); HOURS]; AGES],
            leave: Leave::default(),
        }
    }

    /// Adds what a poll showed.
    pub fn add(&mut self, gain: &Gain) {
        match *gain {
            Gain::Watched { age, hour, hours } => {
                let cell = &mut self.cells[age][hour];
                cell.hours += hours;
                cell.fast_hours += hours;
            }
            Gain::Event {
                age,
                hour,
                weight,
                ended,
            } => {
                let cell = &mut self.cells[age][hour];
                cell.events += 1.0;
                cell.fast_events += 1.0;
                self.leave.events += 1.0;
                self.leave.weights += weight;
                self.leave.ended += f64::from(u8::from(ended));
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
    Watched { age: usize, hour: usize, hours: f64 },
    /// Then something happened.
    Event {
        age: usize,
        hour: usize,
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
            hour: hour_of(at),
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
                hour: hour_of(from),
                hours,
            },
        );
        from = end;
    }
}

/// What the counts of one code say.
#[derive(Clone, Debug)]
pub struct CodeFit {
    /// Events an hour, by age.
    pub by_age: [f64; AGES],
    /// How much more or less than that, by hour.
    pub by_hour: [f64; HOURS],
    /// The expected weight of the next event.
    pub next_weight: f64,
    /// The expected weight an hour of what follows the next event.
    pub after_weight: f64,
    /// The chance of an event within a step of the look ahead, from the two factors.
    pub chance: [[f64; HOURS]; AGES],
}

impl CodeFit {
    /// Events an hour at this age and hour.
    pub fn hazard(&self, age: usize, hour: usize) -> f64 {
        self.by_age[age] * self.by_hour[hour]
    }
}

/// One look at counts: events and hours by age and hour.
struct Look<'a>(&'a [[Cell; HOURS]; AGES], bool);

impl Look<'_> {
    fn at(&self, age: usize, hour: usize) -> (f64, f64) {
        let cell = &self.0[age][hour];
        if self.1 {
            (cell.fast_events, cell.fast_hours)
        } else {
            (cell.events, cell.hours)
        }
    }

    /// Adjusts `by_hour` and `by_age` to each other; what pulls each towards where it was expected is an argument.
    fn adjust(
        &self,
        by_age: &mut [f64; AGES],
        by_hour: &mut [f64; HOURS],
        hour_expected: &[f64; HOURS],
        age_expected: impl Fn(usize, &[f64; AGES]) -> f64,
    ) {
        for _ in 0..ROUNDS {
            for hour in 0..HOURS {
                let (mut events, mut expected) = (0.0, 0.0);
                for (age, rate) in by_age.iter().enumerate() {
                    let (n, x) = self.at(age, hour);
                    events += n;
                    expected += x * rate;
                }
                by_hour[hour] = (events + 4.0) / (expected + 4.0 / hour_expected[hour]);
            }
            let mean = by_hour.iter().sum::<f64>() / HOURS as f64;
            for factor in by_hour.iter_mut() {
                *factor /= mean;
            }
            for age in 0..AGES {
                let (mut events, mut expected) = (0.0, 0.0);
                for (hour, factor) in by_hour.iter().enumerate() {
                    let (n, x) = self.at(age, hour);
                    events += n;
                    expected += x * factor;
                }
                by_age[age] = (events + 1.0) / (expected + 1.0 / age_expected(age, by_age));
            }
        }
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
            for (hours, cell) in by_hour.iter_mut().zip(row) {
                *hours += cell.hours;
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
    let day = usual_day();
    let (mut by_age, mut by_hour) = ([start; AGES], day);
    Look(&counts.cells, false).adjust(&mut by_age, &mut by_hour, &day, |age, by_age| {
        if age == 0 { start } else { by_age[age - 1] }
    });
    let (slow_age, slow_hour) = (by_age, by_hour.map(|factor| factor.max(HOUR_FLOOR)));
    Look(&counts.cells, true).adjust(&mut by_age, &mut by_hour, &slow_hour, |age, _| {
        slow_age[age]
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
    CodeFit::new(by_age, by_hour, next_weight, after_weight.max(0.0))
}

impl CodeFit {
    pub fn new(
        by_age: [f64; AGES],
        by_hour: [f64; HOURS],
        next_weight: f64,
        after_weight: f64,
    ) -> Self {
        let mut chance = [[0.0; HOURS]; AGES];
        for (age, row) in chance.iter_mut().enumerate() {
            for (hour, chance) in row.iter_mut().enumerate() {
                *chance = -(-by_age[age] * by_hour[hour] * crate::plan::decide::STEP).exp_m1();
            }
        }
        Self {
            by_age,
            by_hour,
            next_weight,
            after_weight,
            chance,
        }
    }
}
