//! A limit by the calendar: so many calls a day or a month of a time zone.

use chrono::{Datelike as _, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::clock::Time;

/// The calendar's steps of time zones, in minutes: every offset in use is a multiple of it.
const STEP_MINS: i64 = 15;

/// The longest span that a zone's calendar ever left out, in steps: a day.
const SKIPPED_MAX: i64 = 24 * 60 / STEP_MINS;

/// At most `calls` in each day or month of the calendar of `zone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub calls: u32,
    pub period: Period,
    pub zone: Tz,
}

/// What a [`Quota`] counts calls by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Day,
    Month,
}

/// One day or month: from `began`, up to but not including `ends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub began: Time,
    pub ends: Time,
}

impl Quota {
    /// The day or month that `at` lies in.
    pub fn stretch(&self, at: Time) -> Stretch {
        let date = at.with_timezone(&self.zone).date_naive();
        let (first, next) = match self.period {
            Period::Day => (date, date.checked_add_days(Days::new(1))),
            Period::Month => {
                let first = date.with_day(1).unwrap_or(date);
                (first, first.checked_add_months(Months::new(1)))
            }
        };
        Stretch {
            began: self.start_of(first).unwrap_or(Time::MIN_UTC),
            ends: next
                .and_then(|next| self.start_of(next))
                .unwrap_or(Time::MAX_UTC),
        }
    }

    /// When `date` begins: its midnight, or the first moment after it that the zone's clocks show. `None` at the end of
    /// all dates.
    fn start_of(&self, date: NaiveDate) -> Option<Time> {
        let midnight = date.and_time(NaiveTime::MIN);
        (0..=SKIPPED_MAX).find_map(|steps| {
            let shown = midnight.checked_add_signed(TimeDelta::minutes(steps * STEP_MINS))?;
            let at = self.zone.from_local_datetime(&shown).earliest()?;
            Some(at.to_utc())
        })
    }

    /// The calls of an hour in an average day or month.
    pub fn calls_per_hour(&self) -> f64 {
        let hours = match self.period {
            Period::Day => 24.0,
            Period::Month => 365.2425 / 12.0 * 24.0,
        };
        f64::from(self.calls) / hours
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::{Period, Quota, Stretch};
    use crate::clock::Time;

    fn time(text: &str) -> Time {
        text.parse().expect("a time")
    }

    /// The stretch around `at`, and that it is the same at both of its ends.
    fn stretch(zone: Tz, period: Period, at: &str) -> (String, i64) {
        let quota = Quota {
            calls: 1,
            period,
            zone,
        };
        let found = quota.stretch(time(at));
        let Stretch { began, ends } = found;
        let micro = chrono::TimeDelta::microseconds(1);
        assert_eq!(quota.stretch(began), found);
        assert_eq!(quota.stretch(ends - micro), found);
        assert_eq!(quota.stretch(ends).began, ends);
        (began.to_rfc3339(), (ends - began).num_hours())
    }

    #[test]
    fn days_and_months_are_those_of_the_zone_with_23_and_25_hours() {
        use Period::{Day, Month};
        for (zone, period, at, began, hours) in [
            (Tz::UTC, Day, "2026-11-27T23:59:59Z", "2026-11-27T00:00", 24),
            (
                Tz::Europe__Moscow,
                Day,
                "2026-11-27T21:00:00Z",
                "2026-11-27T21:00",
                24,
            ),
            (
                Tz::Europe__Berlin,
                Day,
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00",
                23,
            ),
            (
                Tz::Europe__Berlin,
                Day,
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00",
                25,
            ),
            (
                Tz::Europe__Berlin,
                Month,
                "2026-03-10T12:00:00Z",
                "2026-02-28T23:00",
                31 * 24 - 1,
            ),
            (
                Tz::Asia__Kathmandu,
                Month,
                "2026-12-10T00:00:00Z",
                "2026-11-30T18:15",
                31 * 24,
            ),
            // No midnight on the day that summer time begins.
            (
                Tz::Africa__Cairo,
                Day,
                "2026-04-24T12:00:00Z",
                "2026-04-23T22:00",
                23,
            ),
            // Samoa had no 30 December 2011.
            (
                Tz::Pacific__Apia,
                Day,
                "2011-12-30T09:00:00Z",
                "2011-12-29T10:00",
                24,
            ),
        ] {
            let (found, lasts) = stretch(zone, period, at);
            assert!(found.starts_with(began), "{zone} {at}: {found}");
            assert_eq!(lasts, hours, "{zone} {at}");
        }
    }
}
