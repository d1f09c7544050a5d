//! One policy on one account, minute by minute: production's learning, decisions, price and refill, and a queue that is
//! claimed from by the store's rules.

pub mod calls;
pub mod checks;
pub mod parcel;
pub mod shelf;
pub mod truth;

use std::time::Duration;

use crate::plan::cadence::Cadence;
use crate::plan::hazard::{CodeFit, Counts, REFIT_EVERY, events_by_hour, fit};
use crate::plan::price::Price;
use crate::plan::quota::{Shares, refill};
use crate::simulate::account::{InventedAccount, RETIRES_AFTER};
use crate::simulate::queue::{Group, Queue};
use crate::simulate::rates::TrueRates;
use crate::simulate::run::parcel::KnownParcel;
use crate::simulate::run::shelf::Shelf;
use crate::simulate::setting::{Contender, Setting};
use crate::simulate::tally::Tally;
use crate::simulate::trace::{Chance, Journey, Origin};

const MINUTE: f64 = 1.0 / 60.0;
const DAY: f64 = 24.0;

/// One policy on one account.
pub struct Run<'a> {
    account: &'a InventedAccount<'a>,
    journeys: &'a [Journey],
    policy: Contender,
    setting: Setting,
    parcels: Vec<KnownParcel>,
    queue: Queue,
    shelf: Shelf,
    active: usize,
    /// Imported parcels that never had an answer.
    waiting: usize,
    /// How long failed checks wait.
    cadence: Cadence,
    /// How many numbers can be checked in an hour.
    checks_per_hour: f64,
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
        account: &'a InventedAccount<'a>,
        journeys: &'a [Journey],
        policy: Contender,
        setting: Setting,
    ) -> Self {
        let stages = &account.stages;
        let counts: Vec<Counts> = stages.iter().map(|it| Counts::new(it.class)).collect();
        let checks_per_hour = setting.load * account.parcels / DAY;
        let seed = account.seed(&setting);
        let mut chance = Chance::new(seed + 5_000);
        let mut outages = Vec::new();
        let mut time = 0.0;
        while time < setting.days * DAY {
            time += chance.exponential() * 10.0 * DAY;
            outages.push(time);
        }
        Self {
            account,
            journeys,
            policy,
            setting,
            parcels: Vec::new(),
            queue: Queue::default(),
            shelf: Shelf::default(),
            active: 0,
            waiting: 0,
            cadence: cadence(),
            checks_per_hour,
            fit: fit_all(account, &counts),
            counts,
            price: Price::start(account.parcels / checks_per_hour),
            scale: 1.0,
            rates: TrueRates::new(stages),
            failures: Chance::new(seed + 1),
            outages,
            tally: Tally::default(),
        }
    }

    /// Runs to the end, and calls `day_passed` after each day.
    pub fn run(mut self, mut day_passed: impl FnMut()) -> Tally {
        let minutes = (self.setting.days * DAY * 60.0) as u64;
        let (mut tokens, mut created) = (0.0_f64, 0);
        let calls_a_day = self.checks_per_hour * DAY / self.setting.numbers as f64;
        let (mut shares, mut spent) = (Shares::default(), 0.0);
        let mut next_refit = REFIT_EVERY;
        self.begin(&mut created);
        for minute in 0..minutes {
            let now = minute as f64 * MINUTE;
            while self
                .journeys
                .get(created)
                .is_some_and(|journey| journey.known_at <= now)
            {
                self.add(created, now);
                created += 1;
            }
            if self.setting.quota && minute % 1_440 == 0 {
                self.tally.note_day(spent, calls_a_day);
                (shares, spent) = (Shares::of(&events_by_hour(self.counts.iter())), 0.0);
            }
            let available = if self.setting.quota && !matches!(self.policy, Contender::Fixed) {
                let per_minute = shares.per_minute(calls_a_day, now);
                tokens = refill(tokens, 1.0, per_minute, calls_a_day.floor() - spent);
                tokens.floor()
            } else {
                let rate = calls_a_day / 1_440.0;
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
            if self.setting.counts(now) {
                self.tally.calls += used;
                self.tally.parcel_days += self.active as f64 / 1_440.0;
            }
            if now >= next_refit {
                self.refit();
                next_refit = now + REFIT_EVERY;
            }
            if minute % 1_440 == 1_439 {
                day_passed();
            }
        }
        if self.setting.quota {
            self.tally.note_day(spent, calls_a_day);
        }
        self.count_unseen();
        self.tally
    }

    fn refit(&mut self) {
        let learns = [Contender::Learned, Contender::True, Contender::Oracle];
        if !learns.contains(&self.policy) {
            return;
        }
        self.fit = fit_all(self.account, &self.counts);
        if self.setting.forgets {
            let counts = self.counts.iter_mut();
            counts.for_each(|counts| counts.forget(REFIT_EVERY));
        }
    }

    /// Adds the parcels that are under way at the start, with the events they have by then.
    fn begin(&mut self, created: &mut usize) {
        while let Some(journey) = self.journeys.get(*created).filter(|j| j.known_at < 0.0) {
            let first = self.failures.unit() * 2.0;
            if journey.origin == Origin::Failing {
                self.add(*created, first);
                *created += 1;
                continue;
            }
            let known = journey.events.partition_point(|(at, _)| *at <= 0.0);
            let (since, stage) = journey.events[known - 1];
            let under_way = !self.account.stages[stage].is_last() && -since <= RETIRES_AFTER;
            let id = self.parcels.len();
            self.parcels
                .push(KnownParcel::answered((since, stage), known, under_way));
            if under_way {
                self.active += 1;
                self.queue.push(Group::Known, first, id);
            }
            *created += 1;
        }
    }

    /// Adds a parcel that becomes known. If its first event makes it known, that is its first answer.
    fn add(&mut self, journey: usize, first_check: f64) {
        let Journey {
            origin,
            known_at,
            ref events,
        } = self.journeys[journey];
        let mut parcel = KnownParcel::new(events[0], known_at);
        parcel.last_ok = (origin == Origin::Created).then_some(known_at);
        let group = parcel.group();
        self.parcels.push(parcel);
        self.active += 1;
        self.waiting += usize::from(origin == Origin::Imported);
        self.queue.push(group, first_check, journey);
    }

    /// How many hours it takes to check every parcel once.
    fn round(&self) -> f64 {
        self.active.max(1) as f64 / self.checks_per_hour
    }

    fn count_unseen(&mut self) {
        for (parcel, journey) in self.parcels.iter().zip(self.journeys) {
            if parcel.left_out(journey.origin) {
                continue;
            }
            let left = journey.events.get(parcel.next..).unwrap_or_default();
            let counted = left.iter().filter(|(at, _)| self.setting.counts(*at));
            self.tally.unseen += counted.count();
        }
    }
}

/// Fits each carrier of the account by itself.
fn fit_all(account: &InventedAccount<'_>, counts: &[Counts]) -> Vec<CodeFit> {
    let sections = account.sections();
    sections
        .flat_map(|stages| fit(counts[stages].iter()))
        .collect()
}

/// The cadence of the default configuration, of which only the wait after failures is used here.
fn cadence() -> Cadence {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    Cadence {
        in_transit_min: minutes(30),
        in_transit_max: minutes(90),
        unknown: minutes(60),
        backoff: [5, 15, 30, 60].map(minutes).to_vec(),
        after_delivery: Vec::new(),
        old_history: Duration::ZERO,
    }
}
