//! What is learned of how soon news follows, shared by all workers: the consumer adds to it with what it applies.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::model::{Tracking, Update};
use crate::plan::hazard::{Cell, Counts, Gain, Leave, REFIT_EVERY, left_after};
use crate::plan::parcel::{class_of, learn_from, word};
use crate::plan::{AGES, SLOTS, Sections};
use crate::store::dialect::Dialect;
use crate::store::sql::Row;
use crate::store::{Store, StoreError};

/// What a batch of updates taught. The order of the keys is the order of the locks.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    cells: BTreeMap<(String, &'static str, usize, usize), (f64, f64)>,
    leaves: BTreeMap<(String, &'static str), Leave>,
}

impl Lesson {
    /// Adds what `update` teaches, where `row` is the tracking before it.
    pub(super) fn add(&mut self, sections: &Sections, row: &Tracking, update: &Update) {
        let section = sections.of(row.carrier_code.as_str());
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
    /// Adds a lesson to what is known. Last in a transaction: all consumers add to the same few rows.
    pub(super) async fn write_lesson(
        &self,
        transaction: &DatabaseTransaction,
        lesson: Lesson,
    ) -> Result<(), StoreError> {
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
            set.from(1)
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
            set.from(1)
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
                "SELECT code, age, slot, events, hours, fast_events, fast_hours FROM hazard_cells \
                 WHERE section = $1",
            )
            .bind(section);
        for row in &self.reader.query_all_raw(cells.statement()).await? {
            let row = Row::new(row, self.dialect, "hazard_cells");
            let code = word(&row.get::<String>("code")?);
            let (age, slot) = (index(&row, "age")?, index(&row, "slot")?);
            // A cell of an edition with other ages or slots says nothing here.
            if age >= AGES || slot >= SLOTS {
                continue;
            }
            match read_cell(&row) {
                Ok(cell) => counts(&mut codes, code).cells[age][slot] = cell,
                Err(error) => {
                    tracing::error!("passed over what was learned of {section}, {code}: {error}")
                }
            }
        }
        let leaves = self
            .sql("SELECT code, events, weights, ended FROM hazard_leaves WHERE section = $1")
            .bind(section);
        for row in &self.reader.query_all_raw(leaves.statement()).await? {
            let row = Row::new(row, self.dialect, "hazard_leaves");
            let code = word(&row.get::<String>("code")?);
            match read_leave(&row) {
                Ok(leave) => counts(&mut codes, code).leave = leave,
                Err(error) => {
                    tracing::error!("passed over what was learned of {section}, {code}: {error}")
                }
            }
        }
        Ok(codes)
    }

    /// Takes off what the memories of `sections` lose in `hours`.
    pub(super) async fn forget(
        &self,
        transaction: &DatabaseTransaction,
        sections: &[String],
        hours: f64,
    ) -> Result<(), StoreError> {
        let (slow, fast) = left_after(hours.clamp(0.0, 1_000.0 * REFIT_EVERY));
        // Locked in the order in which consumers add, so that the two cannot lock each other out.
        let (locked, collated) = match self.dialect {
            Dialect::Sqlite => ("", ""),
            Dialect::Postgres => ("FOR UPDATE OF t", "COLLATE \"C\""),
        };
        let mut sections = sections.to_vec();
        sections.sort_unstable();
        let names = self.set(&sections).column("name", String::clone);
        let of = |columns: &str, table: &str, first: usize| {
            format!(
                "WITH mine AS (SELECT t.section, {columns} FROM {table} AS t JOIN {} ON u.name = t.section \
                 ORDER BY t.section {collated}, t.code {collated}, {columns} {locked})",
                names.from(first)
            )
        };
        let cells = format!(
            "{} UPDATE hazard_cells SET events = events * $1, hours = hours * $1, fast_events = fast_events * $2, \
             fast_hours = fast_hours * $2 FROM mine WHERE hazard_cells.section = mine.section \
             AND hazard_cells.code = mine.code AND hazard_cells.age = mine.age AND hazard_cells.slot = mine.slot",
            of("t.code, t.age, t.slot", "hazard_cells", 3)
        );
        let cells = self.sql(cells).bind(slow).bind(fast);
        let cells = cells.bind_set(names.clone());
        transaction.execute_raw(cells.statement()).await?;
        let leaves = format!(
            "{} UPDATE hazard_leaves SET events = events * $1, weights = weights * $1, ended = ended * $1 FROM mine \
             WHERE hazard_leaves.section = mine.section AND hazard_leaves.code = mine.code",
            of("t.code", "hazard_leaves", 2)
        );
        let leaves = self.sql(leaves).bind(slow).bind_set(names);
        transaction.execute_raw(leaves.statement()).await?;
        Ok(())
    }
}

fn counts<'a>(codes: &'a mut BTreeMap<&'static str, Counts>, code: &'static str) -> &'a mut Counts {
    codes
        .entry(code)
        .or_insert_with(|| Counts::new(class_of(code)))
}

fn read_cell(row: &Row) -> Result<Cell, StoreError> {
    Ok(Cell {
        events: count(row, "events")?,
        hours: count(row, "hours")?,
        fast_events: count(row, "fast_events")?,
        fast_hours: count(row, "fast_hours")?,
    })
}

fn read_leave(row: &Row) -> Result<Leave, StoreError> {
    Ok(Leave {
        events: count(row, "events")?,
        weights: count(row, "weights")?,
        ended: count(row, "ended")?,
    })
}

fn index(row: &Row, column: &str) -> Result<usize, StoreError> {
    Ok(usize::from(row.get::<i16>(column)?.unsigned_abs()))
}

/// An age or a slot as the tables hold it.
fn small(index: usize) -> i16 {
    i16::try_from(index).unwrap_or(i16::MAX)
}

/// A count that something can be reckoned with.
fn count(row: &Row, column: &str) -> Result<f64, StoreError> {
    let count: f64 = row.get(column)?;
    if count.is_finite() && count >= 0.0 {
        Ok(count)
    } else {
        Err(row.corrupt(column, format!("{count} is no count")))
    }
}
