//! What is learned adds up, and a fit finds the rates that the counts were made with.

use proptest::prelude::*;

use super::{Counts, Gain, NewsItem, fit, learn};
use crate::plan::{AGE_EDGES, Class, HOURS, IMPORTANT, SLOTS, age_class, slot_of};

proptest! {
    /// Every hour between two answers is counted once, with the code, age and slot it had, and every event once.
    #[test]
    fn hours_and_events_are_counted_once_where_they_belong(
        since in -500.0..500.0_f64,
        quiet in 0.0..300.0_f64,
        gaps in prop::collection::vec(0.001..40.0_f64, 0..6),
        rest in 0.0..200.0_f64,
    ) {
        let last_ok = since + quiet;
        let mut at = last_ok;
        let news: Vec<NewsItem<usize>> = gaps
            .iter()
            .enumerate()
            .map(|(place, gap)| {
                at += gap;
                NewsItem { at, code: place + 1, weight: 1.0, ends: false }
            })
            .collect();
        let now = at + rest;
        let (mut hours, mut events) = (0.0, 0);
        learn(0_usize, since, last_ok, &news, now, |code, gain| match gain {
            Gain::Watched { age, slot, hours: piece } => {
                assert!(piece > 0.0 && piece <= 1.0 + 1e-9);
                assert!(age < AGE_EDGES.len() && slot < SLOTS && code <= news.len());
                hours += piece;
            }
            Gain::Event { age, slot, .. } => {
                // The event belongs to the code before it.
                let begins = if events == 0 { since } else { news[events - 1].at };
                let happened = news[events].at.max(last_ok + 1.0 / 3_600.0).min(now);
                assert_eq!((code, age, slot), (events, age_class(happened - begins), slot_of(happened)));
                events += 1;
            }
        });
        prop_assert_eq!(events, news.len());
        prop_assert!((hours - (now - last_ok)).abs() < 1e-3, "{} of {}", hours, now - last_ok);
    }

    #[test]
    fn no_times_from_outside_make_it_panic_or_run_for_ever(
        since in -1e15..1e15_f64,
        last_ok in -1e15..1e15_f64,
        event in -1e15..1e15_f64,
        now in -1e15..1e15_f64,
    ) {
        let news = [NewsItem { at: event, code: 1_usize, weight: 1.0, ends: false }];
        let mut gains = 0;
        learn(0, since, last_ok, &news, now, |_, _| gains += 1);
        prop_assert!(gains <= 4_001);
    }
}

/// The expected counts of a carrier whose rate is `rate` times a factor by hour and one by kind of day.
fn made_with(rate: f64, by_hour: impl Fn(usize) -> f64, by_day: [f64; 3]) -> Counts {
    let mut counts = Counts::new(Class::InTransit);
    for age in 0..AGE_EDGES.len() {
        for slot in 0..SLOTS {
            let hours = if slot < HOURS { 500.0 } else { 100.0 };
            let events = hours * rate * by_hour(slot % HOURS) * by_day[slot / HOURS];
            let cell = &mut counts.cells[age][slot];
            (cell.hours, cell.events) = (hours, events);
        }
    }
    counts.leave.events = 100.0;
    counts.leave.weights = 100.0 * IMPORTANT;
    counts
}

#[test]
fn a_fit_finds_the_rates_that_the_counts_were_made_with() {
    let by_hour = |hour: usize| if (8..20).contains(&hour) { 1.8 } else { 0.2 };
    let counts = made_with(0.1, by_hour, [1.2, 0.7, 0.3]);
    let fits = fit([&counts].into_iter());
    for slot in [0, 9, 13, 24 + 9, 48 + 9, 48 + 23] {
        let made = 0.1 * by_hour(slot % HOURS) * [1.2, 0.7, 0.3][slot / HOURS];
        let found = fits[0].hazard(5, slot);
        assert!(
            (found / made - 1.0).abs() < 0.15,
            "slot {slot}: {found} and {made}"
        );
    }
    assert!((fits[0].next_weight - IMPORTANT).abs() < 0.1);
}

#[test]
fn what_was_learned_lately_outweighs_what_was_learned_long_ago() {
    let mut counts = made_with(0.02, |_| 1.0, [1.0; 3]);
    for cell in counts.cells.as_flattened_mut() {
        (cell.fast_hours, cell.fast_events) = (20.0, 20.0 * 0.2);
    }
    let fits = fit([&counts].into_iter());
    let found = fits[0].hazard(5, 9);
    assert!((0.12..0.22).contains(&found), "{found}");
}

#[test]
fn before_a_whole_day_was_watched_a_fit_is_the_usual_one() {
    let mut counts = made_with(0.5, |_| 1.0, [1.0; 3]);
    for row in &mut counts.cells {
        for kind in 0..3 {
            row[kind * HOURS + 3] = super::factors::Cell::default();
        }
    }
    let fits = fit([&counts].into_iter());
    let (noon, night) = (fits[0].hazard(0, 12), fits[0].hazard(0, 2));
    assert!(
        (noon - 1.6 / 24.0).abs() < 0.01 && night < 0.01,
        "{noon} {night}"
    );
}

#[test]
fn memories_lose_half_in_their_half_lives() {
    let mut counts = made_with(0.1, |_| 1.0, [1.0; 3]);
    let before = counts.cells[3][4];
    counts.cells[3][4].fast_hours = 8.0;
    counts.forget(super::SLOW_HALF_LIFE);
    let after = counts.cells[3][4];
    assert!((after.hours - before.hours / 2.0).abs() < 1e-9);
    assert!((after.fast_hours - 8.0 / f64::powi(2.0, 20)).abs() < 1e-12);
}

#[test]
fn a_code_with_few_events_has_the_nights_of_the_others() {
    let by_hour = |hour: usize| if (4..10).contains(&hour) { 3.4 } else { 0.2 };
    let often = made_with(0.1, by_hour, [1.25, 0.6, 0.15]);
    let mut seldom = Counts::new(Class::Exception);
    seldom.cells[5][9] = super::factors::Cell {
        events: 1.0,
        hours: 20.0,
        ..super::factors::Cell::default()
    };
    let fits = fit([&often, &seldom].into_iter());
    let ratio = |one: usize, other: usize| fits[1].hazard(5, one) / fits[1].hazard(5, other);
    assert!(ratio(5, 15) > 8.0, "by hour: {}", ratio(5, 15));
    let sunday = ratio(48 + 5, 5);
    assert!(
        (0.4..0.65).contains(&sunday),
        "but the usual Sundays: {sunday}"
    );
}

#[test]
fn a_weekend_is_assumed_to_be_quieter_before_one_was_watched() {
    let mut counts = made_with(0.1, |_| 1.0, [1.0; 3]);
    for row in &mut counts.cells {
        row[HOURS..].fill(super::factors::Cell::default());
    }
    let fits = fit([&counts].into_iter());
    let by_day = [0, 24, 48].map(|slot| fits[0].hazard(5, slot + 12) / fits[0].hazard(5, 12));
    assert!(
        (by_day[1] - 0.8).abs() < 0.01 && (by_day[2] - 0.5).abs() < 0.01,
        "{by_day:?}"
    );
}
