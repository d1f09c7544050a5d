//! Logs an outage without flooding the log: a line when it begins, one a minute while it lasts, one when it is over.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often an outage is logged while it lasts.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The outage, if there is one now, of something that is retried until it succeeds.
#[derive(Debug)]
pub struct Outage {
    /// What fails, as the subject of a sentence: `claiming`.
    what: &'static str,
    began: Option<Instant>,
    logged: Option<Instant>,
}

impl Outage {
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            began: None,
            logged: None,
        }
    }

    /// A try failed.
    pub fn failed(&mut self, error: impl Display) {
        let now = Instant::now();
        self.began.get_or_insert(now);
        if self.logged.is_none_or(|logged| now - logged >= LOG_EVERY) {
            let what = self.what;
            tracing::warn!(what, %error, "{what} fails, retrying: {error}");
            self.logged = Some(now);
        }
    }

    /// A try succeeded.
    pub fn over(&mut self) {
        if let Some(began) = self.began.take() {
            self.logged = None;
            let (what, outage_secs) = (self.what, began.elapsed().as_secs());
            tracing::info!(
                what,
                outage_secs,
                "{what} works again after {outage_secs} s"
            );
        }
    }
}
