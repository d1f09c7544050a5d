//! The decision: a parcel is looked at again when what it costs to go on waiting reaches the price of a call.
//!
//! The cost is the expected weight of events that nobody has seen, summed over the hours that they stay unseen. With a
//! constant rate h and weight w the wait is sqrt(2 price / (w h)), the best there is for a constant rate.

use crate::plan::hazard::CodeFit;
use crate::plan::price::Price;
use crate::plan::{AGE_EDGES, age_class, hour_of};

/// The step of the look ahead, in hours.
pub const STEP: f64 = 1.0 / 12.0;

/// What a decision rests on, to be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// When to look again.
    pub at: f64,
    /// The weight of events that are then expected to be there, unseen.
    pub unseen: f64,
    /// What waiting until then costs: weight times hours.
    pub cost: f64,
    /// The price that the cost has reached, unless the bound came first.
    pub price: f64,
    /// Whether the longest wait came first.
    pub bounded: bool,
}

/// When to look again at a parcel whose last event was at `since`, from a good poll at `now` on; at most `longest` later.
pub fn next_check(fit: &CodeFit, price: &Price, since: f64, now: f64, longest: f64) -> Decision {
    // The chance that nothing has happened, what is unseen, and what that has cost.
    let (mut quiet, mut unseen, mut cost, mut wait) = (1.0, 0.0, 0.0, 0.0);
    let mut age = age_class((now - since).max(0.0));
    loop {
        let middle = now + wait + STEP / 2.0;
        while AGE_EDGES
            .get(age + 1)
            .is_some_and(|edge| middle - since >= *edge)
        {
            age += 1;
        }
        let happens = quiet * fit.chance[age][hour_of(middle)];
        let more = happens * fit.next_weight + (1.0 - quiet) * fit.after_weight * STEP;
        cost += (unseen + more / 2.0) * STEP;
        unseen += more;
        quiet -= happens;
        wait += STEP;
        let asked = price.at(now + wait);
        let bounded = wait >= longest;
        if cost >= asked || bounded {
            return Decision {
                at: now + wait,
                unseen,
                cost,
                price: asked,
                bounded: bounded && cost < asked,
            };
        }
    }
}
