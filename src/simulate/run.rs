//! One policy on one carrier, minute by minute: production's learning, decisions, price and refill, over a heap.

pub mod parcel;
pub mod truth;

use crate::plan::Class;
use crate::plan::decide::{left_alone, longest_wait, next_check};
use crate::plan::hazard::{CodeFit, Counts, NewsItem, REFIT_EVERY, events_by_hour, fit, learn};
use crate::plan::price::Price;
use crate::plan::quota::{Shares, refill};
use crate::simulate::process::InventedCarrier;
use crate::simulate::queue::Queue;
use crate::simulate::rates::TrueRates;
use crate::simulate::run::parcel::KnownParcel;
use crate::simulate::setting::{Contender, Setting, Stale, Tally};
use crate::simulate::trace::{Chance, Journey};

const MINUTE: f64 = 1.0 / 60.0;
const DAY: f64 = 24.0;

/// How long after its last news a parcel is no longer checked, in hours.
const RETIRES_AFTER: f64 = 30.0 * DAY;

/// How many parcels that are not due are looked through for those that may be checked early, as in the store.
const EARLY_MAX: usize = 1_000;

/// One policy on one carrier.
pub struct Run<'a> {
    carrier: &'a InventedCarrier,
    journeys: &'a [Journey],
    policy: Contender,
    setting: Setting,
    parcels: Vec<KnownParcel>,
    queue: Queue,
    resting: Queue,
    active: usize,
    calls_per_hour: f64,
    counts: Vec<Counts>,
    fit: Vec<CodeFit>,
    price: Price,
    /// The factor of the intervals of `table` and `backoff`.
    scale: f64,
    rates: TrueRates,
    failures: Chance,
    outages: Vec<f64>,
    tally: Tally,
}

impl<'a> Run<'a> {
    pub fn new(
        carrier: &'a InventedCarrier,
        journeys: &'a [Journey],
        policy: Contender,
        setting: Setting,
    ) -> Self {
        let counts: Vec<Counts> = carrier
            .stages
            .iter()
            .map(|stage| Counts::new(stage.class))
            .collect();
        let calls_per_hour = setting.load * carrier.parcels / DAY;
        let mut chance = Chance::new(setting.seed + 5_000);
        let mut outages = Vec::new();
        let mut time = 0.0;
        while time < setting.days * DAY {
            time += chance.exponential() * 10.0 * DAY;
            outages.push(time);
        }
        Self {
            carrier,
            journeys,
            policy,
            setting,
            parcels: Vec::new(),
            queue: Queue::default(),
            resting: Queue::default(),
            active: 0,
            calls_per_hour,
            fit: fit(counts.iter()),
            counts,
            price: Price::start(carrier.parcels / calls_per_hour),
            scale: 1.0,
            rates: TrueRates::new(carrier),
            failures: Chance::new(setting.seed + 1),
            outages,
            tally: Tally::default(),
        }
    }

    /// Runs to the end, and calls `day_passed` after each day.
    pub fn run(mut self, mut day_passed: impl FnMut()) -> Tally {
        let minutes = (self.setting.days * DAY * 60.0) as u64;
        let (mut tokens, mut created) = (0.0_f64, 0);
        let calls_a_day = self.calls_per_hour * DAY;
        let (mut shares, mut spent) = (Shares::default(), 0.0);
        let mut next_refit = REFIT_EVERY;
        self.begin(&mut created);
        for minute in 0..minutes {
            let now = minute as f64 * MINUTE;
            while self
                .journeys
                .get(created)
                .is_some_and(|j| j.events[0].0 <= now)
            {
                self.add(created, now);
                created += 1;
            }
            let available = if self.setting.quota && !matches!(self.policy, Contender::Fixed) {
                if minute % 1_440 == 0 {
                    self.note_day(spent, calls_a_day);
                    (shares, spent) = (Shares::of(&events_by_hour(self.counts.iter())), 0.0);
                }
                let per_minute = shares.per_minute(calls_a_day, now);
                tokens = refill(tokens, 1.0, per_minute, calls_a_day.floor() - spent);
                tokens.floor()
            } else {
                let rate = self.calls_per_hour / 60.0;
                tokens = (tokens + rate).min(rate.max(1.0) + 1.0);
                tokens.floor()
            };
            let used = match self.policy {
                Contender::Oracle => self.by_index(now, available),
                Contender::Clairvoyant => self.by_knowledge(now, available),
                _ => self.by_queue(now, available),
            };
            tokens -= used;
            spent += used;
            let day = now / DAY;
            if day >= self.setting.from && day < self.setting.to {
                self.tally.calls += used;
                self.tally.parcel_days += self.active as f64 / 1_440.0;
            }
            if now >= next_refit
                && matches!(
                    self.policy,
                    Contender::Learned | Contender::True | Contender::Oracle
                )
            {
                self.fit = fit(self.counts.iter());
                if self.setting.forgets {
                    self.counts
                        .iter_mut()
                        .for_each(|counts| counts.forget(REFIT_EVERY));
                }
                next_refit = now + REFIT_EVERY;
            }
            if minute % 1_440 == 1_439 {
                day_passed();
            }
        }
        if self.setting.quota {
            self.note_day(spent, calls_a_day);
        }
        self.count_unseen();
        self.tally
    }

    fn note_day(&mut self, spent: f64, calls: f64) {
        let share = spent / calls.floor().max(1.0);
        self.tally.busiest_day = self.tally.busiest_day.max(share);
    }

    /// Adds the parcels that are under way at the start, with the events they have by then.
    fn begin(&mut self, created: &mut usize) {
        while let Some(journey) = self.journeys.get(*created).filter(|j| j.events[0].0 < 0.0) {
            let known = journey
                .events
                .iter()
                .take_while(|(at, _)| *at <= 0.0)
                .count();
            let (since, stage) = journey.events[known - 1];
            let under_way = !self.carrier.stages[stage].is_last() && -since <= RETIRES_AFTER;
            let first = self.failures.unit() * 2.0;
            let id = self.parcels.len();
            self.parcels
                .push(KnownParcel::new((since, stage), 0.0, known, under_way));
            if under_way {
                self.active += 1;
                self.queue.push(first, id);
            }
            *created += 1;
        }
    }

    fn add(&mut self, journey: usize, now: f64) {
        // The first event makes the parcel known, so it is seen at once.
        let first = self.journeys[journey].events[0];
        self.parcels.push(KnownParcel::new(first, first.0, 1, true));
        self.active += 1;
        self.queue.push(now, journey);
    }

    fn by_queue(&mut self, now: f64, available: f64) -> f64 {
        while self.resting.earliest().is_some_and(|at| at <= now) {
            if let Some((at, id)) = self.resting.pop() {
                self.queue.push(at, id);
            }
        }
        let round = self.active.max(1) as f64 / self.calls_per_hour;
        let learned = matches!(self.policy, Contender::Learned | Contender::True);
        let answered_before = now - left_alone(round);
        let mut left_alone = Vec::new();
        let (mut used, mut late) = (0.0, 0.0);
        while used < available && left_alone.len() < EARLY_MAX {
            let Some((at, id)) = self.queue.pop() else {
                break;
            };
            if !self.parcels[id].active {
                continue;
            }
            if learned && at > now && self.parcels[id].last_ok > answered_before {
                left_alone.push((at, id));
                continue;
            }
            used += 1.0;
            late += now - at;
            self.poll(id, now);
        }
        for (at, id) in left_alone {
            self.queue.push(at, id);
        }
        let error = if used > 0.0 {
            late / used
        } else if available >= 1.0 {
            self.queue.earliest().map_or(0.0, |at| (now - at).min(0.0))
        } else {
            0.0
        };
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

    fn poll(&mut self, id: usize, now: f64) {
        let down = self
            .outages
            .iter()
            .any(|at| (*at..at + 0.75).contains(&now));
        let fails = self.failures.unit() < self.setting.failing || down;
        if fails {
            let parcel = &mut self.parcels[id];
            parcel.fails += 1;
            if self.policy == Contender::Oracle {
                parcel.changed = now;
            } else {
                self.resting.push(now + backoff(parcel.fails), id);
            }
            return;
        }
        let news = self.see(id, now);
        let parcel = &mut self.parcels[id];
        parcel.fails = 0;
        let day = now / DAY;
        if day >= self.setting.from && day < self.setting.to {
            let gap = now - parcel.last_ok.max(parcel.entered);
            self.tally.longest_gap = self.tally.longest_gap.max(gap);
        }
        learn(
            parcel.stage,
            parcel.since,
            parcel.last_ok,
            &news,
            now,
            |stage, gain| {
                self.counts[stage].add(&gain);
            },
        );
        if let Some(last) = news.last() {
            parcel.stage = last.code;
            parcel.since = last.at;
            parcel.changed = now;
        }
        parcel.last_ok = now;
        (parcel.quiet, parcel.unseen, parcel.cost) = (1.0, 0.0, 0.0);
        let done =
            self.carrier.stages[parcel.stage].is_last() || now - parcel.since > RETIRES_AFTER;
        if done {
            parcel.active = false;
            self.active -= 1;
        } else {
            self.plan(id, now, !news.is_empty());
        }
    }

    /// The events that the carrier shows by now. Records how long they stayed unseen.
    fn see(&mut self, id: usize, now: f64) -> Vec<NewsItem<usize>> {
        let parcel = &mut self.parcels[id];
        let mut news = Vec::new();
        while let Some((at, stage)) = self.journeys[id].events.get(parcel.next) {
            if at + self.setting.lag > now {
                break;
            }
            parcel.next += 1;
            let day = at / DAY;
            let weight = self.carrier.stages[*stage].weight;
            if day >= self.setting.from && day < self.setting.to {
                self.tally.stale.push(Stale {
                    minutes: (now - at) * 60.0,
                    weight,
                    day: day as usize,
                });
            }
            news.push(NewsItem {
                at: *at,
                code: *stage,
                weight,
                ends: self.carrier.stages[*stage].is_last(),
            });
        }
        news
    }

    fn plan(&mut self, id: usize, now: f64, changed: bool) {
        self.tally.decisions += 1;
        let parcel = &self.parcels[id];
        let longest = longest_wait(self.active as f64 / self.calls_per_hour);
        match self.policy {
            Contender::Fixed => self.queue.push(now, id),
            Contender::Karrio if changed => self.resting.push(now + 2.0, id),
            Contender::Karrio => self.queue.push(now, id),
            Contender::Table => {
                let hours = match self.carrier.stages[parcel.stage].class {
                    Class::PreTransit | Class::Pickup => 6.0,
                    Class::InTransit | Class::Exception => 3.0,
                    Class::OutForDelivery => 0.5,
                };
                self.queue.push(now + hours * self.scale, id);
            }
            Contender::Backoff => {
                let quiet = now - parcel.changed;
                let hours = [3.0, 6.0, 12.0, 24.0];
                let step = hours.iter().position(|step| quiet < *step * self.scale);
                self.queue
                    .push(now + hours[step.unwrap_or(3)] * self.scale, id);
            }
            Contender::Learned => {
                let fit = &self.fit[parcel.stage];
                let at = next_check(fit, &self.price, parcel.since, now, longest);
                self.queue.push(at, id);
            }
            Contender::True => {
                let at = self.next_by_truth(id, now, longest);
                self.queue.push(at, id);
            }
            Contender::Oracle | Contender::Clairvoyant => {}
        }
    }

    fn count_unseen(&mut self) {
        for (id, parcel) in self.parcels.iter().enumerate() {
            let left = self.journeys[id]
                .events
                .get(parcel.next..)
                .unwrap_or_default();
            let counts = |at: f64| at >= self.setting.from * DAY && at < self.setting.to * DAY;
            self.tally.unseen += left.iter().filter(|(at, _)| counts(*at)).count();
        }
    }
}

/// The wait after `fails` failures in a row, in hours.
fn backoff(fails: i32) -> f64 {
    (5.0 * 2.0_f64.powi((fails - 1).min(10))).min(60.0) / 60.0
}
