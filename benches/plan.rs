//! Measures how long a decision takes, and how long fitting a carrier takes: `cargo bench --bench plan`.
//!
//! The carrier has nine codes and was watched for two weeks. Parcels have all ages at all hours, and a price at which most
//! of them wait for hours. Ends with an error if a decision takes more than 20 µs on average.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use trackbox::plan::decide::next_check;
use trackbox::plan::hazard::{Counts, NewsItem, fit, learn};
use trackbox::plan::price::Price;
use trackbox::plan::{Class, IMPORTANT};

const CODES: usize = 9;
const DECISIONS: usize = 200_000;
const GOAL_MICROS: f64 = 20.0;

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

fn main() -> ExitCode {
    let mut chance = StdRng::seed_from_u64(1);
    let counts = watched(&mut chance);
    let began = Instant::now();
    let fits = fit(counts.iter());
    let fitted = began.elapsed();
    println!(
        "fitting {CODES} codes            {:9.3} ms",
        fitted.as_secs_f64() * 1e3
    );
    // A round of 3 hours means 8 checks a day, one of 12 hours 2 checks a day.
    let mut worst: f64 = 0.0;
    for round in [0.5, 3.0, 12.0] {
        let price = Price::start(round);
        let longest = trackbox::plan::decide::longest_wait(round);
        let began = Instant::now();
        let mut waits = 0.0;
        for _ in 0..DECISIONS {
            let now = chance.random_range(500.0..700.0);
            let since = now - chance.random_range(0.0_f64..200.0);
            let code = chance.random_range(0..CODES);
            let at = black_box(next_check(&fits[code], &price, since, now, longest));
            waits += at - now;
        }
        let micros = began.elapsed().as_secs_f64() * 1e6 / DECISIONS as f64;
        worst = worst.max(micros);
        println!(
            "a decision, round of {round:4} h {micros:9.3} µs, waits of {:.1} h on average",
            waits / DECISIONS as f64
        );
    }
    if worst > GOAL_MICROS {
        eprintln!("a decision takes more than {GOAL_MICROS} µs");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
