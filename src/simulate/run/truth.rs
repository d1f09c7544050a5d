//! The policies that know more than a worker can: the true rates, or what has changed.

use crate::clock::{at_hours, hours};
use crate::plan::STEP;
use crate::simulate::rates::true_hazard;
use crate::simulate::run::{MINUTE, Run};

impl Run<'_> {
    /// Checks the parcels whose waiting has cost most, by the true rates.
    pub fn by_index(&mut self, now: f64, available: f64) -> f64 {
        let mut best: Vec<(f64, usize)> = Vec::with_capacity(self.active);
        for (id, parcel) in self.parcels.iter_mut().enumerate() {
            if !parcel.active {
                continue;
            }
            let stage = &self.account.stages[parcel.stage];
            let hazard = true_hazard(stage, parcel.since, now - MINUTE / 2.0);
            let happens = parcel.quiet * -(-hazard * MINUTE).exp_m1();
            let after = self.fit[parcel.stage].after_weight;
            let more = happens * self.rates.next_weight[parcel.stage]
                + (1.0 - parcel.quiet) * after * MINUTE;
            parcel.cost += (parcel.unseen + more / 2.0) * MINUTE;
            parcel.unseen += more;
            parcel.quiet -= happens;
            let failed = at_hours(parcel.changed);
            let waits_until = self.cadence.after_failure(parcel.fails, failed);
            if parcel.fails == 0 || hours(waits_until) <= now {
                best.push((parcel.cost, id));
            }
        }
        let wanted = (available as usize * self.setting.numbers).min(best.len());
        if wanted > 0 && wanted < best.len() {
            best.select_nth_unstable_by(wanted - 1, |a, b| b.0.total_cmp(&a.0));
        }
        let chosen: Vec<(f64, usize)> = best.into_iter().take(wanted).collect();
        self.call(chosen, available, now)
    }

    /// Checks the parcels that have changed, those with most unseen weight first.
    pub fn by_knowledge(&mut self, now: f64, available: f64) -> f64 {
        let mut changed: Vec<(f64, usize)> = Vec::new();
        for (id, parcel) in self
            .parcels
            .iter()
            .enumerate()
            .filter(|(_, parcel)| parcel.active)
        {
            let events = &self.journeys[id].events[parcel.next..];
            let weight: f64 = events
                .iter()
                .take_while(|(at, _)| at + self.setting.lag <= now)
                .map(|(_, stage)| self.account.stages[*stage].weight)
                .sum();
            if weight > 0.0 {
                changed.push((weight, id));
            }
        }
        changed.sort_by(|a, b| b.0.total_cmp(&a.0));
        let wanted = (available as usize * self.setting.numbers).min(changed.len());
        let chosen: Vec<(f64, usize)> = changed.into_iter().take(wanted).collect();
        self.call(chosen, available, now)
    }

    /// The learned decision, but with the true rates.
    pub fn next_by_truth(&self, id: usize, now: f64, longest: f64) -> f64 {
        let parcel = &self.parcels[id];
        let after = self.fit[parcel.stage].after_weight;
        let (mut quiet, mut unseen, mut cost, mut wait) = (1.0, 0.0, 0.0, 0.0);
        while wait < longest {
            let middle = now + wait + STEP / 2.0;
            let stage = &self.account.stages[parcel.stage];
            let hazard = true_hazard(stage, parcel.since, middle);
            let happens = quiet * -(-hazard * STEP).exp_m1();
            let more =
                happens * self.rates.next_weight[parcel.stage] + (1.0 - quiet) * after * STEP;
            cost += (unseen + more / 2.0) * STEP;
            unseen += more;
            quiet -= happens;
            wait += STEP;
            if cost >= self.price.at(now + wait) {
                break;
            }
        }
        now + wait
    }
}
