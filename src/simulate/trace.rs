//! What really happens: the events of every parcel, the same for all policies with one seed.

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

/// A parcel's true journey: for each event its time in hours since the start, and its stage.
#[derive(Clone, Debug)]
pub struct Journey {
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
    let mut chance = Chance::new(seed);
    let (mut journeys, mut events) = (Vec::new(), 0);
    let highest = carrier.created.highest();
    let per_hour = carrier.per_day / 24.0 / carrier.created.mean();
    if per_hour <= 0.0 {
        return Ok(journeys);
    }
    let mut time = -WARM_UP;
    loop {
        time += chance.exponential() / (per_hour * highest);
        if time >= end {
            return Ok(journeys);
        }
        if chance.unit() * highest < carrier.created.rate(time) {
            let journey = journey(carrier, time, end + FOLLOWED, &mut chance, own_lanes);
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
    Journey { events }
}
