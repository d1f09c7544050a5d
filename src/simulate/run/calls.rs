//! The calls of a minute: which parcels they ask for, and what that says of the price.

use crate::plan::decide::left_alone;
use crate::simulate::queue::Claim;
use crate::simulate::run::Run;
use crate::simulate::setting::Contender;

/// How many early parcels are read at once.
const SHELF: usize = 1_000;

/// A shelf is read anew after this share of the time for which an answered parcel is left alone.
const SHELF_AGE: f64 = 0.1;

impl Run<'_> {
    /// Claims as many parcels as `available` calls take, and calls for them. Returns the calls made.
    pub(super) fn by_queue(&mut self, now: f64, available: f64) -> f64 {
        let limit = available as usize * self.setting.numbers;
        let round = self.round();
        if limit > 0 {
            self.fill_shelf(now, limit, left_alone(round));
        }
        let halves = limit + self.shelf.half;
        self.shelf.half = halves % 2;
        let claim = Claim {
            now,
            limit,
            unanswered_max: halves / 2,
        };
        let claimed = self.queue.claim(claim, &mut self.shelf.early);
        // Those that never had an answer say nothing of how well the calls suffice for the others.
        let (mut late, mut known) = (0.0, 0.0);
        for (at, id) in &claimed {
            if self.parcels[*id].last_ok.is_some() {
                (late, known) = (late + now - at, known + 1.0);
            }
        }
        let error = if known > 0.0 {
            late / known
        } else if claimed.is_empty() && limit > 0 {
            self.queue.earliest().map_or(0.0, |at| (now - at).min(0.0))
        } else {
            0.0
        };
        let used = self.call(claimed, available, now);
        match self.policy {
            Contender::Learned | Contender::True => self.price.adjust(now, error, round, 1.0),
            Contender::Table | Contender::Backoff => {
                let error = (error / round.min(12.0)).clamp(-0.5, 0.5);
                self.scale *= (0.1 * error / 60.0).exp();
            }
            _ => {}
        }
        used
    }

    /// Reads which parcels may be checked early, if too few are left of those read before, or they are old.
    ///
    /// `table` and `backoff` take any parcel, because all policies are to make the same number of calls; `fixed` and
    /// `karrio` always have parcels that are due.
    fn fill_shelf(&mut self, now: f64, limit: usize, left_alone: f64) {
        let fresh = now - self.shelf.read_at < SHELF_AGE * left_alone;
        let early = &mut self.shelf.early;
        let (policy, parcels) = (self.policy, &self.parcels);
        let learned = matches!(policy, Contender::Learned | Contender::True);
        let simple = matches!(policy, Contender::Table | Contender::Backoff);
        if (fresh && early.len() >= limit) || !(learned || simple) {
            return;
        }
        let answered = now - left_alone;
        *early = self.queue.early(now, SHELF.max(limit), |id| {
            let old = parcels[id].last_ok.is_some_and(|at| at <= answered);
            parcels[id].fails == 0 && (old || simple)
        });
        self.shelf.read_at = now;
    }
}
