//! The order of an answer's list.

use chrono::TimeDelta;

use crate::carriers::reading::time::When;
use crate::clock::Time;

/// A record that was read, with the time that it names.
#[derive(Clone, Debug)]
pub struct Dated<T> {
    pub when: When,
    /// The carrier gave a date without a time of day.
    pub day_only: bool,
    pub record: T,
}

/// A record in its place.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub at: Time,
    /// Where it stands, if not at its time.
    pub order_at: Option<Time>,
    pub record: T,
}

impl<T> Placed<T> {
    fn stands_at(&self) -> Time {
        self.order_at.unwrap_or(self.at)
    }
}

/// The records oldest first. Records of the same time keep the carrier's order, and a date without a time of day stands
/// right after the record before it in the list, if that is of the same day.
pub fn in_order<T>(mut list: Vec<Dated<T>>) -> Vec<Placed<T>> {
    if is_newest_first(&list) {
        list.reverse();
    }
    let mut before: Option<Time> = None;
    let mut placed: Vec<Placed<T>> = Vec::with_capacity(list.len());
    for Dated {
        when,
        day_only,
        record,
    } in list
    {
        let day = when.at..when.at + TimeDelta::days(1);
        let after = before.filter(|before| day_only && day.contains(before));
        let one = Placed {
            at: when.at,
            order_at: after.map(|before| before + TimeDelta::microseconds(1)),
            record,
        };
        before = Some(one.stands_at());
        placed.push(one);
    }
    placed.sort_by_key(Placed::stands_at);
    placed
}

/// Whether more neighbours in the list go back in time than forward. Of a date without a time of day only the date tells.
fn is_newest_first<T>(list: &[Dated<T>]) -> bool {
    let falls = |pair: &[Dated<T>]| {
        let (one, other) = (&pair[0], &pair[1]);
        let apart = match one.day_only || other.day_only {
            true => TimeDelta::days(1),
            false => TimeDelta::microseconds(1),
        };
        let later = one.when.at - other.when.at;
        i32::from(later >= apart) - i32::from(-later >= apart)
    };
    list.windows(2).map(falls).sum::<i32>() > 0
}
