//! What carriers push: the trackings of a number, and making them due.

use std::collections::HashMap;

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::clock::Time;
use crate::model::Tracking;
use crate::model::number::fold;
use crate::plan::Sections;
use crate::store::creating::Placed;
use crate::store::entity::columns;
use crate::store::entity::tracking::Entity;
use crate::store::error::StoreError;
use crate::store::queues::FREE;
use crate::store::rows::{Readable, Unreadable, get};
use crate::store::{Store, WholeStore};

/// A parcel is made due by hints at most once in this time.
pub const HINT_QUIET: TimeDelta = TimeDelta::minutes(10);

/// The most carrier codes without a section of their own that a number is looked for under.
const CODES_MAX: i64 = 1_000;

/// A number that a carrier named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// A carrier's code with a section of its own; `None`: every code without one.
    pub carrier: Option<String>,
    /// In any spelling.
    pub number: String,
}

/// A tracking to be made due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    pub id: i64,
    pub due_at: Time,
}

/// What a hint changed.
struct Hinted {
    id: i64,
    version: i64,
}

impl Readable for Hinted {
    const TABLE: &'static str = Tracking::TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            id: get(row, "id")?,
            version: get(row, "version")?,
        })
    }
}

/// A number as the store knows it, and where it was named.
struct Keyed {
    place: usize,
    carrier_key: String,
    number_key: String,
}

/// Walks the index of the keys from one carrier's code to the next.
const CODES: &str = "WITH RECURSIVE codes(carrier_key, n) AS (
  SELECT (SELECT MIN(carrier_key) FROM trackings), 1
  UNION ALL
  SELECT (SELECT MIN(t.carrier_key) FROM trackings AS t WHERE t.carrier_key > codes.carrier_key), codes.n + 1
  FROM codes WHERE codes.carrier_key IS NOT NULL AND codes.n < :codes_max
)";

impl Store {
    /// The trackings of numbers, each with its number's place among `sought`.
    pub async fn by_number(&self, sought: &[Sought]) -> Result<Vec<(usize, Tracking)>, StoreError> {
        let keyed = sought.iter().enumerate().map(|(place, it)| {
            let code = it.carrier.as_deref().unwrap_or(Sections::REST);
            Keyed {
                place,
                carrier_key: fold(code),
                number_key: self.sections().spelling(code).fold(&it.number),
            }
        });
        let (of_code, of_any): (Vec<Keyed>, Vec<Keyed>) =
            keyed.partition(|it| sought[it.place].carrier.is_some());
        let mut found = self.keyed(&of_code, "", "u.carrier_key").await?;
        let codes = "CROSS JOIN codes";
        found.extend(self.keyed(&of_any, codes, "codes.carrier_key").await?);
        Ok(found)
    }

    /// The trackings with these number keys and the carrier key that is read as `carrier_key`.
    async fn keyed(
        &self,
        wanted: &[Keyed],
        join: &str,
        carrier_key: &str,
    ) -> Result<Vec<(usize, Tracking)>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let set = self
            .set(wanted)
            .column("carrier_key", |it| it.carrier_key.clone())
            .column("number_key", |it| it.number_key.clone());
        let codes = if join.is_empty() { "" } else { CODES };
        let sql = format!(
            "{codes} SELECT u.nth, {} FROM {} {join} JOIN trackings AS t \
             ON t.carrier_key = {carrier_key} AND t.number_key = u.number_key",
            columns::<Entity>("t."),
            set.from()
        );
        let sql = self.sql(sql).bind("codes_max", CODES_MAX).bind_set(set);
        let rows = self.reader.query_all_raw(sql.statement()).await?;
        let placed: Vec<Placed> = self.rows.readable(&rows);
        let of = |it: Placed| Some((wanted.get(it.place)?.place, it.row));
        Ok(placed.into_iter().filter_map(of).collect())
    }
}

impl WholeStore {
    /// Makes trackings due that were not made so by a hint in the last [`HINT_QUIET`], those that have ended too. Answers
    /// how many. They go after what is urgent; a lease stays, and its check does not put them off.
    ///
    /// `before_commit` invalidates the cached values by id and version; the changes are not visible to others yet.
    pub async fn hint(
        &self,
        hints: &[Hint],
        now: Time,
        before_commit: impl AsyncFnOnce(&[(i64, i64)]),
    ) -> Result<usize, StoreError> {
        // By id, as everywhere, so that two transactions cannot deadlock; and each once.
        let by_id: HashMap<i64, Hint> = hints.iter().map(|hint| (hint.id, *hint)).collect();
        let mut hints: Vec<Hint> = by_id.into_values().collect();
        hints.sort_unstable_by_key(|hint| hint.id);
        if hints.is_empty() {
            return Ok(0);
        }
        let set = self
            .set(&hints)
            .column("row_id", |hint| hint.id)
            .column("due_at", |hint| hint.due_at);
        let sql = format!(
            "UPDATE trackings SET hinted_at = :now, \
             next_check_at = CASE WHEN active AND next_check_at < u.due_at AND {FREE} \
             THEN next_check_at ELSE u.due_at END, \
             looks_again = looks_again OR NOT active, active = TRUE, version = version + 1, \
             updated_at = CASE WHEN updated_at < :now THEN :now ELSE updated_at END \
             FROM {} WHERE trackings.id = u.row_id AND wanted AND (hinted_at IS NULL OR hinted_at <= :quiet_since) \
             RETURNING id, version",
            set.from()
        );
        let transaction = self.begin().await?;
        let sql = self
            .sql(sql)
            .bind("now", now)
            .bind("quiet_since", now - HINT_QUIET)
            .bind_set(set);
        let rows = transaction.query_all_raw(sql.statement()).await?;
        let hinted: Vec<Hinted> = self.rows.readable(&rows);
        let versions: Vec<(i64, i64)> = hinted.iter().map(|it| (it.id, it.version)).collect();
        before_commit(&versions).await;
        transaction.commit().await?;
        Ok(versions.len())
    }
}
