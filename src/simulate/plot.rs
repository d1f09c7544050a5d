//! A picture of staleness: the weighted mean of each day, with one line for each policy.

use std::fmt::Write as _;

use crate::simulate::report::Comparison;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;

/// The margins of the lines: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 56.0, 150.0, 52.0);

/// Colours that colour-blind people can tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 8] = [
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7", "#999999",
];

/// The days of each policy at the first load of the report, as means over the seeds.
fn lines(report: &Comparison) -> Vec<(&'static str, Vec<f64>)> {
    let Some(load) = report.runs.first().map(|run| run.load) else {
        return Vec::new();
    };
    let mut lines: Vec<(&'static str, Vec<f64>, f64)> = Vec::new();
    for run in report.runs.iter().filter(|run| run.load == load) {
        match lines.iter_mut().find(|(policy, ..)| *policy == run.policy) {
            Some((_, days, seeds)) => {
                for (sum, day) in days.iter_mut().zip(&run.daily) {
                    *sum += day;
                }
                *seeds += 1.0;
            }
            None => lines.push((run.policy, run.daily.clone(), 1.0)),
        }
    }
    lines
        .into_iter()
        .map(|(policy, days, seeds)| (policy, days.iter().map(|day| day / seeds).collect()))
        .collect()
}

/// A round number of minutes between two lines of the grid, so that there are about six lines at most.
fn grid_step(highest: f64) -> f64 {
    let steps = [
        1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 240.0, 480.0, 1_440.0,
    ];
    let fits = steps.into_iter().find(|step| highest / step <= 6.0);
    fits.unwrap_or(highest / 6.0)
}

/// The picture as SVG.
pub fn svg(report: &Comparison) -> String {
    let lines = lines(report);
    let days = lines
        .iter()
        .map(|(_, days)| days.len())
        .max()
        .unwrap_or(1)
        .max(2);
    let first_day = report.runs.first().map_or(0, |run| run.first_day);
    let highest = lines
        .iter()
        .flat_map(|(_, days)| days)
        .copied()
        .fold(1.0, f64::max)
        * 1.05;
    let (left, top, right, bottom) = MARGIN;
    let x = |day: usize| left + (WIDTH - left - right) * day as f64 / (days - 1) as f64;
    let y = |minutes: f64| HEIGHT - bottom - (HEIGHT - top - bottom) * minutes / highest;
    let load = report.runs.first().map_or(0.0, |run| run.load);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"16\" font-weight=\"600\">How stale is what we show?</text>\n\
         <text x=\"{left}\" y=\"43\" fill=\"#555\">minutes from an event to its first check, weighted by importance; \
         {load} calls a parcel and day</text>\n"
    );
    let mut add = |text: String| svg.push_str(&text);
    let step = grid_step(highest);
    let mut minutes = 0.0;
    while minutes <= highest {
        let (at, end) = (y(minutes), WIDTH - right);
        add(format!(
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{minutes:.0}</text>\n",
            left - 8.0,
            at + 4.0
        ));
        minutes += step;
    }
    for day in (0..days).step_by(days.div_ceil(12)) {
        add(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>\n",
            x(day),
            HEIGHT - bottom + 20.0,
            first_day + day
        ));
    }
    add(format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">day</text>\n",
        left + (WIDTH - left - right) / 2.0,
        HEIGHT - 12.0
    ));
    for (place, (policy, days)) in lines.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let mut points = String::new();
        for (day, minutes) in days.iter().enumerate() {
            write!(points, "{:.1},{:.1} ", x(day), y(*minutes))
                .expect("writing to a string cannot fail");
        }
        let row = top + 10.0 + 22.0 * place as f64;
        let key = WIDTH - right + 16.0;
        add(format!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <line x1=\"{key}\" y1=\"{row}\" x2=\"{:.1}\" y2=\"{row}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{policy}</text>\n",
            key + 22.0,
            key + 30.0,
            row + 4.0
        ));
    }
    svg.push_str("</svg>\n");
    svg
}
