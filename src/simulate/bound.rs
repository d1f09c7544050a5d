//! The upper bound of what a policy can win over the fixed one with the same number of calls.
//!
//! If parcels have different rates of news, calls are best shared in proportion to the square roots of the rates. What
//! that wins depends only on how unequal the rates are. The bound holds if waits are short compared with how fast rates
//! change.

use crate::simulate::process::InventedCarrier;
use crate::simulate::rates::true_hazard;
use crate::simulate::trace::Journey;

const DAY: f64 = 24.0;

/// How long after its last event a parcel is no longer checked, in hours.
const RETIRES_AFTER: f64 = 30.0 * DAY;

/// Sums over all carriers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    fixed: f64,
    by_minute: f64,
    by_day: f64,
}

impl Bound {
    /// Adds a carrier: its true rates, hour by hour, from day `from` to day `to`.
    pub fn add(&mut self, carrier: &InventedCarrier, journeys: &[Journey], from: f64, to: f64) {
        let weights: Vec<f64> = carrier
            .stages
            .iter()
            .map(|stage| {
                let next = stage.next.iter();
                next.map(|(next, chance)| chance * carrier.stages[*next].weight)
                    .sum()
            })
            .collect();
        let (mut parcels, mut rates, mut roots, mut squares, mut samples) =
            (0.0, 0.0, 0.0, 0.0, 0.0);
        let mut time = from * DAY + 0.5;
        while time < to * DAY {
            let (mut rate_sum, mut root_sum) = (0.0, 0.0);
            for journey in journeys {
                let known = journey.events.partition_point(|(at, _)| *at <= time);
                let Some((since, stage)) = known.checked_sub(1).map(|last| journey.events[last])
                else {
                    continue;
                };
                if carrier.stages[stage].is_last() || time - since > RETIRES_AFTER {
                    continue;
                }
                let rate = weights[stage] * true_hazard(carrier, stage, since, time);
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
        // Each carrier has calls of its own, in proportion to its number of parcels.
        let share = 1.0 / (samples * carrier.parcels);
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
