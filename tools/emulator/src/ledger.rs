//! The ledger: every call by carrier, counted when it arrives, before any artificial delay.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// Upper limit of the carriers counted one by one. Calls of further carriers are counted together under `*`.
const CARRIERS_MAX: usize = 10_000;

/// The calls of one carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// 0: no limit.
    pub limit_per_minute: u32,
    pub calls: u64,
    pub ok: u64,
    /// Refused because they were beyond the limit.
    pub limited: u64,
    /// Failed for any other reason, by chance or by a fault.
    pub failed: u64,
    /// The most calls in a UTC calendar minute.
    pub busiest_minute: u64,
    /// The most calls in any 60 s.
    pub busiest_sliding: u64,
    /// Calls beyond the limit of their calendar minute.
    pub over_minute: u64,
    /// Calls beyond the limit in the 60 s that end with them.
    pub over_sliding: u64,
}

/// The whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    pub carriers: BTreeMap<String, Calls>,
}

/// Counts the calls of one carrier.
#[derive(Debug, Default)]
struct Book {
    calls: Calls,
    /// Arrivals of the last 60 s.
    arrivals: VecDeque<DateTime<Utc>>,
    minute: i64,
    in_minute: u64,
}

/// Counts the calls of all carriers.
#[derive(Debug, Default)]
pub struct Counter {
    books: BTreeMap<String, Book>,
}

impl Counter {
    /// Counts a call that arrives at `now`, and returns whether it is within the limit of the calendar minute.
    pub fn arrive(&mut self, carrier: &str, limit: u32, now: DateTime<Utc>) -> bool {
        let book = self.book(carrier);
        book.calls.limit_per_minute = limit;
        book.calls.calls += 1;
        let minute = now.timestamp().div_euclid(60);
        if minute != book.minute {
            book.minute = minute;
            book.in_minute = 0;
        }
        book.in_minute += 1;
        while book
            .arrivals
            .front()
            .is_some_and(|at| now - *at >= TimeDelta::seconds(60))
        {
            book.arrivals.pop_front();
        }
        book.arrivals.push_back(now);
        let sliding = book.arrivals.len() as u64;
        book.calls.busiest_minute = book.calls.busiest_minute.max(book.in_minute);
        book.calls.busiest_sliding = book.calls.busiest_sliding.max(sliding);
        let limit = u64::from(limit);
        if limit == 0 {
            return true;
        }
        book.calls.over_minute += u64::from(book.in_minute > limit);
        book.calls.over_sliding += u64::from(sliding > limit);
        book.in_minute <= limit
    }

    /// Counts how a call ended.
    pub fn end(&mut self, carrier: &str, end: End) {
        let calls = &mut self.book(carrier).calls;
        match end {
            End::Ok => calls.ok += 1,
            End::Limited => calls.limited += 1,
            End::Failed => calls.failed += 1,
        }
    }

    pub fn ledger(&self) -> Ledger {
        let carriers = self
            .books
            .iter()
            .map(|(name, book)| (name.clone(), book.calls.clone()))
            .collect();
        Ledger { carriers }
    }

    fn book(&mut self, carrier: &str) -> &mut Book {
        let known = self.books.contains_key(carrier) || self.books.len() < CARRIERS_MAX;
        self.books
            .entry(if known { carrier } else { "*" }.to_owned())
            .or_default()
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Ok,
    Limited,
    Failed,
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::Counter;

    fn at(millis: i64) -> DateTime<Utc> {
        // The start of a minute.
        DateTime::from_timestamp(1_795_176_000, 0).expect("a time within range")
            + TimeDelta::milliseconds(millis)
    }

    #[test]
    fn a_burst_across_two_minutes_is_over_the_sliding_limit_only() {
        let mut counter = Counter::default();
        for n in 0..10 {
            assert!(counter.arrive("A", 5, at(if n < 5 { 59_000 } else { 61_000 })));
        }
        let calls = counter.ledger().carriers["A"].clone();
        assert_eq!((calls.busiest_minute, calls.over_minute), (5, 0));
        assert_eq!((calls.busiest_sliding, calls.over_sliding), (10, 5));
    }

    #[test]
    fn calls_beyond_the_limit_are_refused_and_counted() {
        let mut counter = Counter::default();
        let admitted = (0..8)
            .filter(|n| counter.arrive("A", 5, at(n * 10)))
            .count();
        let calls = counter.ledger().carriers["A"].clone();
        assert_eq!(
            (admitted, calls.calls, calls.over_minute, calls.over_sliding),
            (5, 8, 3, 3)
        );
        assert!(counter.arrive("A", 5, at(60_000)), "a new minute");
    }

    #[test]
    fn sixty_seconds_are_half_open() {
        let mut counter = Counter::default();
        counter.arrive("A", 1, at(0));
        counter.arrive("A", 1, at(60_000));
        assert_eq!(counter.ledger().carriers["A"].over_sliding, 0);
        counter.arrive("A", 1, at(119_999));
        assert_eq!(counter.ledger().carriers["A"].over_sliding, 1);
    }
}
