//! What a call comes to: the events that it shows, what is learned of them, and when the parcel is checked again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Time, at_hours, hours};
use crate::plan::Class;
use crate::plan::cadence::Cadence;
use crate::plan::decide::{longest_wait, next_check};
use crate::plan::hazard::{NewsItem, learn};
use crate::simulate::account::RETIRES_AFTER;
use crate::simulate::queue::Group;
use crate::simulate::run::Run;
use crate::simulate::setting::Contender;
use crate::simulate::tally::{News, Stale};
use crate::simulate::trace::Origin;

/// How long an outage of a carrier lasts, in hours.
const OUTAGE: f64 = 0.75;

impl Run<'_> {
    /// Calls for these parcels, each with the time at which it was due. Returns the number of calls.
    ///
    /// A call of one number that fails is told in its parcel. A larger one gives its parcels back, and so does one for which
    /// there is none `available`.
    pub(super) fn call(&mut self, claimed: Vec<(f64, usize)>, available: f64, now: f64) -> f64 {
        let down = self
            .outages
            .iter()
            .any(|at| (*at..at + OUTAGE).contains(&now));
        let mut made = 0.0;
        for call in self.calls(claimed) {
            let is_made = made < available;
            let succeeds = is_made && {
                made += 1.0;
                self.note_call(&call, now);
                self.failures.unit() >= self.setting.failing_calls && !down
            };
            for (due_at, id) in call {
                if succeeds {
                    self.check(id, now);
                } else if is_made && self.setting.numbers == 1 {
                    self.fail(id, now, |it, fails| it.after_failure(fails, at_hours(now)));
                } else {
                    self.put_back(id, due_at);
                }
            }
        }
        made
    }

    /// Cuts parcels into calls, each of one carrier. The call with the first parcel comes first.
    fn calls(&self, claimed: Vec<(f64, usize)>) -> Vec<Vec<(f64, usize)>> {
        let mut calls: Vec<Vec<(f64, usize)>> = Vec::new();
        let mut open = BTreeMap::new();
        for parcel in claimed {
            let carrier = self.account.carrier_of(self.parcels[parcel.1].stage);
            let place = *open.entry(carrier).or_insert_with(|| {
                calls.push(Vec::new());
                calls.len() - 1
            });
            calls[place].push(parcel);
            if calls[place].len() == self.setting.numbers {
                open.remove(&carrier);
            }
        }
        calls
    }

    fn note_call(&mut self, call: &[(f64, usize)], now: f64) {
        let numbers = call.len() as f64;
        if self.setting.counts(now) {
            self.tally.checks += numbers;
        }
        if self.waiting > 0 {
            let known = call
                .iter()
                .filter(|(_, id)| self.parcels[*id].last_ok.is_some());
            self.tally.import.known_checks += known.count() as f64;
            self.tally.import.checks += numbers;
        }
    }

    fn put_back(&mut self, id: usize, at: f64) {
        self.queue.push(self.parcels[id].group(), at, id);
    }

    /// A failed check: the parcel waits by the cadence until `next`.
    fn fail(&mut self, id: usize, now: f64, next: impl FnOnce(&Cadence, u32) -> Time) {
        let parcel = &mut self.parcels[id];
        parcel.fails += 1;
        if self.policy == Contender::Oracle {
            parcel.changed = now;
        } else {
            let at = hours(next(&self.cadence, parcel.fails));
            self.put_back(id, at);
        }
    }

    fn check(&mut self, id: usize, now: f64) {
        let origin = self.journeys[id].origin;
        if origin == Origin::Failing {
            if now - self.parcels[id].since > RETIRES_AFTER {
                self.retire(id);
                return;
            }
            let round = Duration::from_secs_f64(self.round() * 3_600.0);
            self.fail(id, now, |it, fails| {
                it.after_failure_of_number(fails, round, at_hours(now))
            });
            return;
        }
        let left_out = self.parcels[id].left_out(origin);
        let news = self.see(id, now, left_out);
        let parcel = &mut self.parcels[id];
        parcel.fails = 0;
        if let Some(last_ok) = parcel.last_ok {
            let counts = &mut self.counts;
            learn(
                parcel.stage,
                parcel.since,
                last_ok,
                &news,
                now,
                |stage, gain| {
                    counts[stage].add(&gain);
                },
            );
        }
        if !left_out {
            let gap = now - parcel.last_ok.unwrap_or(parcel.entered);
            if self.setting.counts(now) {
                self.tally.longest_gap = self.tally.longest_gap.max(gap);
            }
            let class = self.account.stages[parcel.stage].class;
            if self.setting.import.is_some() && class == Class::OutForDelivery {
                self.tally.import.gaps.push((now, gap));
            }
        }
        if let Some(last) = news.last() {
            (parcel.stage, parcel.since) = (last.code, last.at);
            parcel.changed = now;
        }
        if origin == Origin::Imported && parcel.last_ok.is_none() {
            self.waiting -= 1;
            self.tally.import.answered_at = now;
        }
        parcel.last_ok = Some(now);
        (parcel.quiet, parcel.unseen, parcel.cost) = (1.0, 0.0, 0.0);
        let silent = now - parcel.since > RETIRES_AFTER;
        if self.account.stages[parcel.stage].is_last() || silent {
            self.retire(id);
        } else {
            self.plan(id, now, !news.is_empty());
        }
    }

    fn retire(&mut self, id: usize) {
        self.parcels[id].active = false;
        self.active -= 1;
    }

    /// The events that the carrier shows by now. Records how long they stayed unseen, unless they are `left_out`.
    fn see(&mut self, id: usize, now: f64, left_out: bool) -> Vec<NewsItem<usize>> {
        let parcel = &mut self.parcels[id];
        let mut news = Vec::new();
        while let Some((at, stage)) = self.journeys[id].events.get(parcel.next) {
            if at + self.setting.lag > now {
                break;
            }
            parcel.next += 1;
            let entered = &self.account.stages[*stage];
            if self.setting.counts(*at) && !left_out {
                self.tally.stale.push(Stale {
                    minutes: (now - at) * 60.0,
                    weight: entered.weight,
                    day: (at / 24.0) as usize,
                    news: match entered.class {
                        _ if entered.is_last() => News::Delivered,
                        Class::OutForDelivery => News::OutForDelivery,
                        _ => News::Other,
                    },
                });
            }
            news.push(NewsItem {
                at: *at,
                code: *stage,
                weight: entered.weight,
                ends: entered.is_last(),
            });
        }
        news
    }

    fn plan(&mut self, id: usize, now: f64, changed: bool) {
        self.tally.decisions += 1;
        let parcel = &self.parcels[id];
        let longest = longest_wait(self.round());
        let at = match self.policy {
            Contender::Karrio if changed => now + 2.0,
            Contender::Fixed | Contender::Karrio => now,
            Contender::Table => {
                let hours = match self.account.stages[parcel.stage].class {
                    Class::PreTransit | Class::Pickup => 6.0,
                    Class::InTransit | Class::Exception => 3.0,
                    Class::OutForDelivery => 0.5,
                };
                now + hours * self.scale
            }
            Contender::Backoff => {
                let quiet = now - parcel.changed;
                let hours = [3.0, 6.0, 12.0, 24.0];
                let step = hours.iter().position(|step| quiet < *step * self.scale);
                now + hours[step.unwrap_or(3)] * self.scale
            }
            Contender::Learned => {
                let fit = &self.fit[parcel.stage];
                next_check(fit, &self.price, parcel.since, now, longest)
            }
            Contender::True => self.next_by_truth(id, now, longest),
            Contender::Oracle | Contender::Clairvoyant => return,
        };
        self.queue.push(Group::Known, at, id);
    }
}
