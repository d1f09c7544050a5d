//! The progress of a run on stderr: a bar on a terminal, otherwise single lines.

use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use trackbox_generator::options::Options;
use trackbox_generator::progress::{RunEvent, Summary};

/// How often the bar's clock is redrawn.
const TICK: Duration = Duration::from_millis(250);

/// Shows what a run reports.
pub struct Bar {
    bar: ProgressBar,
    rps: f64,
}

impl Bar {
    pub fn new(options: &Options) -> Self {
        let bar = ProgressBar::new(options.count as u64).with_style(style());
        // The bar is hidden if stderr is not a terminal. Then its clock need not run.
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self {
            bar,
            rps: options.rps,
        }
    }

    pub fn show(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Note(text) if self.bar.is_hidden() => eprintln!("{text}"),
            RunEvent::Note(text) => self.bar.println(text),
            RunEvent::Seeded { done, total } => {
                self.bar.set_message(format!("seeded {done} of {total}"));
            }
            RunEvent::Created(summary) => {
                self.bar.set_position(summary.done() as u64);
                self.bar.set_message(rate_and_rest(summary, self.rps));
            }
        }
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}")
        .expect("the template is a constant that the tests read")
}

/// The rate so far, and the time that the rest will take at that rate, or at the wanted rate until there is one.
fn rate_and_rest(summary: &Summary, wanted_rps: f64) -> String {
    let rate = summary.rate.unwrap_or(wanted_rps).min(wanted_rps);
    let rest_secs = (summary.total - summary.done()) as f64 / rate;
    let rest = Duration::try_from_secs_f64(rest_secs).unwrap_or(Duration::MAX);
    match summary.rate {
        Some(rate) => format!("{rate:.1}/s, {} to go", HumanDuration(rest)),
        None => format!("{} to go", HumanDuration(rest)),
    }
}

#[cfg(test)]
mod tests {
    use trackbox_generator::progress::Summary;

    use super::{rate_and_rest, style};

    #[test]
    fn the_template_is_right() {
        style();
    }

    #[test]
    fn the_remaining_time_follows_the_slower_of_the_two_rates() {
        let mut summary = Summary {
            total: 1_000,
            created: 400,
            ..Summary::default()
        };
        assert_eq!(rate_and_rest(&summary, 20.0), "30 seconds to go");
        summary.rate = Some(10.0);
        assert_eq!(rate_and_rest(&summary, 20.0), "10.0/s, 60 seconds to go");
        summary.rate = Some(21.0);
        assert_eq!(rate_and_rest(&summary, 20.0), "21.0/s, 30 seconds to go");
    }
}
