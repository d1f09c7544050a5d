//! The demo's live line.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the live line is drawn on a terminal, and how often it is logged without one.
const DRAW_EVERY: Duration = Duration::from_millis(500);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The live line, and how often to draw it, or to log it if there is no terminal.
pub fn live_line() -> (ProgressBar, Duration) {
    let line = ProgressBar::new_spinner();
    line.set_draw_target(ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {wide_msg}");
    line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let every = if line.is_hidden() {
        LOG_EVERY
    } else {
        DRAW_EVERY
    };
    (line, every)
}
