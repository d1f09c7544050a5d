//! Turns: how an account's calls are dealt between those who pay for its parcels.
//!
//! Each claimant has a count of what it was given, divided by its weight, and the one with the smallest count is next. What
//! one does not need goes to the others at once. One that needed nothing for a while has a small count, which is raised to just
//! behind the others': it is next, but does not catch up on what it never needed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::tenant::WEIGHT_MAX;

/// What a number counts for a claimant of weight 1.
const NUMBER: u64 = 1_000_000;

/// How far a claimant may be behind the first one: by so much it may be served before all others.
const BEHIND_MAX: u64 = 10 * NUMBER;

/// One that wants calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The numbers it was given, divided by its weight, in millionths.
    pub taken: u64,
    /// From 1 to [`WEIGHT_MAX`].
    pub weight: u32,
}

impl Claimant {
    /// What so many numbers count for it.
    pub fn cost(&self, numbers: u64) -> u64 {
        numbers.saturating_mul(NUMBER / u64::from(self.weight.clamp(1, WEIGHT_MAX)))
    }
}

/// Raises those that are too far behind.
pub fn raise(claimants: &mut [Claimant]) {
    let first = claimants.iter().map(|it| it.taken).max().unwrap_or(0);
    for claimant in claimants {
        claimant.taken = claimant.taken.max(first.saturating_sub(BEHIND_MAX));
    }
}

/// Whose turn it is, as places in `claimants`, for up to `numbers` numbers; each gets at most its entry in `wants`. Of two with
/// the same count, the one that comes first in `claimants`.
pub fn turns(claimants: &[Claimant], wants: &[usize], numbers: usize) -> Vec<usize> {
    let mut left = wants.to_vec();
    let counts = claimants.iter().map(|it| it.taken);
    let mut next: BinaryHeap<Reverse<(u64, usize)>> = std::iter::zip(counts, 0..)
        .filter(|(_, place)| left.get(*place).is_some_and(|left| *left > 0))
        .map(Reverse)
        .collect();
    let mut turns = Vec::new();
    while turns.len() < numbers
        && let Some(Reverse((taken, place))) = next.pop()
    {
        turns.push(place);
        left[place] -= 1;
        if left[place] > 0 {
            let taken = taken.saturating_add(claimants[place].cost(1));
            next.push(Reverse((taken, place)));
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BEHIND_MAX, Claimant, NUMBER, raise, turns};

    fn claimant(taken: u64, weight: u32) -> Claimant {
        Claimant { taken, weight }
    }

    /// How many turns each one gets.
    fn dealt(claimants: &[Claimant], wants: &[usize], numbers: usize) -> Vec<usize> {
        let turns = turns(claimants, wants, numbers);
        let count = |place| turns.iter().filter(|turn| **turn == place).count();
        (0..claimants.len()).map(count).collect()
    }

    #[test]
    fn calls_are_dealt_by_weight_and_what_one_does_not_need_goes_to_the_others() {
        let claimants = [claimant(0, 1), claimant(0, 3), claimant(0, 1)];
        assert_eq!(dealt(&claimants, &[900, 900, 900], 500), [100, 300, 100]);
        assert_eq!(dealt(&claimants, &[900, 20, 900], 500), [240, 20, 240]);
        assert_eq!(dealt(&claimants, &[3, 0, 4], 500), [3, 0, 4]);
    }

    #[test]
    fn one_that_needed_nothing_is_next_but_does_not_catch_up() {
        let mut claimants = [claimant(1_000 * NUMBER, 1), claimant(0, 1)];
        raise(&mut claimants);
        assert_eq!(claimants[1].taken, 1_000 * NUMBER - BEHIND_MAX);
        assert_eq!(dealt(&claimants, &[900, 900], 110), [50, 60]);
    }

    proptest! {
        #[test]
        fn no_call_is_lost_and_nobody_is_given_more_than_its_part_while_another_waits(
            all in prop::collection::vec((0_u64..9, 1_u32..=1_000, 0_usize..200), 1..9),
            numbers in 0_usize..500,
        ) {
            let mut claimants: Vec<Claimant> = all.iter().map(|it| claimant(it.0 * NUMBER, it.1)).collect();
            raise(&mut claimants);
            let wants: Vec<usize> = all.iter().map(|it| it.2).collect();
            let dealt = dealt(&claimants, &wants, numbers);
            prop_assert_eq!(dealt.iter().sum::<usize>(), numbers.min(wants.iter().sum()));
            let after = |place: usize| claimants[place].taken + claimants[place].cost(dealt[place] as u64);
            for waits in (0..all.len()).filter(|place| dealt[*place] < wants[*place]) {
                for other in (0..all.len()).filter(|place| dealt[*place] > 0) {
                    // The last number it was given was its turn.
                    let before_last = after(other) - claimants[other].cost(1);
                    prop_assert!(before_last <= after(waits));
                }
            }
        }
    }
}
