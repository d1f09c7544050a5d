//! What really happens: the events of every parcel, the same for all policies with one seed.

use std::ops::Range;

use anyhow::ensure;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use crate::simulate::process::InventedCarrier;

/// How long before its start a simulation begins to create parcels, in hours, so that all stages occur.
const WARM_UP: f64 = 40.0 * 24.0;

/// How much parcels' lanes differ, if that is simulated: sigma of a lognormal distribution.
const LANE_SIGMA: f64 = 0.6;

/// How long after the end of a simulation journeys are still followed, in hours: longer than nearly all of them last.
const FOLLOWED: f64 = 60.0 * 24.0;

/// Upper limits of the events of one parcel, for journeys that go in circles, and of all parcels of a carrier, for memory.
const EVENTS_MAX: usize = 1_000;
const ALL_EVENTS_MAX: usize = 100_000_000;

/// A stream of random numbers.
pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform from 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, by the Box-Muller transform.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

/// How a parcel came to be known, and whether its carrier ever answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It becomes known with its first event.
    Created,
    /// It was under way for a while when it became known.
    Imported,
    /// Its number always fails.
    Failing,
}

/// A parcel's true journey.
#[derive(Clone, Debug)]
pub struct Journey {
    pub origin: Origin,
    /// When the worker learns of the parcel, in hours since the start.
    pub known_at: f64,
    /// For each event its time in hours since the start, and its stage.
    pub events: Vec<(f64, usize)>,
}

/// All journeys of a carrier that begin before `end`, in the order in which they begin.
///
/// # Errors
/// They have too many events to be kept.
pub fn journeys(
    carrier: &InventedCarrier,
    seed: u64,
    end: f64,
    own_lanes: bool,
) -> anyhow::Result<Vec<Journey>> {
    created(carrier, seed, -WARM_UP..end, end + FOLLOWED, own_lanes)
}

/// Parcels to import at the time `at`: `number` of those that are under way then, in the order in which they began.
///
/// # Errors
/// As [`journeys`].
pub fn imported(
    carrier: &InventedCarrier,
    seed: u64,
    at: f64,
    number: f64,
    end: f64,
) -> anyhow::Result<Vec<Journey>> {
    /// More than that many are created, since the number of those under way is random.
    const MARGIN: f64 = 1.5;
    let mut busy = carrier.clone();
    busy.per_day *= MARGIN * number / carrier.parcels;
    let mut under_way = created(&busy, seed, at - WARM_UP..at, end + FOLLOWED, false)?;
    under_way.retain(|journey| {
        let last = journey.events.partition_point(|(time, _)| *time <= at);
        last.checked_sub(1)
            .is_some_and(|last| !carrier.stages[journey.events[last].1].is_last())
    });
    let many = (number as usize).min(under_way.len());
    let all = under_way.len();
    let chosen = (0..many).map(|place| {
        let mut journey = under_way[place * all / many].clone();
        (journey.origin, journey.known_at) = (Origin::Imported, at);
        journey
    });
    Ok(chosen.collect())
}

/// Parcels whose number always fails: `number` of them at any time until `end`, since each is given up after `given_up`.
pub fn failing(number: f64, given_up: f64, end: f64) -> Vec<Journey> {
    let every = given_up / number;
    let known_at = (0..).map(|place| f64::from(place) * every - given_up);
    known_at
        .take_while(|known_at| *known_at < end)
        .map(|known_at| Journey {
            origin: Origin::Failing,
            known_at,
            events: vec![(known_at, 0)],
        })
        .collect()
}

fn created(
    carrier: &InventedCarrier,
    seed: u64,
    during: Range<f64>,
    horizon: f64,
    own_lanes: bool,
) -> anyhow::Result<Vec<Journey>> {
    let mut chance = Chance::new(seed);
    let (mut journeys, mut events) = (Vec::new(), 0);
    let highest = carrier.created.highest();
    let per_hour = carrier.per_day / 24.0 / carrier.created.mean();
    if per_hour <= 0.0 {
        return Ok(journeys);
    }
    let mut time = during.start;
    loop {
        time += chance.exponential() / (per_hour * highest);
        if time >= during.end {
            return Ok(journeys);
        }
        if chance.unit() * highest < carrier.created.rate(time) {
            let journey = journey(carrier, time, horizon, &mut chance, own_lanes);
            events += journey.events.len();
            ensure!(
                events <= ALL_EVENTS_MAX,
                "carrier {:?} has more than {ALL_EVENTS_MAX} events: lower per_day or --days",
                carrier.name
            );
            journeys.push(journey);
        }
    }
}

fn journey(
    carrier: &InventedCarrier,
    created: f64,
    horizon: f64,
    chance: &mut Chance,
    own_lanes: bool,
) -> Journey {
    let lane = if own_lanes {
        (LANE_SIGMA * chance.normal()).exp()
    } else {
        1.0
    };
    let (mut time, mut at) = (created, 0);
    let mut events = vec![(time, at)];
    while events.len() < EVENTS_MAX {
        let stage = &carrier.stages[at];
        if stage.is_last() || chance.unit() < stage.stall {
            break;
        }
        let factor = if stage.line_haul { lane } else { 1.0 };
        let dwell = stage.dwell.at(chance.normal()) * factor;
        let Some(next) = stage.activity.after(time, dwell, horizon) else {
            break;
        };
        time = next;
        let mut pick = chance.unit();
        at = stage.next.last().map_or(at, |(next, _)| *next);
        for (next, share) in &stage.next {
            if pick < *share {
                at = *next;
                break;
            }
            pick -= share;
        }
        events.push((time, at));
    }
    Journey {
        origin: Origin::Created,
        known_at: created,
        events,
    }
}
