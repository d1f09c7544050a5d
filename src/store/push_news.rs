//! What is counted of the sections whose carriers push, shared by all workers. The consumer adds to it.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::plan::pushed::PushNews;
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable, get};

/// How much is remembered: beyond so many events each counts half.
const REMEMBERED_MAX: f64 = 1_000.0;

/// What is known of a section.
struct Row(PushNews);

impl Readable for Row {
    const TABLE: &'static str = "push_news";
    const KEY: &'static str = "section";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let heard_at: Option<Stamp> = get(row, "heard_at")?;
        Ok(Self(PushNews {
            heard_at: heard_at.map(|at| at.0),
            told: get(row, "told")?,
            found: get(row, "found")?,
        }))
    }
}

impl Store {
    /// Adds what a batch showed, in the order of the sections: all consumers lock the same few rows.
    pub(super) async fn write_push_news(
        &self,
        transaction: &Transaction,
        news: BTreeMap<String, PushNews>,
    ) -> Result<(), StoreError> {
        let news: Vec<(String, PushNews)> =
            news.into_iter().filter(|(_, it)| !it.is_empty()).collect();
        if news.is_empty() {
            return Ok(());
        }
        let set = self
            .set(&news)
            .column("section", |(section, _)| section.clone())
            .nullable("heard_at", |(_, it)| it.heard_at)
            .column("told", |(_, it)| it.told)
            .column("found", |(_, it)| it.found);
        let kept =
            "CASE WHEN push_news.told + push_news.found > :remembered_max THEN 0.5 ELSE 1.0 END";
        let sql = format!(
            "{} ON CONFLICT (section) DO UPDATE SET \
             heard_at = CASE WHEN excluded.heard_at IS NULL OR push_news.heard_at > excluded.heard_at \
             THEN push_news.heard_at ELSE excluded.heard_at END, \
             told = push_news.told * {kept} + excluded.told, found = push_news.found * {kept} + excluded.found",
            set.insert_into("push_news")
        );
        let sql = self.sql(sql).bind("remembered_max", REMEMBERED_MAX);
        let sql = sql.bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// What was counted of a section; nothing if its carrier never pushed.
    pub async fn push_news(&self, section: &str) -> Result<PushNews, StoreError> {
        let sql = self
            .sql("SELECT section, heard_at, told, found FROM push_news WHERE section = :section")
            .bind("section", section);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let rows: Vec<Row> = self.rows.readable(&found);
        Ok(rows.first().map_or_else(PushNews::default, |row| row.0))
    }
}
