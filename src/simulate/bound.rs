//! The upper bound of what a policy can win over the fixed one with the same number of calls.
//!
//! If parcels have different rates of news, calls are best shared in proportion to the square roots of the rates. What
//! that wins depends only on how unequal the rates are. The bound holds if waits are short compared with how fast rates
//! change.

use crate::simulate::account::{InventedAccount, RETIRES_AFTER};
use crate::simulate::rates::{TrueRates, true_hazard};
use crate::simulate::trace::{Journey, Origin};

const DAY: f64 = 24.0;

/// Sums over all accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    fixed: f64,
    by_minute: f64,
    by_day: f64,
}

impl Bound {
    /// Adds an account: its true rates, hour by hour, from day `from` to day `to`, with neither imports nor failing
    /// numbers.
    pub fn add(&mut self, account: &InventedAccount<'_>, journeys: &[Journey], from: f64, to: f64) {
        let weights = TrueRates::new(&account.stages).next_weight;
        let (mut parcels, mut rates, mut roots, mut squares, mut samples) =
            (0.0, 0.0, 0.0, 0.0, 0.0);
        let mut time = from * DAY + 0.5;
        while time < to * DAY {
            let (mut rate_sum, mut root_sum) = (0.0, 0.0);
            for journey in journeys.iter().filter(|it| it.origin == Origin::Created) {
                let known = journey.events.partition_point(|(at, _)| *at <= time);
                let Some((since, stage)) = known.checked_sub(1).map(|last| journey.events[last])
                else {
                    continue;
                };
                let kind = &account.stages[stage];
                if kind.is_last() || time - since > RETIRES_AFTER {
                    continue;
                }
                let rate = weights[stage] * true_hazard(kind, since, time);
                parcels += 1.0;
                rate_sum += rate;
                root_sum += rate.sqrt();
            }
            rates += rate_sum;
            roots += root_sum;
            squares += root_sum * root_sum;
            samples += 1.0;
            time += 1.0;
        }
        // Each account has calls of its own, in proportion to its number of parcels.
        let share = 1.0 / (samples * account.parcels);
        self.fixed += parcels / samples * rates * share;
        self.by_minute += squares * share;
        self.by_day += roots * roots / samples * share;
    }

    /// How many times fresher than fixed, if calls are limited by the minute.
    pub fn by_minute(&self) -> f64 {
        self.fixed / self.by_minute.max(1e-12)
    }

    /// How many times fresher than fixed, if calls are limited by the day, so that they can be moved to better hours.
    pub fn by_day(&self) -> f64 {
        self.fixed / self.by_day.max(1e-12)
    }
}
