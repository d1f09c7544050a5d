//! Tells of an outage without flooding the log: a line when it begins, one a minute while it lasts, one when it is over.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often an outage that lasts is told of again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Whether something that is tried again and again fails now.
#[derive(Debug)]
pub struct Outage {
    /// What does not happen meanwhile, as `claiming`.
    what: &'static str,
    began: Option<Instant>,
    told: Option<Instant>,
}

impl Outage {
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            began: None,
            told: None,
        }
    }

    /// A try failed.
    pub fn failed(&mut self, error: impl Display) {
        let now = Instant::now();
        self.began.get_or_insert(now);
        if self.told.is_none_or(|told| now - told >= AGAIN_AFTER) {
            tracing::warn!("{} pauses: {error}", self.what);
            self.told = Some(now);
        }
    }

    /// A try succeeded.
    pub fn over(&mut self) {
        if let Some(began) = self.began.take() {
            self.told = None;
            tracing::info!(
                "{} goes on after {} s",
                self.what,
                began.elapsed().as_secs()
            );
        }
    }
}
