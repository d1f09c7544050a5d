//! Tickets, as carriers have them that take many numbers at once and answer later. An answer is prepared once: whoever asks
//! for it again gets the same.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

/// The most numbers of a ticket.
pub const NUMBERS_MAX: usize = 3_000;

/// Upper limit of the tickets that are kept; the oldest is forgotten first.
const TICKETS_MAX: usize = 1_000;

/// How long an answer is kept, as Russian Post says it.
const KEPT_FOR: TimeDelta = TimeDelta::hours(32);

/// A ticket that was given.
#[derive(Clone, Debug)]
pub struct Given {
    pub carrier: String,
    pub numbers: Vec<String>,
    given_at: DateTime<Utc>,
    ready_at: DateTime<Utc>,
    answer: Option<Value>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Tickets that were given.
    pub given: u64,
    /// Requests for answers that were not ready.
    pub not_ready: u64,
    /// Requests for answers that were ready.
    pub answered: u64,
    /// Requests for tickets that are not known.
    pub unknown: u64,
    /// Different numbers that were in tickets.
    pub numbers: u64,
    /// The most tickets that any number was in.
    pub most_often: u64,
}

/// What it knows.
#[derive(Debug, Default)]
pub struct Tickets {
    given: BTreeMap<String, Given>,
    /// How many tickets each number of a carrier was in.
    times: HashMap<(String, String), u64>,
    counts: Counts,
    /// How long answers take from now on, instead of what the options say.
    wait: Option<Duration>,
}

impl Tickets {
    /// Lets the answers of tickets that are given from now on take this long.
    pub fn set_wait(&mut self, wait: Duration) {
        self.wait = Some(wait);
    }

    /// Gives a ticket for numbers, and answers its name.
    pub fn give(
        &mut self,
        carrier: &str,
        numbers: &[&str],
        wait: Duration,
        now: DateTime<Utc>,
    ) -> String {
        self.counts.given += 1;
        let id = format!("{}{:08}", now.format("%Y%m%d%H%M%S%3f"), self.counts.given);
        for number in numbers {
            let key = (carrier.to_owned(), (*number).to_owned());
            let times = self.times.entry(key).or_default();
            *times += 1;
            self.counts.numbers += u64::from(*times == 1);
            self.counts.most_often = self.counts.most_often.max(*times);
        }
        self.given
            .retain(|_, given| now < given.given_at + KEPT_FOR);
        while self.given.len() >= TICKETS_MAX {
            self.given.pop_first();
        }
        let given = Given {
            carrier: carrier.to_owned(),
            numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
            given_at: now,
            ready_at: now + self.wait.unwrap_or(wait),
            answer: None,
        };
        self.given.insert(id.clone(), given);
        id
    }

    /// The ticket of this name.
    pub fn get(&mut self, id: &str, now: DateTime<Utc>) -> Option<Given> {
        let given = self.given.get(id);
        let given = given.filter(|given| now < given.given_at + KEPT_FOR);
        if given.is_none() {
            self.counts.unknown += 1;
        }
        given.cloned()
    }

    /// The answer of a ticket, which is prepared the first time; `None` if it is not ready.
    pub fn answer(
        &mut self,
        id: &str,
        now: DateTime<Utc>,
        prepare: impl FnOnce(&Given) -> Value,
    ) -> Option<Value> {
        let given = self.given.get_mut(id)?;
        if now < given.ready_at {
            self.counts.not_ready += 1;
            return None;
        }
        self.counts.answered += 1;
        let answer = match given.answer.take() {
            Some(answer) => answer,
            None => prepare(given),
        };
        given.answer = Some(answer.clone());
        Some(answer)
    }

    /// Forgets what was given, as a carrier that lost it.
    pub fn lose(&mut self) {
        self.given.clear();
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta, Utc};
    use serde_json::json;

    use super::{KEPT_FOR, Tickets};

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_176_000 + secs, 0).expect("a time within range")
    }

    #[test]
    fn an_answer_is_prepared_once_and_kept_for_a_while() {
        let mut tickets = Tickets::default();
        let id = tickets.give("A", &["1", "2"], Duration::from_secs(10), at(0));
        assert_eq!(tickets.answer(&id, at(9), |_| json!("early")), None);
        assert_eq!(
            tickets.answer(&id, at(10), |_| json!("first")),
            Some(json!("first"))
        );
        assert_eq!(
            tickets.answer(&id, at(99), |_| json!("second")),
            Some(json!("first"))
        );
        assert!(
            tickets
                .get(&id, at(0) + KEPT_FOR - TimeDelta::seconds(1))
                .is_some()
        );
        assert!(tickets.get(&id, at(0) + KEPT_FOR).is_none());
        let counts = tickets.counts();
        assert_eq!(
            (
                counts.given,
                counts.not_ready,
                counts.answered,
                counts.unknown
            ),
            (1, 1, 2, 1)
        );
    }

    #[test]
    fn it_is_counted_how_often_a_number_was_asked_for() {
        let mut tickets = Tickets::default();
        for numbers in [["1", "2"], ["3", "2"]] {
            tickets.give("A", &numbers, Duration::ZERO, at(0));
        }
        tickets.give("B", &["2"], Duration::ZERO, at(0));
        let counts = tickets.counts();
        assert_eq!((counts.given, counts.numbers, counts.most_often), (3, 4, 2));
    }
}
