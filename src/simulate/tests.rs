//! Figures of the invented carriers and the policies, on a small scale. tools/bench-freshness checks them at full scale.

use std::collections::VecDeque;

use super::account::{InventedAccount, accounts};
use super::bound::Bound;
use super::process::{DEFAULT, Process};
use super::queue::{Claim, Group, Queue};
use super::report::Figures;
use super::run::Run;
use super::setting::{Contender, Import, Setting};
use super::tally::Tally;
use super::trace::Journey;
use crate::plan::STEP;
use crate::plan::decide::next_check;
use crate::plan::hazard::CodeFit;
use crate::plan::price::Price;
use crate::plan::{AGES, HOURS, KINDS, SLOTS};

fn process() -> Process {
    Process::read(DEFAULT).expect("the default process")
}

/// So many days on which nothing unusual happens.
fn setting(days: f64) -> Setting {
    Setting {
        load: 8.0,
        seed: 1,
        days,
        from: 7.0,
        to: days - 2.0,
        quota: false,
        numbers: 1,
        lag: 0.0,
        failing_calls: 0.02,
        failing_numbers: 0.0,
        import: None,
        own_lanes: false,
        forgets: true,
    }
}

fn all_journeys(accounts: &[InventedAccount<'_>], days: f64) -> Vec<Vec<Journey>> {
    let journeys = accounts.iter().map(|it| it.journeys(&setting(days)));
    journeys
        .collect::<anyhow::Result<_>>()
        .expect("few enough events")
}

#[test]
fn with_a_constant_rate_the_wait_is_optimal() {
    for (rate, weight, price) in [(0.02, 1.0, 0.01), (0.05, 5.0, 0.3), (0.002, 2.0, 0.05)] {
        let fit = CodeFit::new([rate; AGES], [1.0; SLOTS], weight, 0.0);
        let price = Price {
            whole: price,
            by_hour: [1.0; HOURS],
            by_day: [1.0; KINDS],
            round: 1.0,
        };
        let best = (2.0 * price.whole / (weight * rate)).sqrt();
        let wait = next_check(&fit, &price, 0.0, 100.0, 1_000.0) - 100.0;
        assert!(
            (wait - best).abs() <= STEP + 0.02 * best + best * best * rate,
            "{wait} h instead of {best} h"
        );
    }
}

#[test]
fn journeys_are_as_long_as_they_are_meant_to_be() {
    let process = process();
    let accounts = accounts(&process);
    // Events after the first, and days; from the theory of the process.
    for ((carrier, journeys), (events, days)) in process
        .carriers
        .iter()
        .zip(all_journeys(&accounts, 42.0))
        .zip([(7.9, 5.0), (10.4, 15.1)])
    {
        let known: f64 = journeys.iter().map(|j| j.events.len() as f64 - 1.0).sum();
        let mean = known / journeys.len() as f64;
        assert!(
            (mean / events - 1.0).abs() < 0.02,
            "{}: {mean} events",
            carrier.name
        );
        let lives: Vec<f64> = journeys
            .iter()
            .filter_map(|j| {
                j.events
                    .last()
                    .filter(|(_, stage)| carrier.stages[*stage].is_last())
            })
            .zip(&journeys)
            .map(|((end, _), _)| *end)
            .collect();
        assert!(lives.len() > journeys.len() * 8 / 10, "most arrive");
        let begins: Vec<f64> = journeys
            .iter()
            .filter(|j| {
                j.events
                    .last()
                    .is_some_and(|(_, stage)| carrier.stages[*stage].is_last())
            })
            .map(|j| j.events[0].0)
            .collect();
        let life = lives
            .iter()
            .zip(&begins)
            .map(|(end, begin)| end - begin)
            .sum::<f64>()
            / 24.0
            / lives.len() as f64;
        assert!(
            (life / days - 1.0).abs() < 0.03,
            "{}: {life} days",
            carrier.name
        );
    }
}

#[test]
fn the_bound_follows_from_the_true_rates() {
    let process = process();
    let accounts = accounts(&process);
    let mut bound = Bound::default();
    for (account, journeys) in accounts.iter().zip(all_journeys(&accounts, 22.0)) {
        bound.add(account, &journeys, 14.0, 21.0);
    }
    assert!(
        (bound.by_minute() - 2.01).abs() < 0.06,
        "{}",
        bound.by_minute()
    );
    assert!((bound.by_day() - 2.73).abs() < 0.12, "{}", bound.by_day());
}

/// The courier with fewer parcels, so that a debug build runs the test in seconds.
fn small() -> Process {
    let mut process = process();
    process.carriers.truncate(1);
    process.carriers[0].per_day = 60.0;
    process.carriers[0].parcels = 358.0;
    process
}

fn tally_of(process: &Process, policy: Contender, setting: Setting) -> Tally {
    let mut whole = Tally::default();
    for account in accounts(process) {
        let journeys = account.journeys(&setting).expect("few enough events");
        whole.add(Run::new(&account, &journeys, policy, setting).run(|| {}));
    }
    whole
}

fn tally(policy: Contender, quota: bool) -> Tally {
    let setting = Setting {
        quota,
        ..setting(16.0)
    };
    tally_of(&small(), policy, setting)
}

fn weighted(tally: &Tally) -> f64 {
    let sum: f64 = tally
        .stale
        .iter()
        .map(|event| event.minutes * event.weight)
        .sum();
    sum / tally.stale.iter().map(|event| event.weight).sum::<f64>()
}

#[test]
fn with_equal_calls_learned_beats_fixed_and_clairvoyant_beats_both() {
    let fixed = tally(Contender::Fixed, false);
    let learned = tally(Contender::Learned, false);
    assert!((learned.calls / fixed.calls - 1.0).abs() < 0.01);
    let ratio = weighted(&fixed) / weighted(&learned);
    assert!(ratio > 1.5, "{ratio} times fresher");
    assert!(learned.longest_gap < 36.0, "{} h", learned.longest_gap);
    let clairvoyant = tally(Contender::Clairvoyant, false);
    assert!(
        weighted(&clairvoyant) < 1.5,
        "{} minutes",
        weighted(&clairvoyant)
    );
}

#[test]
fn a_daily_quota_is_never_exceeded_and_is_spent_in_better_hours() {
    let fixed = tally(Contender::Fixed, true);
    let learned = tally(Contender::Learned, true);
    assert!(
        learned.busiest_day <= 1.0,
        "{} of the quota",
        learned.busiest_day
    );
    let ratio = weighted(&fixed) / weighted(&learned);
    assert!(ratio > 1.8, "{ratio} times fresher");
}

/// The parcels that a claim takes at hour 10, each due at the hour of its id, except that `early` are not due.
fn claimed(queue: &mut Queue, limit: usize, unanswered_max: usize, early: &[usize]) -> Vec<usize> {
    let mut early: VecDeque<_> = queue.early(10.0, 9, |id| early.contains(&id));
    let claim = Claim {
        now: 10.0,
        limit,
        unanswered_max,
    };
    let claimed = queue.claim(claim, &mut early);
    claimed.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn a_claim_goes_by_group_and_gives_those_without_an_answer_their_share_first() {
    let queue = || {
        let mut queue = Queue::default();
        for (group, ids) in [
            (Group::Urgent, vec![9, 8, 11]),
            (Group::Unanswered, vec![5, 6, 7]),
            (Group::Known, vec![2, 1, 12, 13, 14]),
        ] {
            for id in ids {
                queue.push(group, id as f64, id);
            }
        }
        queue
    };
    let all = [8, 9, 5, 1, 2, 6, 7, 14];
    assert_eq!(claimed(&mut queue(), 9, 1, &[14]), all);
    assert_eq!(claimed(&mut queue(), 4, 1, &[14]), all[..4]);
    assert_eq!(claimed(&mut queue(), 5, 9, &[]), [8, 9, 5, 6, 7]);
    let mut twice = queue();
    assert_eq!(
        claimed(&mut twice, 9, 0, &[12, 14]),
        [8, 9, 1, 2, 5, 6, 7, 12, 14]
    );
    assert_eq!(claimed(&mut twice, 9, 9, &[12, 13]), [13]);
}

#[test]
fn full_calls_of_thirty_numbers_are_as_good_as_single_ones() {
    let setting = Setting {
        numbers: 30,
        ..setting(16.0)
    };
    let fixed = tally_of(&small(), Contender::Fixed, setting);
    let learned = tally_of(&small(), Contender::Learned, setting);
    let fill = |tally: &Tally| tally.checks / (tally.calls * 30.0);
    assert!(fill(&learned) > 0.99, "{} of each call", fill(&learned));
    assert!((learned.calls / fixed.calls - 1.0).abs() < 0.01);
    let ratio = weighted(&fixed) / weighted(&learned);
    assert!(ratio > 1.5, "{ratio} times fresher");
}

#[test]
fn numbers_that_always_fail_cost_others_little() {
    let with = |failing_numbers: f64| {
        let setting = Setting {
            failing_numbers,
            ..setting(16.0)
        };
        tally_of(&small(), Contender::Learned, setting)
    };
    let (none, some) = (with(0.0), with(0.05));
    assert_eq!(
        some.stale.len(),
        none.stale.len(),
        "their events do not count"
    );
    let more = weighted(&some) / weighted(&none);
    assert!((0.95..1.1).contains(&more), "{more} times as stale");
}

#[test]
fn an_import_takes_half_of_the_calls_until_each_of_its_parcels_has_an_answer() {
    let setting = Setting {
        import: Some(Import {
            parcels: 400.0,
            at: 9.0 * 24.0 + 10.0,
        }),
        ..setting(16.0)
    };
    let tally = tally_of(&small(), Contender::Learned, setting);
    let figures = Figures::of(Contender::Learned, &setting, &tally);
    let import = figures.import.expect("has figures");
    assert!((5.0..9.0).contains(&import.hours), "{import:?}");
    assert!((0.45..0.6).contains(&import.known_share), "{import:?}");
}

#[test]
fn carriers_of_one_account_share_its_calls_by_time() {
    let mut process = process();
    for carrier in &mut process.carriers {
        "aggregator".clone_into(&mut carrier.account);
    }
    process.multiply(0.1);
    let merged = accounts(&process);
    assert_eq!(merged.len(), 1);
    let sections: Vec<_> = merged[0].sections().collect();
    assert_eq!(sections, [0..10, 10..20], "each learns by itself");
    let fixed = tally_of(&process, Contender::Fixed, setting(16.0));
    let learned = tally_of(&process, Contender::Learned, setting(16.0));
    let ratio = weighted(&fixed) / weighted(&learned);
    assert!(ratio > 1.5, "{ratio} times fresher");
    assert!(
        fixed.longest_gap < 16.0,
        "oldest first over both carriers: {}",
        fixed.longest_gap
    );
}

#[test]
fn an_invalid_process_is_refused_with_the_place_of_the_mistake() {
    for (wrong, right, says) in [
        ("per_day = 300", "per_day = -3", "per_day = -3 must be"),
        (
            "created = \"hand_over\"\n# How",
            "created = \"nowhere\"\n# How",
            "no [profiles.nowhere]",
        ),
        (
            "\"8-10\" = 0.3, \"10-20\"",
            "\"8-99\" = 0.3, \"10-20\"",
            "must be a range",
        ),
        (
            "lognormal = [4.0, 0.5]",
            "lognormal = [0.0, 0.5]",
            "stage \"ACCEPTED\": lognormal: median = 0 must be",
        ),
        (
            "lognormal = [4.0, 0.5]",
            "lognormal = [4.0, 1e6]",
            "stage \"ACCEPTED\": lognormal: sigma = 1000000 must be",
        ),
        (
            "lognormal = [4.0, 0.5]",
            "lognormal = [nan, 0.5]",
            "stage \"ACCEPTED\": lognormal: median = NaN must be",
        ),
        (
            "weibull = [4.5, 1.8]",
            "weibull = [4.5, 0.01]",
            "stage \"OUT_FOR_DELIVERY\": weibull: shape = 0.01 must be",
        ),
        (
            "weight = 5",
            "weight = nan",
            "carrier \"courier\": stage \"OUT_FOR_DELIVERY\": weight = NaN must be",
        ),
        (
            "per_day = 300",
            "per_day = inf",
            "carrier \"courier\": per_day = inf must be",
        ),
        ("next = [\"ACCEPTED\"]", "next = [\"LOST\"]", "no stage"),
        ("stall = 0.001", "stal = 0.001", "unknown field"),
    ] {
        let text = DEFAULT.replacen(wrong, right, 1);
        assert_ne!(text, DEFAULT, "{wrong}");
        let error = Process::read(&text).expect_err(right);
        assert!(format!("{error:#}").contains(says), "{error:#}");
    }
}

#[test]
fn a_process_within_its_bounds_ends_however_long_its_dwells_are() {
    let text = DEFAULT
        .replace("lognormal = [4.0, 0.5]", "lognormal = [1e4, 5]")
        .replace("weibull = [4.5, 1.8]", "weibull = [1e4, 0.1]")
        .replace("base = 0.15", "base = 0.000001");
    let process = Process::read(&text).expect("within its bounds");
    let journeys = all_journeys(&accounts(&process), 16.0);
    let last = journeys[0].iter().flat_map(|journey| &journey.events);
    assert!(last.clone().count() > 1_000);
    assert!(last.clone().all(|(at, _)| *at < 200.0 * 24.0));
}
