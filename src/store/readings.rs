//! How the stored events of each section were read, so that a change of that is noticed.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::clock::Time;
use crate::store::Store;
use crate::store::error::StoreError;

/// The most sections that are read; more than a configuration has.
const SECTIONS_MAX: i64 = 10_000;

impl Store {
    /// The hash of how its events are read, by section.
    pub async fn readings(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let sql = self
            .sql("SELECT section, reading FROM section_readings ORDER BY section LIMIT :limit")
            .bind("limit", SECTIONS_MAX);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let pair =
            |row: &QueryResult| Ok((row.try_get("", "section")?, row.try_get("", "reading")?));
        found.iter().map(pair).collect()
    }

    /// Notes how the events of these sections are read from now on.
    pub async fn note_readings(
        &self,
        readings: &BTreeMap<String, String>,
        now: Time,
    ) -> Result<(), StoreError> {
        let readings: Vec<(&String, &String)> = readings.iter().collect();
        if readings.is_empty() {
            return Ok(());
        }
        let set = self
            .set(&readings)
            .column("section", |(section, _)| (*section).clone())
            .column("reading", |(_, reading)| (*reading).clone());
        let sql = format!(
            "INSERT INTO section_readings ({}, noted_at) SELECT {}, :now FROM {} WHERE TRUE ORDER BY u.nth \
             ON CONFLICT (section) DO UPDATE SET reading = excluded.reading, noted_at = excluded.noted_at \
             WHERE section_readings.reading <> excluded.reading",
            set.names(""),
            set.names("u."),
            set.from()
        );
        let sql = self.sql(sql).bind("now", now).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}
