//! What was measured: a table for people, JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use crate::machine::Machine;

/// One figure of a subject, in each repetition.
#[derive(Debug, Default)]
pub struct Line {
    pub subject: &'static str,
    /// What was measured, with its unit.
    pub figure: String,
    pub ours: Vec<f64>,
    /// The limit, measured in turn with [`Line::ours`]; empty if the figure stands alone.
    pub limit: Vec<f64>,
    pub goal: Option<Goal>,
    /// What the limit is, and the sizes of batches.
    pub how: String,
    /// CPU seconds of one repetition, by process.
    pub cpu_secs: BTreeMap<String, f64>,
}

/// For the ratio of TrackBox to its limit; without a limit, for the figure itself.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", short(least)),
            Self::AtMost(most) => format!("≤ {}", short(most)),
        }
    }
}

impl Line {
    /// The ratios of each repetition.
    pub fn ratios(&self) -> Vec<f64> {
        let pairs = self.ours.iter().zip(&self.limit);
        pairs.map(|(ours, limit)| ours / limit).collect()
    }

    /// Whether the goal is met at the median.
    pub fn is_met(&self) -> Option<bool> {
        let goal = self.goal?;
        let ratios = self.ratios();
        let judged = if ratios.is_empty() {
            &self.ours
        } else {
            &ratios
        };
        Some(goal.is_met(median(judged)))
    }
}

pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that a share of `at` does not exceed; NaN if there is none.
pub fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let place = (last as f64 * at).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// A number of about three digits; thousands are separated.
fn short(value: f64) -> String {
    if value.abs() < 100.0 {
        let text = format!("{value:.*}", if value.abs() < 10.0 { 2 } else { 1 });
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return text.to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The median, and the smallest and largest value.
fn spread(values: &[f64]) -> String {
    match values {
        [] => "-".to_owned(),
        [one] => short(*one),
        _ => format!(
            "{} ({}..{})",
            short(median(values)),
            short(quantile(values, 0.0)),
            short(quantile(values, 1.0))
        ),
    }
}

const HEADS: [&str; 7] = [
    "subject", "figure", "TrackBox", "limit", "ratio", "goal", "",
];

pub fn table(machine: &Machine, lines: &[Line]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    for line in lines {
        rows.push([
            line.subject.to_owned(),
            line.figure.clone(),
            spread(&line.ours),
            spread(&line.limit),
            spread(&line.ratios()),
            line.goal.map(Goal::text).unwrap_or_default(),
            match line.is_met() {
                Some(true) => "✓".to_owned(),
                Some(false) => "✗".to_owned(),
                None => String::new(),
            },
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut text = format!(
        "{}\nMedians (smallest..largest) of the repetitions.\n\n",
        machine.text()
    );
    for (place, row) in rows.iter().enumerate() {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let cells: Vec<String> = cells.collect();
        // Writing into a String cannot fail.
        writeln!(text, "{}", cells.join("  ").trim_end()).unwrap_or_default();
        let Some(line) = place.checked_sub(1).map(|place| &lines[place]) else {
            continue;
        };
        let mut notes = vec![line.how.clone()];
        if !line.cpu_secs.is_empty() {
            let cpu = line
                .cpu_secs
                .iter()
                .map(|(name, secs)| format!("{name} {secs:.2}"));
            notes.push(format!(
                "CPU seconds: {}",
                cpu.collect::<Vec<_>>().join(", ")
            ));
        }
        for note in notes.iter().filter(|note| !note.is_empty()) {
            writeln!(text, "{:w$}  {note}", "", w = widths[0]).unwrap_or_default();
        }
    }
    text
}

pub fn json(machine: &Machine, lines: &[Line]) -> anyhow::Result<String> {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "subject": line.subject, "figure": line.figure, "trackbox": line.ours, "limit": line.limit,
                "ratios": line.ratios(), "goal": line.goal, "isMet": line.is_met(), "how": line.how,
                "cpuSecs": line.cpu_secs,
            })
        })
        .collect();
    let whole = json!({"machine": machine, "lines": lines});
    Ok(serde_json::to_string_pretty(&whole)?)
}

#[cfg(test)]
mod tests {
    use super::{Goal, Line, short, spread};

    #[test]
    fn a_goal_is_judged_by_the_median_ratio_of_runs_side_by_side() {
        let mut line = Line {
            ours: vec![70.0, 80.0, 10.0],
            limit: vec![100.0, 100.0, 10.0],
            goal: Some(Goal::AtLeast(0.8)),
            ..Line::default()
        };
        assert_eq!(line.is_met(), Some(true));
        line.goal = Some(Goal::AtLeast(0.81));
        assert_eq!(line.is_met(), Some(false));
        line.limit.clear();
        line.goal = Some(Goal::AtMost(70.0));
        assert_eq!(line.is_met(), Some(true));
    }

    #[test]
    fn numbers_are_short_and_show_their_spread() {
        let texts = [0.7, 12.34, 1234.5, 1_234_567.0].map(short);
        assert_eq!(texts, ["0.7", "12.3", "1,234", "1,234,567"]);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), "2 (1..3)");
    }
}
