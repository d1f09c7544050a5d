//! The facts of a tracking as its row has them.
//!
//! A row names the check that told the facts only if another one gave the status. Most answers repeat the facts and give the
//! status, so they change nothing in these columns, and need not pay for writing them.

use uuid::Uuid;

use crate::clock::Time;
use crate::model::Tracking;
use crate::model::facts::{Facts, Told};
use crate::store::column::{Key, Stamp};
use crate::store::entity::tracking::Model;

/// What the columns hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns<'a> {
    facts: Option<&'a Facts>,
    /// The check that told them, if it is not the one that gave the status.
    pub check: Option<(Time, Uuid)>,
}

impl<'a> Columns<'a> {
    pub fn of(row: &'a Tracking) -> Self {
        let told = row.facts.as_deref();
        let gave_status = row.status_checked_at.zip(row.status_check_id);
        let check = told.map(Told::order).filter(|it| gave_status != Some(*it));
        Self {
            facts: told.map(|told| &told.facts),
            check,
        }
    }

    /// The facts as text; empty if there are none.
    pub fn json(&self) -> String {
        let json = self.facts.map(serde_json::to_string);
        // Texts, numbers and times always serialize.
        json.and_then(Result::ok).unwrap_or_default()
    }
}

/// The facts of a row. A part that cannot be read is as if it were not there, as in messages.
pub fn read(row: &Model) -> Option<Box<Told>> {
    let facts = Facts::read(&row.facts)?;
    let stamp = |at: &Option<Stamp>| at.as_ref().map(|at| at.0);
    let id = |id: &Option<Key>| id.as_ref().map(|id| id.0);
    let own = stamp(&row.facts_checked_at).zip(id(&row.facts_check_id));
    let (checked_at, check_id) =
        own.or_else(|| stamp(&row.status_checked_at).zip(id(&row.status_check_id)))?;
    Some(Box::new(Told {
        facts,
        checked_at,
        check_id,
    }))
}

#[cfg(test)]
mod tests {
    use super::Columns;
    use crate::model::fixture::{at, event, facts, seen, tracking};
    use crate::model::history::History;
    use crate::model::merge::merge;
    use crate::model::status::Status;
    use crate::model::{Tracking, Update};

    #[test]
    fn a_check_that_repeats_the_facts_and_gives_the_status_changes_no_column() {
        let mut history = History::default();
        let mut told = |row: &Tracking, secs, check, pieces: Option<u32>| {
            let update = Update {
                facts: pieces.map(facts),
                ..seen(1, secs, check, vec![event(Status::InTransit, "3", 0)])
            };
            merge(row, &update, &mut history, at(100))
        };
        let first = told(&tracking(1, 1), 1, 1, Some(2));
        let again = told(&first, 2, 2, Some(2));
        assert_ne!(first.facts, again.facts);
        assert_eq!(Columns::of(&first), Columns::of(&again));
        let silent = told(&again, 3, 3, None);
        assert_ne!(Columns::of(&again), Columns::of(&silent));
        assert_eq!(
            Columns::of(&silent),
            Columns::of(&told(&silent, 4, 4, None))
        );
    }
}
