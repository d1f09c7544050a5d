//! How what owners do is written: parcels, labels, counts, what the trackings know of their owners, and what is told of it.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::clock::Time;
use crate::model::extra::Extras;
use crate::model::tenant::Tenant;
use crate::model::{Change, Heard, Tracking};
use crate::store::Store;
use crate::store::acting::{Acts, Fences, Held};
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::feed::{Head, Kind, detail};
use crate::store::native::Transaction;
use crate::store::parcels::{COLUMNS, Moves, NewParcel};
use crate::store::parcels_max::TooMany;

/// Who pays for a tracking, as its owners are now: one that follows it, if one does. The payer stays while it follows; after it
/// comes the one that has had it longest. Nobody's tracking is the default tenant's.
const PAYER: &str = "CASE WHEN EXISTS (SELECT 1 FROM parcels AS p WHERE p.tracking_id = trackings.id AND p.state = 0 \
     AND ((p.tenant_id - 1) & 32767) = trackings.payer) THEN trackings.payer \
     ELSE COALESCE((SELECT (p.tenant_id - 1) & 32767 FROM parcels AS p WHERE p.tracking_id = trackings.id \
     ORDER BY p.state <> 0, p.created_at, p.tenant_id LIMIT 1), 0) END";

/// The owners of a tracking after an act.
#[derive(FromQueryResult)]
pub(super) struct OwnersRow {
    id: i64,
    owners: i32,
    owners_version: i64,
    followers: i64,
    extras: String,
}

/// What [`Store::write_acts`] did.
#[derive(Default)]
pub(super) struct Written {
    /// The trackings that changed.
    pub rows: HashMap<i64, Tracking>,
    pub due: bool,
    pub heads: Vec<Head>,
    /// Then it must not be committed.
    pub too_many: Option<TooMany>,
}

impl Store {
    /// Locks trackings, gives those from before there were owners to theirs, and reads the tenant's parcels of them.
    pub(super) async fn lock_parcels(
        &self,
        transaction: &Transaction,
        tenant: Tenant,
        ids: &[i64],
        moves: &mut Moves,
    ) -> Result<(HashMap<i64, Tracking>, HashMap<i64, Held>), StoreError> {
        if ids.is_empty() {
            return Ok((HashMap::new(), HashMap::new()));
        }
        let sql = self.by_ids_sql(ids, self.dialect.for_update());
        let found = transaction.query_all_raw(sql.statement()).await?;
        let mut rows: Vec<Tracking> = self.rows.readable(&found);
        self.adopt(transaction, &rows.iter().collect::<Vec<_>>(), moves)
            .await?;
        for row in &mut rows {
            row.owners = row.owners.abs();
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let held = self.held(transaction, tenant, &ids).await?;
        let rows = rows.into_iter().map(|row| (row.id, row));
        Ok((rows.collect(), held))
    }

    /// The tenant's parcels of these trackings.
    pub(super) async fn held(
        &self,
        connection: &impl ConnectionTrait,
        tenant: Tenant,
        ids: &[i64],
    ) -> Result<HashMap<i64, Held>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let set = self.set(ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT {COLUMNS}, p.carrier_code, p.status FROM {} CROSS JOIN parcels AS p \
             WHERE p.tenant_id = :tenant AND p.tracking_id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind("tenant", tenant.id()).bind_set(set);
        let found = connection.query_all_raw(sql.statement()).await?;
        let held: Vec<Held> = self.rows.readable(&found);
        let held = held.into_iter().map(|held| (held.parcel.tracking_id, held));
        Ok(held.collect())
    }

    /// Writes what a tenant does. The caller commits.
    pub(super) async fn write_acts(
        &self,
        transaction: &Transaction,
        mut acts: Acts,
        before_commit: impl AsyncFnOnce(&Fences),
    ) -> Result<Written, StoreError> {
        let mut moves = std::mem::take(&mut acts.moves);
        let new = acts.got.iter();
        let new = new.map(|(row, parcel, _)| NewParcel {
            words: parcel.words.clone(),
            extra: parcel.extra.clone(),
            ..NewParcel::of(acts.tenant, row, acts.now)
        });
        let new: Vec<NewParcel> = new.collect();
        self.insert_parcels(transaction, &new, &mut moves).await?;
        self.write_edits(transaction, &acts, &mut moves).await?;
        self.delete_parcels(transaction, &acts, &mut moves).await?;
        // A new tracking has one owner, and is asked with its number alone.
        let touched = acts.got.iter();
        let touched = touched.filter(|(_, parcel, is_new)| !is_new || !parcel.extra.is_empty());
        let touched = touched.map(|(row, ..)| row);
        let touched = touched.chain(acts.edited.iter().map(|(row, ..)| row));
        let touched = touched.chain(acts.removed.iter().map(|(row, _)| row));
        let touched: HashMap<i64, &Tracking> = touched.map(|row| (row.id, row)).collect();
        let mut fences = Fences::default();
        let mut changes = Vec::new();
        for owners in self.count_owners(transaction, &touched).await? {
            fences.owned.push((owners.id, owners.owners_version));
            if let Some(old) = touched.get(&owners.id) {
                let change = followed(old, &owners, acts.now);
                changes.extend(change);
            }
        }
        self.write_trackings(transaction, &changes).await?;
        let versions = changes.iter().map(|it| (it.new.id, it.new.version));
        fences.trackings = versions.collect();
        if fences != Fences::default() {
            before_commit(&fences).await;
        }
        let got = acts.got.iter();
        let got = got.map(|(row, ..)| acts.entry(Kind::Created, row, None));
        let edited = acts.edited.iter();
        let edited = edited.map(|(row, ..)| acts.entry(Kind::Edited, row, None));
        let removed = acts.removed.iter();
        let removed = removed.map(|(row, held)| {
            let detail = detail(row, &held.parcel);
            acts.entry(Kind::Removed, row, Some(detail))
        });
        let entries = got.chain(edited).chain(removed).collect();
        let heads = self.tell(transaction, entries, moves, acts.now).await?;
        let too_many = match acts.got.is_empty() {
            true => None,
            false => self.too_many(transaction, acts.tenant).await?,
        };
        Ok(Written {
            too_many,
            due: changes.iter().any(|Change { old, new }| {
                new.active && (!old.active || new.next_check_at < old.next_check_at)
            }),
            rows: changes.into_iter().map(|it| (it.new.id, it.new)).collect(),
            heads,
        })
    }

    async fn write_edits(
        &self,
        transaction: &Transaction,
        acts: &Acts,
        moves: &mut Moves,
    ) -> Result<(), StoreError> {
        let edited = &acts.edited;
        if edited.is_empty() {
            return Ok(());
        }
        let set = self
            .set(edited)
            .column("state", |(.., new)| new.state.code())
            .nullable("order_id", |(.., new)| new.words.order_id.clone())
            .nullable("order_key", |(.., new)| new.words.order_key())
            .nullable("title", |(.., new)| new.words.title.clone())
            .nullable("note", |(.., new)| new.words.note.clone())
            .column("labels", |(.., new)| new.words.labels_json())
            .column("metadata", |(.., new)| new.words.metadata_json())
            .nullable("extra", |(.., new)| new.extra.json());
        let assignments = set.assignments();
        let set = set
            .column("of_tenant", |_| acts.tenant.id())
            .column("row_id", |(row, ..)| row.id);
        let sql = format!(
            "UPDATE parcels SET {assignments} FROM {} WHERE parcels.tenant_id = u.of_tenant AND parcels.tracking_id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        let mut gone = Vec::new();
        let mut added = Vec::new();
        for (row, held, new) in edited {
            let (old, new_labels) = (&held.parcel.words.labels, &new.words.labels);
            let lost = old.iter().filter(|label| !new_labels.contains(label));
            gone.extend(lost.map(|label| (row.id, label.as_str())));
            let more = new_labels.iter().filter(|label| !old.contains(label));
            added.extend(more.map(|label| (acts.tenant, row.id, label.as_str())));
            moves.count(&held.listed(held.parcel.state), -1);
            moves.count(&held.listed(new.state), 1);
        }
        self.insert_labels(transaction, &added).await?;
        if gone.is_empty() {
            return Ok(());
        }
        let set = self
            .set(&gone)
            .column("of_tenant", |_| acts.tenant.id())
            .column("gone", |(_, label)| (*label).to_owned())
            .column("row_id", |(id, _)| *id);
        let sql = format!(
            "DELETE FROM parcel_labels WHERE (tenant_id, label, tracking_id) IN (SELECT u.of_tenant, u.gone, u.row_id FROM {})",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Deletes parcels. What was told of them stays as numbers, without its content: the numbers have no gaps.
    async fn delete_parcels(
        &self,
        transaction: &Transaction,
        acts: &Acts,
        moves: &mut Moves,
    ) -> Result<(), StoreError> {
        if acts.removed.is_empty() {
            return Ok(());
        }
        let set = self
            .set(&acts.removed)
            .column("of_tenant", |_| acts.tenant.id())
            .column("row_id", |(row, _)| row.id);
        let from = set.from();
        // It would read all of the tenant's changes.
        let by_parcel = match self.dialect {
            Dialect::Sqlite => "INDEXED BY changes_parcel",
            Dialect::Postgres => "",
        };
        let statements = [
            format!(
                "UPDATE changes {by_parcel} SET gone = TRUE, status = 0, sub_status = NULL, status_raw = '', status_at = NULL, was_status = NULL, \
                 was_sub_status = NULL, facts = NULL, was_facts = NULL, events = '', events_total = 0, revised = '', detail = NULL \
                 FROM {from} WHERE changes.tenant_id = u.of_tenant AND changes.tracking_id = u.row_id AND NOT changes.gone"
            ),
            format!(
                "DELETE FROM parcels WHERE (tenant_id, tracking_id) IN (SELECT u.of_tenant, u.row_id FROM {from})"
            ),
        ];
        for sql in statements {
            let sql = self.sql(sql).bind_set(set.clone());
            transaction.execute_raw(sql.statement()).await?;
        }
        for (_, held) in &acts.removed {
            moves.count(&held.listed(held.parcel.state), -1);
        }
        Ok(())
    }

    /// Counts the owners of trackings anew, gathers what they told beside the number, says who pays, and gives them their
    /// next version.
    pub(super) async fn count_owners(
        &self,
        transaction: &Transaction,
        rows: &HashMap<i64, &Tracking>,
    ) -> Result<Vec<OwnersRow>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = rows.keys().copied().collect();
        let set = self.set(&ids).column("row_id", |id| *id);
        let sql = format!(
            "UPDATE trackings SET owners = (SELECT COUNT(*) FROM parcels AS p WHERE p.tracking_id = trackings.id), \
             payer = {PAYER}, owners_version = owners_version + 1, extras = {EXTRAS} FROM {} WHERE trackings.id = u.row_id \
             RETURNING id, owners, owners_version, extras, \
             (SELECT COUNT(*) FROM parcels AS p WHERE p.tracking_id = trackings.id AND p.state = 0) AS followers",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let rows = OwnersRow::find_by_statement(sql.statement());
        Ok(rows.all(transaction).await?)
    }
}

/// The different things that the followers of a tracking told beside its number, the first one's in front, as a JSON list; empty
/// if nobody told anything. What is told is a JSON object with its names in order, so the same is the same text.
const EXTRAS: &str = "COALESCE((SELECT '[' || string_agg(x.extra, ',' ORDER BY x.nth) || ']' FROM \
    (SELECT COALESCE(p.extra, '{}') AS extra, ROW_NUMBER() OVER (ORDER BY MIN(p.created_at), MIN(p.tenant_id)) AS nth \
     FROM parcels AS p WHERE p.tracking_id = trackings.id AND p.state = 0 GROUP BY COALESCE(p.extra, '{}')) AS x \
    WHERE x.nth <= 8 HAVING MAX(CASE WHEN x.extra = '{}' THEN 0 ELSE 1 END) = 1), '')";

/// What becomes of a tracking whose owners, or what they told, are others from now on; `None` if nothing of its own does.
fn followed(old: &Tracking, owners: &OwnersRow, now: Time) -> Option<Change> {
    // The database has just written it.
    let extras = Extras::read(&owners.extras, 0).unwrap_or_default();
    let mut new = Tracking {
        wanted: owners.followers > 0,
        owners: owners.owners,
        extras: extras.after(&old.extras),
        ..old.clone()
    };
    // What could not be asked without it, or was not found, is asked again.
    let waits = old.check_fail_count > 0 || old.heard != Heard::Seen;
    let is_told = !new.extras.tells_as(&old.extras);
    if new.wanted != old.wanted {
        new.active = new.wants_checks();
        if new.active {
            new.next_check_at = now;
        } else {
            new.urgent = false;
        }
    } else if new.active && is_told && waits && now < new.next_check_at {
        new.next_check_at = now;
    } else if new.extras.turn() == old.extras.turn() {
        return None;
    }
    new.version = old.version.saturating_add(1);
    new.updated_at = old.updated_at.max(now);
    Some(Change {
        old: old.clone(),
        new,
    })
}
