//! How much less a parcel is asked for while its carrier pushes: by the share of news that pushes told first. Pure.

use chrono::TimeDelta;

use crate::clock::Time;
use crate::model::{Held, Outcome, Tracking, Update};

/// How long a section is not heard until its parcels are asked for as if it never pushed: a quiet night, and some hours.
const SILENT_AFTER: TimeDelta = TimeDelta::hours(12);

/// How many times as long a parcel waits at most, and the longest such wait.
const STRETCH_MAX: f64 = 8.0;
const WAIT_MAX: TimeDelta = TimeDelta::hours(24);

/// News found by checks that are assumed before there are any: a few pushes prove little.
const ASSUMED_FOUND: f64 = 20.0;

/// What was counted of a section whose carrier pushes. Older news counts less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PushNews {
    /// The last push about a parcel that is followed.
    pub heard_at: Option<Time>,
    /// Events that pushes told first.
    pub told: f64,
    /// Events that checks found first.
    pub found: f64,
}

impl PushNews {
    /// Adds what `update` shows; `row` is the tracking before it. What a check finds after a hint was told by that.
    pub fn add(&mut self, row: &Tracking, update: &Update) {
        let Outcome::Seen { events, .. } = &update.outcome else {
            return;
        };
        let is_news = |at: Time| row.last_event_at.is_some_and(|known| at > known);
        let news = events.iter().filter(|event| is_news(event.event_time));
        let news = news.count() as f64;
        let hinted_at = row.hinted_at.filter(|at| row.last_ok_at < Some(*at));
        match (update.held, hinted_at) {
            (Held::Reread, _) => {}
            (Held::Pushed, _) => {
                self.told += news;
                self.heard_at = self.heard_at.max(Some(update.checked_at));
            }
            (Held::Whole | Held::Part, Some(at)) => {
                self.told += news;
                self.heard_at = self.heard_at.max(Some(at));
            }
            (Held::Whole | Held::Part, None) => self.found += news,
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A next check as it is put off while the section pushes.
    pub fn stretched(&self, next: Time, now: Time) -> Time {
        let is_heard = self.heard_at.is_some_and(|at| now - at < SILENT_AFTER);
        let wait = next - now;
        if !is_heard || wait >= WAIT_MAX || wait <= TimeDelta::zero() {
            return next;
        }
        let missed = (self.found + ASSUMED_FOUND) / (self.told + self.found + ASSUMED_FOUND);
        let stretch = (1.0 / missed).clamp(1.0, STRETCH_MAX);
        let millis = wait.num_milliseconds() as f64 * stretch;
        now + TimeDelta::milliseconds(millis as i64).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::PushNews;
    use crate::model::fixture::{at, event, seen, tracking};
    use crate::model::status::Status;
    use crate::model::{Held, Update};

    fn hours_of(news: PushNews, wait: i64) -> f64 {
        let next = at(wait * 3_600);
        let wait = news.stretched(next, at(0)) - at(0);
        wait.num_milliseconds() as f64 / 3_600_000.0
    }

    fn heard(told: f64, found: f64) -> PushNews {
        PushNews {
            heard_at: Some(at(-3_600)),
            told,
            found,
        }
    }

    #[test]
    fn parcels_wait_longer_the_more_pushes_told_first_and_no_longer_than_a_day() {
        assert!((hours_of(heard(0.0, 0.0), 1) - 1.0).abs() < 1e-6);
        assert!((hours_of(heard(20.0, 0.0), 1) - 2.0).abs() < 1e-6);
        assert!(
            (hours_of(heard(900.0, 100.0), 1) - 8.0).abs() < 1e-6,
            "most of it"
        );
        assert!((hours_of(heard(300.0, 80.0), 1) - 4.0).abs() < 1e-6);
        assert!((hours_of(heard(300.0, 80.0), 20) - 24.0).abs() < 1e-6);
        assert!((hours_of(heard(300.0, 80.0), 30) - 30.0).abs() < 1e-6);
    }

    #[test]
    fn a_section_that_falls_silent_or_never_pushed_is_asked_as_before() {
        let silent = PushNews {
            heard_at: Some(at(0) - TimeDelta::hours(12)),
            ..heard(900.0, 100.0)
        };
        assert!((hours_of(silent, 1) - 1.0).abs() < 1e-6);
        assert!((hours_of(PushNews::default(), 1) - 1.0).abs() < 1e-6);
        let next = at(-5);
        assert_eq!(
            heard(900.0, 0.0).stretched(next, at(0)),
            next,
            "what is due"
        );
    }

    #[test]
    fn what_came_first_is_counted_and_a_hint_counts_as_told() {
        let mut row = tracking(1, 1);
        row.last_event_at = Some(at(0));
        row.last_ok_at = Some(at(10));
        let news = || {
            vec![
                event(Status::InTransit, "a", 0),
                event(Status::InTransit, "b", 20),
            ]
        };
        let check = seen(1, 30, 1, news());
        let pushed = Update {
            held: Held::Pushed,
            ..check.clone()
        };
        let mut counted = PushNews::default();
        counted.add(&row, &check);
        assert_eq!(
            (counted.told, counted.found, counted.heard_at),
            (0.0, 1.0, None)
        );
        counted.add(&row, &pushed);
        assert_eq!((counted.told, counted.found), (1.0, 1.0));
        assert_eq!(counted.heard_at, Some(at(30)));
        row.hinted_at = Some(at(25));
        counted.add(&row, &check);
        assert_eq!((counted.told, counted.found), (2.0, 1.0));
        row.hinted_at = Some(at(5));
        counted.add(&row, &check);
        assert_eq!(counted.found, 2.0, "a check has answered that hint");
        let mut new = tracking(1, 1);
        new.hinted_at = None;
        let mut first = PushNews::default();
        first.add(&new, &check);
        assert!(first.is_empty(), "its history is older than the tracking");
    }
}
