//! What is learned about how soon news follows, shared by all workers. The consumer adds what its updates teach.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, FromQueryResult, QueryResult};

use crate::model::{Tracking, Update};
use crate::plan::hazard::factors::Cell;
use crate::plan::hazard::{Counts, Gain, Leave, REFIT_EVERY, left_after};
use crate::plan::parcel::{class_of, learn_from, word};
use crate::plan::pushed::PushNews;
use crate::plan::{AGES, SLOTS, Sections};
use crate::store::Store;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable};

/// What a batch of updates taught. The order of the keys is the order of the locks.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    cells: BTreeMap<(String, &'static str, usize, usize), (f64, f64)>,
    leaves: BTreeMap<(String, &'static str), Leave>,
    /// By the sections whose carriers push.
    pushed: BTreeMap<String, PushNews>,
}

impl Lesson {
    /// Adds what `update` teaches; `row` is the tracking before it.
    pub(super) fn add(&mut self, sections: &Sections, row: &Tracking, update: &Update) {
        let section = sections.of(row.carrier_code.as_str());
        if sections.is_pushed(section) {
            let news = self.pushed.entry(section.to_owned()).or_default();
            news.add(row, update);
        }
        learn_from(row, update, |code, gain| match gain {
            Gain::Watched { age, slot, hours } => {
                if hours.is_finite() {
                    let key = (section.to_owned(), code, age, slot);
                    self.cells.entry(key).or_default().1 += hours;
                }
            }
            Gain::Event {
                age,
                slot,
                weight,
                ended,
            } => {
                let key = (section.to_owned(), code, age, slot);
                self.cells.entry(key).or_default().0 += 1.0;
                let leave = self.leaves.entry((section.to_owned(), code)).or_default();
                leave.add(weight, ended);
            }
        });
    }
}

impl Store {
    /// Adds a lesson to the counts. Last in a transaction, since all consumers lock the same few rows.
    pub(super) async fn write_lesson(
        &self,
        transaction: &Transaction,
        lesson: Lesson,
    ) -> Result<(), StoreError> {
        self.write_push_news(transaction, lesson.pushed).await?;
        if lesson.cells.is_empty() {
            return Ok(());
        }
        let cells: Vec<_> = lesson.cells.into_iter().collect();
        let set = self
            .set(&cells)
            .column("section", |(key, _)| key.0.clone())
            .column("code", |(key, _)| key.1.to_owned())
            .column("age", |(key, _)| small(key.2))
            .column("slot", |(key, _)| small(key.3))
            .column("events", |(_, gain)| gain.0)
            .column("hours", |(_, gain)| gain.1);
        let sql = format!(
            "INSERT INTO hazard_cells (section, code, age, slot, events, hours, fast_events, fast_hours) \
             SELECT u.section, u.code, u.age, u.slot, u.events, u.hours, u.events, u.hours FROM {} WHERE TRUE \
             ORDER BY u.nth ON CONFLICT (section, code, age, slot) DO UPDATE SET \
             events = hazard_cells.events + excluded.events, hours = hazard_cells.hours + excluded.hours, \
             fast_events = hazard_cells.fast_events + excluded.fast_events, \
             fast_hours = hazard_cells.fast_hours + excluded.fast_hours",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        if lesson.leaves.is_empty() {
            return Ok(());
        }
        let leaves: Vec<_> = lesson.leaves.into_iter().collect();
        let set = self
            .set(&leaves)
            .column("section", |(key, _)| key.0.clone())
            .column("code", |(key, _)| key.1.to_owned())
            .column("events", |(_, leave)| leave.events)
            .column("weights", |(_, leave)| leave.weights)
            .column("ended", |(_, leave)| leave.ended);
        let sql = format!(
            "INSERT INTO hazard_leaves (section, code, events, weights, ended) \
             SELECT u.section, u.code, u.events, u.weights, u.ended FROM {} WHERE TRUE ORDER BY u.nth \
             ON CONFLICT (section, code) DO UPDATE SET events = hazard_leaves.events + excluded.events, \
             weights = hazard_leaves.weights + excluded.weights, ended = hazard_leaves.ended + excluded.ended",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// What is known of a section, by code.
    pub async fn learned(
        &self,
        section: &str,
    ) -> Result<BTreeMap<&'static str, Counts>, StoreError> {
        let mut codes: BTreeMap<&'static str, Counts> = BTreeMap::new();
        let cells = self
            .sql(
                "SELECT section, code, age, slot, events, hours, fast_events, fast_hours FROM hazard_cells \
                 WHERE section = :section",
            )
            .bind("section", section);
        let found = self.reader.query_all_raw(cells.statement()).await?;
        for row in self.rows.readable::<CellRow>(&found) {
            let (age, slot) = (index(row.age), index(row.slot));
            // An edition of the program with other ages or slots wrote the others.
            if age < AGES && slot < SLOTS {
                // Added, since several codes may be one word to this edition.
                counts(&mut codes, word(&row.code)).cells[age][slot] += Cell {
                    events: row.events,
                    hours: row.hours,
                    fast_events: row.fast_events,
                    fast_hours: row.fast_hours,
                };
            }
        }
        let leaves = self
            .sql("SELECT section, code, events, weights, ended FROM hazard_leaves WHERE section = :section")
            .bind("section", section);
        let found = self.reader.query_all_raw(leaves.statement()).await?;
        for row in self.rows.readable::<LeaveRow>(&found) {
            counts(&mut codes, word(&row.code)).leave += Leave {
                events: row.events,
                weights: row.weights,
                ended: row.ended,
            };
        }
        Ok(codes)
    }

    /// Ages the counts of `sections` by `hours`.
    pub(super) async fn forget(
        &self,
        transaction: &Transaction,
        sections: &[String],
        hours: f64,
    ) -> Result<(), StoreError> {
        let (slow, fast) = left_after(hours.clamp(0.0, 1_000.0 * REFIT_EVERY));
        // Locked in the order in which consumers add, so that the two cannot deadlock.
        let (locked, collated) = match self.dialect {
            Dialect::Sqlite => ("", ""),
            Dialect::Postgres => ("FOR UPDATE OF t", "COLLATE \"C\""),
        };
        let mut sections = sections.to_vec();
        sections.sort_unstable();
        let names = self.set(&sections).column("name", String::clone);
        // The rows of the sections, locked in the order of their key.
        let mine = |table: &str, key: &str| {
            format!(
                "WITH mine AS (SELECT t.section, {key} FROM {table} AS t JOIN {} ON u.name = t.section \
                 ORDER BY t.section {collated}, t.code {collated}, {key} {locked})",
                names.from()
            )
        };
        let cells = format!(
            "{} UPDATE hazard_cells SET events = events * :slow, hours = hours * :slow, \
             fast_events = fast_events * :fast, fast_hours = fast_hours * :fast \
             FROM mine WHERE hazard_cells.section = mine.section \
             AND hazard_cells.code = mine.code AND hazard_cells.age = mine.age AND hazard_cells.slot = mine.slot",
            mine("hazard_cells", "t.code, t.age, t.slot")
        );
        let cells = self.sql(cells).bind("slow", slow).bind("fast", fast);
        let cells = cells.bind_set(names.clone());
        transaction.execute_raw(cells.statement()).await?;
        let leaves = format!(
            "{} UPDATE hazard_leaves SET events = events * :slow, weights = weights * :slow, ended = ended * :slow \
             FROM mine WHERE hazard_leaves.section = mine.section AND hazard_leaves.code = mine.code",
            mine("hazard_leaves", "t.code")
        );
        let leaves = self.sql(leaves).bind("slow", slow).bind_set(names);
        transaction.execute_raw(leaves.statement()).await?;
        Ok(())
    }
}

fn counts<'a>(codes: &'a mut BTreeMap<&'static str, Counts>, code: &'static str) -> &'a mut Counts {
    codes
        .entry(code)
        .or_insert_with(|| Counts::new(class_of(code)))
}

#[derive(FromQueryResult)]
struct CellRow {
    code: String,
    age: i16,
    slot: i16,
    events: f64,
    hours: f64,
    fast_events: f64,
    fast_hours: f64,
}

impl Readable for CellRow {
    const TABLE: &'static str = "hazard_cells";
    const KEY: &'static str = "section";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Self::from_query_result_nullable(row, "")?;
        check("events", row.events)?;
        check("hours", row.hours)?;
        check("fast_events", row.fast_events)?;
        check("fast_hours", row.fast_hours)?;
        Ok(row)
    }
}

#[derive(FromQueryResult)]
struct LeaveRow {
    code: String,
    events: f64,
    weights: f64,
    ended: f64,
}

impl Readable for LeaveRow {
    const TABLE: &'static str = "hazard_leaves";
    const KEY: &'static str = "section";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Self::from_query_result_nullable(row, "")?;
        check("events", row.events)?;
        check("weights", row.weights)?;
        check("ended", row.ended)?;
        Ok(row)
    }
}

/// More events or hours than can be counted.
const COUNT_MAX: f64 = 1e12;

/// Refuses a count that cannot be right.
fn check(column: &str, count: f64) -> Result<(), Unreadable> {
    if (0.0..=COUNT_MAX).contains(&count) {
        Ok(())
    } else {
        Err(Unreadable::new(column, format!("{count} is not a count")))
    }
}

/// An age or a slot as an index; what the tables cannot hold is out of range.
fn index(number: i16) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An age or a slot as the tables hold it.
fn small(index: usize) -> i16 {
    i16::try_from(index).unwrap_or(i16::MAX)
}
