//! When to check again by a fixed rule: an interval, a table by status, and the back-off after failures. Pure: time is an
//! argument, and checks are spread by a hash.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::{Time, delta};
use crate::model::status::Status;
use crate::model::{EXPIRES_AFTER, NEVER_AGAIN};

/// How many times its last back-off step a failing number waits at most: a day for an hour.
const NUMBER_BACKOFF_FACTOR_MAX: u32 = 24;

/// The longest round that a failing number waits for.
const ROUND_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long after a check the next one is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cadence {
    pub in_transit_min: Duration,
    pub in_transit_max: Duration,
    /// For parcels without any news yet.
    pub unknown: Duration,
    /// After the 1st, 2nd, … failure in a row; the last one also after every further failure.
    pub backoff: Vec<Duration>,
    /// The waits between the looks at a delivered parcel: returns and corrections come late.
    pub after_delivery: Vec<Duration>,
    /// How long before a tracking's creation its newest event lies for its history not to be believed; zero: never.
    pub old_history: Duration,
}

/// How long a parcel whose history is not believed waits for its next check.
const OLD_HISTORY_WAIT: TimeDelta = TimeDelta::days(1);

impl Cadence {
    /// The time of the next check after a successful one that found `status`.
    ///
    /// Parcels that were checked together are spread between the shortest and the longest interval, by a hash of id and
    /// time.
    pub fn after_answer(&self, status: Status, tracking_id: i64, checked_at: Time) -> Time {
        if status.is_terminal() {
            return checked_at + NEVER_AGAIN;
        }
        match status {
            Status::Unknown | Status::Pending => checked_at + self.unknown,
            _ => {
                let range = self.in_transit_max.saturating_sub(self.in_transit_min);
                checked_at + self.in_transit_min + range.mul_f64(spread(tracking_id, checked_at))
            }
        }
    }

    /// The next look at a parcel that was delivered at `delivered_at`; `None` if no further one is wanted.
    pub fn after_delivery(&self, delivered_at: Time, checked_at: Time) -> Option<Time> {
        let mut looks_at = delivered_at;
        let wait = self.after_delivery.iter().find(|wait| {
            looks_at += delta(**wait);
            looks_at > checked_at
        });
        wait.map(|wait| checked_at + delta(*wait))
    }

    /// Whether a history whose newest event is of `last_event_at` is not believed to be that of a tracking created at
    /// `created_at`: the number may have been another parcel's before.
    pub fn is_old_history(&self, created_at: Time, last_event_at: Option<Time>) -> bool {
        let span = self.old_history;
        !span.is_zero() && last_event_at.is_some_and(|at| at < created_at - delta(span))
    }

    /// The next check of a parcel whose history is not believed; `None` if it was not for so long that it is believed now.
    pub fn after_old_history(created_at: Time, checked_at: Time) -> Option<Time> {
        let waits = checked_at - created_at < EXPIRES_AFTER;
        waits.then(|| checked_at + OLD_HISTORY_WAIT)
    }

    /// The longest wait of [`Cadence::by_table`].
    pub const TABLE_MAX: Duration = Duration::from_secs(378 * 60);

    /// The time of the next check by a table of intervals, after a successful one that found `status`.
    ///
    /// The intervals follow what trackers publish: AfterShip 3 to 12 h until there is news, 17TRACK 6 h, techTRACK 3 h
    /// with news, EasyPost "more often near delivery" (their help pages, read November 2026). Parcels that were checked
    /// together are spread over a tenth of the interval.
    pub fn by_table(&self, status: Status, tracking_id: i64, checked_at: Time) -> Time {
        let minutes = match status {
            Status::Delivered | Status::Returned | Status::Cancelled | Status::Expired => {
                return checked_at + NEVER_AGAIN;
            }
            Status::Unknown
            | Status::Pending
            | Status::InfoReceived
            | Status::AvailableForPickup => 6 * 60,
            Status::InTransit | Status::Returning | Status::Exception | Status::AttemptFailed => {
                3 * 60
            }
            Status::OutForDelivery => 30,
        };
        let wait = Duration::from_secs(60 * minutes);
        checked_at + wait.mul_f64(0.95 + 0.1 * spread(tracking_id, checked_at))
    }

    /// The time of the next check after `fails` failures in a row, at least one.
    pub fn after_failure(&self, fails: u32, checked_at: Time) -> Time {
        checked_at + self.backoff(fails)
    }

    /// The same for a number that fails while others may go well. It waits a `round` of its account at least, so that it
    /// takes no more than its share of the calls. From the fifth failure on the last step doubles, from an hour to a day.
    pub fn after_failure_of_number(&self, fails: u32, round: Duration, checked_at: Time) -> Time {
        let doublings = fails.saturating_sub(4).min(5);
        let factor = (1 << doublings).min(NUMBER_BACKOFF_FACTOR_MAX);
        let wait = self.backoff(fails).saturating_mul(factor);
        checked_at + wait.max(round.min(ROUND_MAX))
    }

    /// The next check of a number that the carrier says is none of its own; `None` while it may still become known.
    /// `known_at` is when it was created, or answered for the last time.
    pub fn after_invalid(known_at: Time, checked_at: Time) -> Option<Time> {
        let days = match (checked_at - known_at).num_hours() {
            ..48 => return None,
            48..72 => 1,
            72..144 => 3,
            _ => 7,
        };
        Some(checked_at + TimeDelta::days(days))
    }

    fn backoff(&self, fails: u32) -> Duration {
        let last = self.backoff.len().saturating_sub(1);
        let place = usize::try_from(fails.saturating_sub(1))
            .unwrap_or(last)
            .min(last);
        self.backoff.get(place).copied().unwrap_or(self.unknown)
    }
}

/// A number from 0 to 1 from a hash of the parcel and the time.
fn spread(tracking_id: i64, at: Time) -> f64 {
    let mut hash = DefaultHasher::new();
    (tracking_id, at.timestamp_micros()).hash(&mut hash);
    f64::from(u32::try_from(hash.finish() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Cadence;
    use crate::model::fixture::at;
    use crate::model::status::Status;
    use chrono::TimeDelta;

    fn demo() -> Cadence {
        Cadence {
            in_transit_min: Duration::from_secs(3),
            in_transit_max: Duration::from_secs(8),
            unknown: Duration::from_secs(10),
            backoff: [2, 5, 10, 20].map(Duration::from_secs).to_vec(),
            after_delivery: Vec::new(),
            old_history: Duration::ZERO,
        }
    }

    #[test]
    fn parcels_in_transit_spread_over_the_whole_range() {
        let waits: Vec<i64> = (0..1_000)
            .map(|id| {
                (demo().after_answer(Status::InTransit, id, at(0)) - at(0)).num_milliseconds()
            })
            .collect();
        assert!(waits.iter().all(|wait| (3_000..=8_000).contains(wait)));
        let early = waits.iter().filter(|wait| **wait < 5_500).count();
        assert!(
            (400..600).contains(&early),
            "{early} of 1000 in the first half"
        );
    }

    #[test]
    fn a_parcel_that_is_done_is_not_checked_again() {
        for status in [
            Status::Delivered,
            Status::Returned,
            Status::Cancelled,
            Status::Expired,
        ] {
            assert_eq!(
                demo().after_answer(status, 1, at(0)) - at(0),
                TimeDelta::days(365)
            );
        }
        assert_eq!(demo().after_answer(Status::Pending, 1, at(0)), at(10));
        assert_eq!(demo().after_answer(Status::Unknown, 1, at(0)), at(10));
    }

    #[test]
    fn the_table_checks_soonest_what_is_out_for_delivery() {
        let wait = |status| (demo().by_table(status, 1, at(0)) - at(0)).num_minutes();
        assert!((28..=32).contains(&wait(Status::OutForDelivery)));
        assert!((170..=190).contains(&wait(Status::InTransit)));
        assert!((340..=380).contains(&wait(Status::Pending)));
        assert_eq!(wait(Status::Delivered), 365 * 24 * 60);
    }

    #[test]
    fn back_off_grows_to_its_last_step_and_stays_there() {
        let waits: Vec<i64> = (1..=6)
            .map(|fails| (demo().after_failure(fails, at(0)) - at(0)).num_seconds())
            .collect();
        assert_eq!(waits, [2, 5, 10, 20, 20, 20]);
    }

    #[test]
    fn a_failing_number_waits_a_round_at_least_and_doubles_from_the_fifth_failure_on() {
        let cadence = Cadence {
            backoff: [5, 15, 30, 60]
                .map(|m| Duration::from_secs(60 * m))
                .to_vec(),
            ..demo()
        };
        let minutes = |fails, round: u64| {
            let round = Duration::from_secs(60 * round);
            (cadence.after_failure_of_number(fails, round, at(0)) - at(0)).num_minutes()
        };
        let waits: Vec<i64> = (1..=11).map(|fails| minutes(fails, 0)).collect();
        let day = 24 * 60;
        assert_eq!(waits, [5, 15, 30, 60, 120, 240, 480, 960, day, day, day]);
        assert_eq!([minutes(1, 150), minutes(6, 150)], [150, 240]);
        assert_eq!(minutes(1, 50 * 60), day, "of a round of days");
    }

    #[test]
    fn an_invalid_number_is_asked_again_after_one_three_and_seven_days() {
        let wait = |hours: i64| {
            let now = at(hours * 3_600);
            Cadence::after_invalid(at(0), now).map(|next| (next - now).num_days())
        };
        assert_eq!(wait(47), None);
        assert_eq!([wait(48), wait(72), wait(144)], [Some(1), Some(3), Some(7)]);
    }
}
