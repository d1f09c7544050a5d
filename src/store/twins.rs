//! Twins: trackings that became one parcel when spellings were folded. They are folded into one here.
//!
//! The oldest id survives: it shows what was typed first, and is what a client has known the longest. All events go to it
//! and decide its status; without events it is that of the twin that heard the best and newest. The other ids become aliases.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::clock::Time;
use crate::model::merge::settle;
use crate::model::number::fold;
use crate::model::twins::folded;
use crate::model::{Change, Heard, Tracking};
use crate::plan::Sections;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::{Store, WholeStore};

/// How many trackings are given their keys in one transaction, in which others cannot write.
const BATCH: i64 = 2_000;

/// How often a transaction is begun until the database counts as away; each time waits some seconds for other writers.
const BEGINS_MAX: u32 = 30;

/// How many batches are between two lines of the log.
const LOGGED_EVERY: u64 = 50;

/// Carrier and number, folded.
type Key = (String, String);

#[derive(FromQueryResult)]
struct Unkeyed {
    id: i64,
    carrier_code: String,
    track_number: String,
}

#[derive(FromQueryResult)]
struct Keyed {
    id: i64,
    carrier_key: String,
    number_key: String,
}

/// A tracking that goes on, and those that are folded into it.
struct Folding {
    change: Change,
    twins: Vec<Tracking>,
}

impl WholeStore {
    /// Gives every tracking without a key its key, and folds the trackings of one parcel into one; returns how many were
    /// folded away.
    ///
    /// Each batch is a transaction that keeps other writers out: several programs may do so at once, and one that was
    /// stopped is continued by the next. `before_commit` invalidates cached values: (id, least valid version).
    pub async fn fold_twins(
        &self,
        now: Time,
        mut before_commit: impl AsyncFnMut(&[(i64, i64)]),
    ) -> Result<u64, StoreError> {
        let (mut after, mut batches, mut keyed, mut folded) = (0, 0, 0, 0);
        // Looked for outside a transaction first: mostly there are none.
        while !self.unkeyed(&self.reader, after).await?.is_empty() {
            let transaction = self.begin_patiently().await?;
            if self.dialect == Dialect::Postgres {
                // Writers that are under way finish first, and the next ones wait. Readers do not.
                let lock = "LOCK TABLE trackings IN EXCLUSIVE MODE";
                transaction.execute_unprepared(lock).await?;
            }
            let rows = self.unkeyed(&transaction, after).await?;
            let Some(last) = rows.last() else {
                break;
            };
            after = last.id;
            let foldings = self.key(&transaction, &rows, now).await?;
            let versions: Vec<(i64, i64)> = foldings.iter().flat_map(Folding::versions).collect();
            if !versions.is_empty() {
                before_commit(&versions).await;
            }
            transaction.commit().await?;
            keyed += rows.len() as u64;
            folded += foldings.iter().map(|it| it.twins.len() as u64).sum::<u64>();
            batches += 1;
            if batches % LOGGED_EVERY == 0 {
                tracing::info!(
                    keyed,
                    folded,
                    "gave {keyed} trackings their keys so far, and folded {folded} into others"
                );
            }
        }
        if folded > 0 {
            tracing::info!(
                folded,
                "folded {folded} trackings into others of the same parcel; their ids still work"
            );
        }
        Ok(folded)
    }
}

impl Store {
    /// Begins a transaction although other programs fold too: a step of theirs may take longer than others wait for.
    async fn begin_patiently(&self) -> Result<Transaction, StoreError> {
        for _ in 1..BEGINS_MAX {
            match self.begin().await {
                Err(error) if error.may_pass() => tracing::debug!("waits to fold: {error}"),
                begun => return begun,
            }
        }
        self.begin().await
    }

    async fn unkeyed(
        &self,
        connection: &impl ConnectionTrait,
        after: i64,
    ) -> Result<Vec<Unkeyed>, StoreError> {
        let sql = "SELECT id, carrier_code, track_number FROM trackings \
                   WHERE number_key IS NULL AND id > :after ORDER BY id LIMIT :limit";
        let sql = self.sql(sql).bind("after", after).bind("limit", BATCH);
        let rows = Unkeyed::find_by_statement(sql.statement());
        Ok(rows.all(connection).await?)
    }

    /// Writes the keys of `rows`, and folds those whose key another tracking has.
    async fn key(
        &self,
        transaction: &Transaction,
        rows: &[Unkeyed],
        now: Time,
    ) -> Result<Vec<Folding>, StoreError> {
        let mut by_key: BTreeMap<Key, Vec<i64>> = BTreeMap::new();
        for row in rows {
            let spelling = self.sections().spelling(&row.carrier_code);
            let key = (fold(&row.carrier_code), spelling.fold(&row.track_number));
            by_key.entry(key).or_default().push(row.id);
        }
        let keys: Vec<Key> = by_key.keys().cloned().collect();
        for holder in self.holders(transaction, &keys).await? {
            let key = (holder.carrier_key, holder.number_key);
            by_key.entry(key).or_default().push(holder.id);
        }
        let many = by_key.values().filter(|ids| ids.len() > 1).flatten();
        let many: Vec<i64> = many.copied().collect();
        let trackings = self.twins(transaction, &many).await?;
        let mut foldings: Vec<Folding> = Vec::new();
        let mut keyed: Vec<(i64, Key)> = Vec::new();
        for (key, ids) in by_key {
            if let [id] = ids.as_slice() {
                keyed.push((*id, key));
                continue;
            }
            let twins: Vec<Tracking> = ids
                .iter()
                .filter_map(|id| trackings.get(id))
                .cloned()
                .collect();
            // With a corrupt one among them, all stay as they are.
            if twins.len() == ids.len()
                && let Some(folding) = Folding::of(twins, now)
            {
                keyed.push((folding.change.new.id, key));
                foldings.push(folding);
            }
        }
        self.fold(transaction, &mut foldings, now).await?;
        self.write_keys(transaction, &keyed).await?;
        Ok(foldings)
    }

    /// The trackings that have these keys.
    async fn holders(
        &self,
        transaction: &Transaction,
        keys: &[Key],
    ) -> Result<Vec<Keyed>, StoreError> {
        let set = self
            .set(keys)
            .column("carrier_key", |key| key.0.clone())
            .column("number_key", |key| key.1.clone());
        let sql = format!(
            "SELECT t.id, t.carrier_key, t.number_key FROM {} JOIN trackings AS t \
             ON t.carrier_key = u.carrier_key AND t.number_key = u.number_key",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        Ok(Keyed::find_by_statement(sql.statement())
            .all(transaction)
            .await?)
    }

    async fn twins(
        &self,
        transaction: &Transaction,
        ids: &[i64],
    ) -> Result<HashMap<i64, Tracking>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = self.by_ids_sql(ids, "");
        let found = transaction.query_all_raw(sql.statement()).await?;
        let rows: Vec<Tracking> = self.rows.readable(&found);
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// Moves what the twins have to the trackings that go on, deletes the twins, and lets the joined histories decide.
    async fn fold(
        &self,
        transaction: &Transaction,
        foldings: &mut [Folding],
        now: Time,
    ) -> Result<(), StoreError> {
        if foldings.is_empty() {
            return Ok(());
        }
        let moves: Vec<(i64, i64)> = foldings.iter().flat_map(Folding::moves).collect();
        let set = self
            .set(&moves)
            .column("old_id", |(old, _)| *old)
            .column("new_id", |(_, new)| *new);
        let from = set.from();
        let rows = foldings.iter().flat_map(Folding::rows);
        let rows: Vec<&Tracking> = rows.collect();
        let counts = self.move_owners(transaction, &rows, &moves).await?;
        let statements = [
            // Of an event that several twins have, the oldest; the others go with their twins.
            format!(
                "UPDATE tracking_events SET tracking_id = m.new_id FROM \
                 (SELECT MIN(e.id) AS event_id, u.new_id FROM {from} \
                  JOIN tracking_events AS e ON e.tracking_id = u.old_id \
                  WHERE NOT EXISTS (SELECT 1 FROM tracking_events AS kept \
                                    WHERE kept.tracking_id = u.new_id AND kept.digest = e.digest) \
                  GROUP BY u.new_id, e.digest) AS m \
                 WHERE tracking_events.id = m.event_id"
            ),
            format!(
                "UPDATE tracking_aliases SET tracking_id = u.new_id FROM {from} WHERE tracking_aliases.tracking_id = u.old_id"
            ),
            format!(
                "INSERT INTO tracking_aliases (old_id, tracking_id) SELECT u.old_id, u.new_id FROM {from} WHERE TRUE"
            ),
            format!("DELETE FROM call_splits WHERE tracking_id IN (SELECT u.old_id FROM {from})"),
            format!("DELETE FROM trackings WHERE id IN (SELECT u.old_id FROM {from})"),
        ];
        for sql in statements {
            let sql = self.sql(sql).bind_set(set.clone());
            transaction.execute_raw(sql.statement()).await?;
        }
        let joined = foldings.iter().filter(|it| it.joins_histories());
        let ids: Vec<i64> = joined.map(|it| it.change.new.id).collect();
        let mut histories = self.histories(transaction, &ids).await?;
        for folding in foldings.iter_mut() {
            let new = &mut folding.change.new;
            if let Some(history) = histories.get_mut(&new.id) {
                settle(new, history);
            }
        }
        let changes: Vec<Change> = foldings.iter().map(|it| it.change.clone()).collect();
        self.write_trackings(transaction, &changes).await?;
        self.write_histories(transaction, &histories, now).await?;
        let rows: Vec<&Tracking> = changes.iter().map(|change| &change.new).collect();
        self.settle_owners(transaction, &rows, counts).await
    }

    /// A code that is a spelling of a section's name becomes that name, as in new trackings.
    async fn write_keys(
        &self,
        transaction: &Transaction,
        keyed: &[(i64, Key)],
    ) -> Result<(), StoreError> {
        let set = self
            .set(keyed)
            .column("row_id", |(id, _)| *id)
            .nullable("section", |(_, key)| {
                let section = self.sections().of(&key.0);
                (section != Sections::REST).then(|| section.to_owned())
            })
            .column("carrier_key", |(_, key)| key.0.clone())
            .column("number_key", |(_, key)| key.1.clone());
        let sql = format!(
            "UPDATE trackings SET carrier_code = COALESCE(u.section, trackings.carrier_code), \
             carrier_key = u.carrier_key, number_key = u.number_key FROM {} WHERE trackings.id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

impl Folding {
    /// Folds twins into the oldest of them; `None` if there are none.
    fn of(mut rows: Vec<Tracking>, now: Time) -> Option<Self> {
        rows.sort_by_key(|row| row.id);
        let new = folded(&rows, now)?;
        let old = rows.remove(0);
        Some(Self {
            change: Change { old, new },
            twins: rows,
        })
    }

    /// Whether several of them have a history, so that none of their statuses followed from all of it.
    fn joins_histories(&self) -> bool {
        let rows = self.twins.iter().chain([&self.change.old]);
        rows.filter(|row| row.heard == Heard::Seen).count() > 1
    }

    /// All of them as they were.
    fn rows(&self) -> impl Iterator<Item = &Tracking> {
        std::iter::once(&self.change.old).chain(&self.twins)
    }

    /// Old ids, each with the id that lives on.
    fn moves(&self) -> impl Iterator<Item = (i64, i64)> {
        self.twins.iter().map(|twin| (twin.id, self.change.new.id))
    }

    /// Each id with the least version that may still be cached.
    fn versions(&self) -> impl Iterator<Item = (i64, i64)> {
        let twins = self
            .twins
            .iter()
            .map(|twin| (twin.id, twin.version.saturating_add(1)));
        let new = &self.change.new;
        twins.chain([(new.id, new.version)])
    }
}
