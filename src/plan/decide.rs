//! The decision: a parcel is checked again when the cost of waiting reaches the price of a call.
//!
//! The cost is the expected weight of unseen events, summed over the hours for which they stay unseen. With a constant
//! rate h and weight w, the wait is sqrt(2 price / (w h)), which is optimal for a constant rate.

use crate::plan::hazard::CodeFit;
use crate::plan::price::Price;
use crate::plan::{AGE_EDGES, STEP, age_class, slot_of};

/// The longest wait in hours. `round` is how many hours it takes to check every parcel once.
pub fn longest_wait(round: f64) -> f64 {
    /// The time after which a parcel without news expires.
    const MOST: f64 = 30.0 * 24.0;
    (4.0 * round).clamp(24.0, MOST)
}

/// Minimum hours between a good answer and an early check. Without it, spare calls would go to the same few parcels again
/// and again, because an early check hardly moves the time at which such a parcel is due.
pub fn left_alone(round: f64) -> f64 {
    round / 2.0
}

/// When to check a parcel again after a good answer at `now`: at most `longest` hours later. Its last event was at
/// `since`.
pub fn next_check(fit: &CodeFit, price: &Price, since: f64, now: f64, longest: f64) -> f64 {
    let mut ahead = LookAhead::new(fit, since, now);
    loop {
        ahead.step();
        let at = ahead.until();
        if ahead.cost >= price.at(at) || ahead.wait >= longest {
            return at;
        }
    }
}

/// The result of waiting from `from` until `to`: the expected unseen weight, and its cost in weight times hours.
pub fn waited(fit: &CodeFit, since: f64, from: f64, to: f64) -> (f64, f64) {
    let mut ahead = LookAhead::new(fit, since, from);
    // No parcel waits for more than a month, after which it expires.
    while ahead.until() + STEP / 2.0 < to && ahead.wait < 31.0 * 24.0 {
        ahead.step();
    }
    (ahead.unseen, ahead.cost)
}

/// Looks ahead, step by step, at a parcel that is not checked.
struct LookAhead<'a> {
    fit: &'a CodeFit,
    since: f64,
    from: f64,
    age: usize,
    slot: usize,
    slot_ends: f64,
    wait: f64,
    /// The probability that nothing has happened.
    quiet: f64,
    unseen: f64,
    cost: f64,
}

impl<'a> LookAhead<'a> {
    fn new(fit: &'a CodeFit, since: f64, from: f64) -> Self {
        Self {
            fit,
            since,
            from,
            age: age_class((from - since).max(0.0)),
            slot: slot_of(from),
            slot_ends: from.floor() + 1.0,
            wait: 0.0,
            quiet: 1.0,
            unseen: 0.0,
            cost: 0.0,
        }
    }

    fn until(&self) -> f64 {
        self.from + self.wait
    }

    #[inline]
    fn step(&mut self) {
        let middle = self.until() + STEP / 2.0;
        if middle >= self.slot_ends {
            self.slot = slot_of(middle);
            self.slot_ends = middle.floor() + 1.0;
        }
        while AGE_EDGES
            .get(self.age + 1)
            .is_some_and(|edge| middle - self.since >= *edge)
        {
            self.age += 1;
        }
        let happens = self.quiet * self.fit.chance[self.age][self.slot];
        let more =
            happens * self.fit.next_weight + (1.0 - self.quiet) * self.fit.after_weight * STEP;
        self.cost += (self.unseen + more / 2.0) * STEP;
        self.unseen += more;
        self.quiet -= happens;
        self.wait += STEP;
    }
}
