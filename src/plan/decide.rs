//! The decision: a parcel is looked at again when what it costs to go on waiting reaches the price of a call.
//!
//! The cost is the expected weight of events that nobody has seen, summed over the hours that they stay unseen. With a
//! constant rate h and weight w the wait is sqrt(2 price / (w h)), the best there is for a constant rate.

use crate::plan::hazard::CodeFit;
use crate::plan::price::Price;
use crate::plan::{AGE_EDGES, STEP, age_class, slot_of};

/// The longest wait in hours, where it takes `round` hours to look at every parcel once.
pub fn longest_wait(round: f64) -> f64 {
    /// The most is the time after which a parcel without news is given up.
    const MOST: f64 = 30.0 * 24.0;
    (4.0 * round).clamp(24.0, MOST)
}

/// How long a parcel is left alone after a good answer where calls are left over, in hours. Whoever cannot gain much by a
/// look now would else be looked at again and again: its time does not move on with a look.
pub fn left_alone(round: f64) -> f64 {
    round / 2.0
}

/// When to look again at a parcel whose last event was at `since`, from a good poll at `now` on; at most `longest` later.
pub fn next_check(fit: &CodeFit, price: &Price, since: f64, now: f64, longest: f64) -> f64 {
    let mut waiting = Waiting::new(fit, since, now);
    loop {
        waiting.step();
        let at = waiting.until();
        if waiting.cost >= price.at(at) || waiting.wait >= longest {
            return at;
        }
    }
}

/// What waiting from `from` until `to` comes to: the expected weight unseen, and its cost in weight times hours.
pub fn waited(fit: &CodeFit, since: f64, from: f64, to: f64) -> (f64, f64) {
    let mut waiting = Waiting::new(fit, since, from);
    // No parcel waits for longer than its month.
    while waiting.until() + STEP / 2.0 < to && waiting.wait < 31.0 * 24.0 {
        waiting.step();
    }
    (waiting.unseen, waiting.cost)
}

/// A parcel that nobody looks at, step by step.
struct Waiting<'a> {
    fit: &'a CodeFit,
    since: f64,
    from: f64,
    age: usize,
    slot: usize,
    slot_ends: f64,
    wait: f64,
    /// The chance that nothing has happened.
    quiet: f64,
    unseen: f64,
    cost: f64,
}

impl<'a> Waiting<'a> {
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
