//! What a limit allows: how long an event stays unseen on average, calculated from what was learned.
//!
//! The hours for which parcels were watched in a cell show how parcels are spread over the cells. If waits are short
//! compared with how fast rates change, the best wait of a parcel with the weighted rate r is sqrt(2 price / r). An event
//! then stays unseen for half of it. The price is the one at which all calls are used.

use crate::plan::STEP;
use crate::plan::hazard::{CodeFit, Counts};
use crate::plan::{DAYS, HOURS};

/// The calls available, and the parcels to spend them on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supply {
    /// Parcels that are checked.
    pub parcels: f64,
    pub checks_per_hour: f64,
    /// Whether calls can be moved from one hour of the day to another.
    pub by_day: bool,
    /// The longest wait in hours.
    pub longest: f64,
}

/// A share of the parcels, and their weighted rate.
type RateShare = (f64, f64);

/// Hours from an event to the check that shows it, as a mean over the events by weight. `None` until every hour of the day
/// has been watched.
pub fn staleness<'a>(
    codes: impl Iterator<Item = &'a (Counts, CodeFit)> + Clone,
    supply: &Supply,
) -> Option<f64> {
    let (mut unseen, mut events) = (0.0, 0.0);
    for (kind, times) in DAYS.into_iter().enumerate() {
        let day: Vec<Vec<RateShare>> = (0..HOURS)
            .map(|hour| shares(codes.clone(), kind, hour))
            .collect();
        if day.iter().any(Vec::is_empty) {
            return None;
        }
        let whole_day = supply.by_day.then(|| balance(&day, supply));
        for hour in &day {
            let price = whole_day.unwrap_or_else(|| balance(std::slice::from_ref(hour), supply));
            for (share, rate) in hour {
                events += times * share * rate;
                unseen += times * share * rate * wait(price, *rate, supply.longest) / 2.0;
            }
        }
    }
    (events > 0.0).then(|| unseen / events)
}

/// How parcels are spread at an hour, over all kinds of days, with their rates on a day of one kind.
fn shares<'a>(
    codes: impl Iterator<Item = &'a (Counts, CodeFit)>,
    kind: usize,
    hour: usize,
) -> Vec<RateShare> {
    let mut shares = Vec::new();
    for (counts, fit) in codes {
        for (age, row) in counts.cells.iter().enumerate() {
            let watched: f64 = row
                .iter()
                .skip(hour)
                .step_by(HOURS)
                .map(|it| it.hours)
                .sum();
            if watched > 0.0 {
                let rate = fit.hazard(age, kind * HOURS + hour) * fit.next_weight;
                shares.push((watched, rate));
            }
        }
    }
    let whole: f64 = shares.iter().map(|(watched, _)| watched).sum();
    shares.iter_mut().for_each(|(share, _)| *share /= whole);
    shares
}

fn wait(price: f64, rate: f64, longest: f64) -> f64 {
    (2.0 * price / rate.max(1e-12)).sqrt().clamp(STEP, longest)
}

/// The price at which the checks wanted equal the checks available.
fn balance(hours: &[Vec<RateShare>], supply: &Supply) -> f64 {
    let wanted = |price: f64| {
        let checks = hours
            .iter()
            .flatten()
            .map(|(share, rate)| supply.parcels * share / wait(price, *rate, supply.longest));
        checks.sum::<f64>() / hours.len() as f64
    };
    // Bisects the logarithm of the price. After 60 halvings the bounds are equal.
    let (mut low, mut high) = (-30.0_f64, 30.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if wanted(middle.exp()) > supply.checks_per_hour {
            low = middle;
        } else {
            high = middle;
        }
    }
    high.exp()
}

#[cfg(test)]
mod tests {
    use super::{Supply, staleness};
    use crate::plan::hazard::factors::Cell;
    use crate::plan::hazard::{CodeFit, Counts};
    use crate::plan::{AGES, Class, HOURS, SLOTS};

    fn code(hours: f64, rate: f64, weight: f64) -> (Counts, CodeFit) {
        let mut counts = Counts::new(Class::InTransit);
        for hour in 0..HOURS {
            let cell = Cell {
                hours,
                ..Cell::default()
            };
            counts.cells[5][hour] = cell;
        }
        (
            counts,
            CodeFit::new([rate; AGES], [1.0; SLOTS], weight, 0.0),
        )
    }

    fn minutes(codes: &[(Counts, CodeFit)], supply: Supply) -> f64 {
        staleness(codes.iter(), &supply).expect("a whole day") * 60.0
    }

    const SUPPLY: Supply = Supply {
        parcels: 3_000.0,
        checks_per_hour: 1_000.0,
        by_day: false,
        longest: 1_000.0,
    };

    #[test]
    fn parcels_that_are_all_alike_are_checked_in_turn() {
        let alike = minutes(&[code(7.0, 0.1, 2.0)], SUPPLY);
        assert!(
            (alike - 90.0).abs() < 0.1,
            "half a round of three hours: {alike}"
        );
        let doubled = Supply {
            checks_per_hour: 2_000.0,
            ..SUPPLY
        };
        let alike = minutes(&[code(7.0, 0.1, 2.0)], doubled);
        assert!((alike - 45.0).abs() < 0.1, "{alike}");
    }

    #[test]
    fn unequal_rates_win_what_the_theory_says() {
        // Half of the parcels are sixteen times as likely to have news: 1 + CV² of the roots is (1 + 16) / 2 over (5 / 2)².
        let unequal = minutes(&[code(7.0, 0.01, 1.0), code(7.0, 0.16, 1.0)], SUPPLY);
        assert!((90.0 / unequal - 8.5 / 6.25).abs() < 0.01, "{unequal}");
    }

    #[test]
    fn there_is_no_estimate_before_a_whole_day_was_watched() {
        let mut code = code(1.0, 0.1, 1.0);
        code.0.cells[5][3] = Cell::default();
        assert_eq!(staleness([code].iter(), &SUPPLY), None);
    }
}
