//! What deciding on the next check costs, and fitting a carrier.
//!
//! The carrier has nine codes and was watched for two weeks. Parcels have all ages at all hours, and a price at which most
//! of them wait for hours.

use std::hint::black_box;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use trackbox::plan::decide::{longest_wait, next_check};
use trackbox::plan::hazard::{Counts, NewsItem, fit, learn};
use trackbox::plan::price::Price;
use trackbox::plan::{Class, IMPORTANT};

use crate::Options;
use crate::report::{Goal, Line};

const CODES: usize = 9;

/// A round of 3 hours means 8 checks a day, one of 12 hours 2 checks a day.
const ROUNDS_HOURS: [f64; 3] = [0.5, 3.0, 12.0];

/// Checks of parcels every three hours, of which 12 % show news.
fn watched(chance: &mut StdRng) -> Vec<Counts> {
    let mut counts = vec![Counts::new(Class::InTransit); CODES];
    for _ in 0..2_000 {
        let (mut code, mut since) = (0, chance.random_range(0.0..336.0));
        let mut last_ok = since;
        for _ in 0..40 {
            let now = last_ok + 3.0;
            let moves = chance.random_range(0.0..1.0) < 0.12;
            let next = NewsItem {
                at: chance.random_range(last_ok..now),
                code: (code + 1) % CODES,
                weight: IMPORTANT,
                ends: false,
            };
            let news = if moves { vec![next] } else { Vec::new() };
            learn(code, since, last_ok, &news, now, |code, gain| {
                counts[code].add(&gain);
            });
            if moves {
                (code, since) = (next.code, next.at);
            }
            last_ok = now;
        }
    }
    counts
}

pub fn measure(options: &Options) -> Vec<Line> {
    let decisions = options.size(200_000, 1_000);
    let mut chance = StdRng::seed_from_u64(1);
    let counts = watched(&mut chance);
    let mut fitting = Line {
        figure: format!("ms to fit {CODES} codes"),
        ..Line::default()
    };
    let mut lines = ROUNDS_HOURS.map(|round| Line {
        figure: format!("µs a decision, round of {round} h"),
        goal: Some(Goal::AtMost(20.0)),
        ..Line::default()
    });
    for _ in 0..options.repetitions() {
        let began = Instant::now();
        let fits = fit(counts.iter());
        fitting.ours.push(began.elapsed().as_secs_f64() * 1e3);
        for (line, round) in lines.iter_mut().zip(ROUNDS_HOURS) {
            let (price, longest) = (Price::start(round), longest_wait(round));
            let began = Instant::now();
            for _ in 0..decisions {
                let now = chance.random_range(500.0..700.0);
                let since = now - chance.random_range(0.0_f64..200.0);
                let code = chance.random_range(0..CODES);
                black_box(next_check(&fits[code], &price, since, now, longest));
            }
            line.ours
                .push(began.elapsed().as_secs_f64() * 1e6 / decisions as f64);
        }
    }
    let mut all = vec![fitting];
    all.extend(lines);
    all
}
