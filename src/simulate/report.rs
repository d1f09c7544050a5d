//! The results of a simulation, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::plan::IMPORTANT;
use crate::simulate::setting::{Contender, Setting};
use crate::simulate::tally::{ImportTally, News, Stale, Tally};

/// The figures of one policy at one load with one seed. Staleness is in minutes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    pub policy: &'static str,
    pub load: f64,
    pub seed: u64,
    pub events: usize,
    pub unseen: usize,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub weighted: f64,
    pub important: f64,
    pub important_p90: f64,
    /// The means of these events alone.
    pub delivered: f64,
    pub out_for_delivery: f64,
    pub calls: f64,
    pub calls_per_parcel_day: f64,
    /// Numbers asked for, by parcel that was delivered.
    pub checks_per_delivered: f64,
    /// The numbers asked for, as a share of those that the calls could have taken.
    pub fill: f64,
    pub longest_gap_hours: f64,
    /// The largest number of calls in a day, as a share of the quota; 0 without a quota.
    pub busiest_day: f64,
    pub decisions: u64,
    pub first_day: usize,
    /// The weighted mean of each day that counts.
    pub daily: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportFigures>,
}

/// How an import was taken in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportFigures {
    /// Until each of its parcels had an answer.
    pub hours: f64,
    /// The share of the checks in these hours for parcels that were answered before.
    pub known_share: f64,
    /// Hours between checks of parcels out for delivery, in these hours and in the same ones a week before: the mean and
    /// the 90th percentile.
    pub gap: (f64, f64),
    pub gap_before: (f64, f64),
}

impl ImportFigures {
    fn of(import_at: f64, tally: &ImportTally) -> Self {
        const WEEK: f64 = 7.0 * 24.0;
        let hours = (tally.answered_at - import_at).max(0.0);
        let gap = |from: f64| {
            let during = tally
                .gaps
                .iter()
                .filter(|(at, _)| (from..from + hours).contains(at));
            let mut gaps: Vec<f64> = during.map(|(_, gap)| *gap).collect();
            gaps.sort_unstable_by(f64::total_cmp);
            (mean(&gaps), percentile(&gaps, 0.9))
        };
        Self {
            hours,
            known_share: tally.known_checks / tally.checks.max(1.0),
            gap: gap(import_at),
            gap_before: gap(import_at - WEEK),
        }
    }
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn weighted<'a>(stale: impl Iterator<Item = &'a Stale>) -> f64 {
    let (sum, weights) = stale.fold((0.0, 0.0), |(sum, weights), event| {
        (sum + event.minutes * event.weight, weights + event.weight)
    });
    if weights > 0.0 { sum / weights } else { 0.0 }
}

impl Figures {
    pub fn of(policy: Contender, setting: &Setting, tally: &Tally) -> Self {
        let sorted = |counts: fn(&Stale) -> bool| {
            let events = tally.stale.iter().filter(|event| counts(event));
            let mut minutes: Vec<f64> = events.map(|event| event.minutes).collect();
            minutes.sort_unstable_by(f64::total_cmp);
            minutes
        };
        let all = sorted(|_| true);
        let important = sorted(|event| event.weight >= IMPORTANT);
        let delivered = sorted(|event| event.news == News::Delivered);
        let out_for_delivery = sorted(|event| event.news == News::OutForDelivery);
        let days = setting.from as usize..setting.to as usize;
        let mut by_day: Vec<Vec<&Stale>> = vec![Vec::new(); days.len()];
        for event in &tally.stale {
            if let Some(day) = by_day.get_mut(event.day - days.start) {
                day.push(event);
            }
        }
        Self {
            policy: policy.name(),
            load: setting.load,
            seed: setting.seed,
            events: all.len(),
            unseen: tally.unseen,
            mean: mean(&all),
            p50: percentile(&all, 0.5),
            p90: percentile(&all, 0.9),
            p99: percentile(&all, 0.99),
            weighted: weighted(tally.stale.iter()),
            important: mean(&important),
            important_p90: percentile(&important, 0.9),
            delivered: mean(&delivered),
            out_for_delivery: mean(&out_for_delivery),
            calls: tally.calls,
            calls_per_parcel_day: tally.calls / tally.parcel_days.max(1e-9),
            checks_per_delivered: tally.checks / delivered.len().max(1) as f64,
            fill: tally.checks / (tally.calls * setting.numbers as f64).max(1.0),
            longest_gap_hours: tally.longest_gap,
            busiest_day: tally.busiest_day,
            decisions: tally.decisions,
            first_day: days.start,
            daily: by_day
                .into_iter()
                .map(|day| weighted(day.into_iter()))
                .collect(),
            import: setting
                .import
                .map(|import| ImportFigures::of(import.at, &tally.import)),
        }
    }
}

/// How many times fresher than fixed a policy is. Each pair is the mean over the seeds and half of its 95 % interval.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ratio {
    pub policy: &'static str,
    pub load: f64,
    pub seeds: usize,
    pub weighted: (f64, f64),
    pub mean: (f64, f64),
    pub important: (f64, f64),
    /// Its calls divided by those of fixed.
    pub calls: f64,
}

/// The results of all runs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub process: String,
    /// The upper bound of the weighted ratio, for short waits.
    pub bound: f64,
    pub runs: Vec<Figures>,
    pub ratios: Vec<Ratio>,
}

/// The mean, and half of its 95 % interval by Student's t-distribution.
fn interval(values: &[f64]) -> (f64, f64) {
    /// Student's t at 97.5 % for 1 to 9 degrees of freedom. Beyond that, the value of the normal distribution is used.
    const T: [f64; 9] = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26];
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (count - 1.0);
    let t = T.get(values.len() - 2).copied().unwrap_or(1.96);
    (mean, t * (variance / count).sqrt())
}

impl Comparison {
    pub fn new(process: String, runs: Vec<Figures>, bound: f64) -> Self {
        let mut paired: BTreeMap<(u64, &'static str), Vec<(&Figures, &Figures)>> = BTreeMap::new();
        for run in &runs {
            let fixed = runs.iter().find(|other| {
                other.policy == "fixed" && other.load == run.load && other.seed == run.seed
            });
            if let Some(fixed) = fixed {
                let load = (run.load * 1_000.0) as u64;
                paired
                    .entry((load, run.policy))
                    .or_default()
                    .push((fixed, run));
            }
        }
        let ratios = paired
            .into_iter()
            .map(|((load, policy), pairs)| {
                let of = |figure: fn(&Figures) -> f64| {
                    let ratios: Vec<f64> = pairs
                        .iter()
                        .map(|(fixed, run)| figure(fixed) / figure(run).max(1e-9))
                        .collect();
                    interval(&ratios)
                };
                Ratio {
                    policy,
                    load: load as f64 / 1_000.0,
                    seeds: pairs.len(),
                    weighted: of(|run| run.weighted),
                    mean: of(|run| run.mean),
                    important: of(|run| run.important),
                    calls: 1.0 / of(|run| run.calls).0.max(1e-9),
                }
            })
            .collect();
        Self {
            process,
            bound,
            runs,
            ratios,
        }
    }

    /// # Errors
    /// None in practice: the results are plain values.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    pub fn table(&self) -> String {
        let mut text = format!(
            "{}: minutes from an event to the first successful check that shows it\n\n{:>5} {:>5} {:12} {:>7} {:>7} {:>7} {:>9} {:>9} {:>11} {:>8}\n",
            self.process,
            "load",
            "seed",
            "policy",
            "mean",
            "p90",
            "p99",
            "weighted",
            "important",
            "longest gap",
            "calls"
        );
        for run in &self.runs {
            writeln!(
                text,
                "{:>5} {:>5} {:12} {:>7.1} {:>7.0} {:>7.0} {:>9.1} {:>9.1} {:>9.0} h {:>8.2}",
                run.load,
                run.seed,
                run.policy,
                run.mean,
                run.p90,
                run.p99,
                run.weighted,
                run.important,
                run.longest_gap_hours,
                run.calls_per_parcel_day
            )
            .expect("writing to a string cannot fail");
        }
        text.push_str("\nHow many times fresher than fixed, with the 95 % interval over the seeds; calls as a ratio to fixed:\n\n");
        for ratio in self.ratios.iter().filter(|ratio| ratio.policy != "fixed") {
            let shown = |(mean, half): (f64, f64)| {
                if ratio.seeds > 1 {
                    format!("{mean:.2} ±{half:.2}")
                } else {
                    format!("{mean:.2}")
                }
            };
            writeln!(
                text,
                "{:>5} {:12} weighted {:11} important {:11} mean {:11} calls {:.3}",
                ratio.load,
                ratio.policy,
                shown(ratio.weighted),
                shown(ratio.important),
                shown(ratio.mean),
                ratio.calls
            )
            .expect("writing to a string cannot fail");
        }
        writeln!(
            text,
            "\nUpper bound for any policy, if waits are short: weighted {:.2}",
            self.bound
        )
        .expect("writing to a string cannot fail");
        text
    }
}
