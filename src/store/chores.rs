//! Regular work on parcels, in small steps beside everything else: adopting, forgetting, and counting by day.
//!
//! Several processes may do it at once: what one has locked, the others pass over.

use sea_orm::{ConnectionTrait as _, FromQueryResult};

use crate::clock::Time;
use crate::model::Tracking;
use crate::model::parcel::State;
use crate::model::status::Status;
use crate::model::tenant::Tenant;
use crate::store::dialect::Dialect;
use crate::store::entity::columns;
use crate::store::entity::tracking::Entity;
use crate::store::error::StoreError;
use crate::store::parcels::Moves;
use crate::store::{Store, WholeStore};

/// How many rows one step works on. Literals in the statements, as the planner must know that they are few.
const ADOPTED: usize = 2_000;
const FORGOTTEN: usize = 500;
const PRUNED: usize = 5_000;

/// A parcel whose time is over.
#[derive(FromQueryResult)]
struct Finished {
    tracking_id: i64,
}

#[derive(FromQueryResult)]
struct Upto {
    seq: Option<i64>,
}

#[derive(FromQueryResult)]
struct HeadRow {
    tenant_id: i32,
    kept_from: i64,
}

impl Store {
    pub(super) fn skip_locked(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
            Dialect::Sqlite => "",
        }
    }

    /// Gives the default tenant some of the trackings that were created before there were owners; how many. Nobody is told:
    /// the feed begins with the upgrade.
    pub async fn adopt_some(&self) -> Result<usize, StoreError> {
        let transaction = self.begin().await?;
        let sql = format!(
            "SELECT {} FROM trackings WHERE owners < 1 AND owners < 0 ORDER BY id LIMIT {ADOPTED}{}",
            columns::<Entity>(""),
            self.skip_locked()
        );
        let found = transaction.query_all_raw(self.sql(sql).statement()).await?;
        let rows: Vec<Tracking> = self.rows.readable(&found);
        let mut moves = Moves::default();
        self.adopt(&transaction, &rows.iter().collect::<Vec<_>>(), &mut moves)
            .await?;
        self.write_counts(&transaction, moves).await?;
        transaction.commit().await?;
        Ok(rows.len())
    }

    /// How many trackings are still to be adopted, at most `max`.
    pub async fn to_adopt(&self, max: u32) -> Result<i64, StoreError> {
        #[derive(FromQueryResult)]
        struct Count {
            n: i64,
        }
        let sql = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM trackings WHERE owners < 1 AND owners < 0 LIMIT :max) AS few";
        let sql = self.sql(sql).bind("max", i64::from(max));
        let count = Count::find_by_statement(sql.statement());
        Ok(count.one(&self.reader).await?.map_or(0, |count| count.n))
    }

    /// Deletes some of the trackings that nobody has any more, with their events and their archived answers; how many. Answers
    /// in a database of the archive's own go when the archive finds that their parcels are gone.
    pub async fn forget_some(&self) -> Result<usize, StoreError> {
        let transaction = self.begin().await?;
        let sql = format!(
            "SELECT {} FROM trackings WHERE owners < 1 AND owners = 0 ORDER BY id LIMIT {FORGOTTEN}{}",
            columns::<Entity>(""),
            self.skip_locked()
        );
        let found = transaction.query_all_raw(self.sql(sql).statement()).await?;
        let rows: Vec<Tracking> = self.rows.readable(&found);
        if rows.is_empty() {
            return Ok(0);
        }
        for table in [
            "call_splits WHERE tracking_id",
            "archived_answers WHERE tracking_id",
            "push_subscriptions WHERE tracking_id",
            "trackings WHERE id",
        ] {
            let set = self.set(&rows).column("row_id", |row| row.id);
            let sql = format!(
                "DELETE FROM {table} IN (SELECT u.row_id FROM {})",
                set.from()
            );
            let sql = self.sql(sql).bind_set(set);
            transaction.execute_raw(sql.statement()).await?;
        }
        transaction.commit().await?;
        Ok(rows.len())
    }

    /// Deletes some of the changes that were told before `before`, of each tenant; how many.
    pub async fn prune_changes(&self, before: Time) -> Result<u64, StoreError> {
        let mut pruned = 0;
        for head in self.heads().await? {
            let transaction = self.begin().await?;
            let sql = format!(
                "SELECT MAX(few.seq) AS seq FROM (SELECT seq, at FROM changes WHERE tenant_id = :tenant AND seq >= :from \
                 ORDER BY seq LIMIT {PRUNED}) AS few WHERE few.at < :before"
            );
            let bound = |sql: String| {
                let sql = self.sql(sql).bind("tenant", head.tenant_id);
                sql.bind("from", head.kept_from).bind("before", before)
            };
            let upto = Upto::find_by_statement(bound(sql).statement());
            let Some(upto) = upto.one(&transaction).await?.and_then(|upto| upto.seq) else {
                continue;
            };
            let statements = [
                "DELETE FROM changes WHERE tenant_id = :tenant AND seq <= :upto",
                "UPDATE feed_heads SET kept_from = :upto + 1 WHERE tenant_id = :tenant AND kept_from <= :upto",
            ];
            for sql in statements {
                let sql = bound(sql.to_owned()).bind("upto", upto);
                let written = transaction.execute_raw(sql.statement()).await?;
                pruned += written.rows_affected();
            }
            transaction.commit().await?;
        }
        Ok(pruned)
    }

    async fn heads(&self) -> Result<Vec<HeadRow>, StoreError> {
        let sql = self.sql("SELECT tenant_id, kept_from FROM feed_heads ORDER BY tenant_id");
        let heads = HeadRow::find_by_statement(sql.statement());
        Ok(heads.all(&self.reader).await?)
    }

    /// Writes how many parcels there are now as the counts of a day (UTC, days since 1970).
    pub async fn count_day(&self, day: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO parcel_counts_daily (tenant_id, day, carrier_code, status, n) \
                   SELECT tenant_id, :day, carrier_code, status, n FROM parcel_counts WHERE NOT archived AND n <> 0 \
                   ORDER BY tenant_id, carrier_code, status \
                   ON CONFLICT (tenant_id, day, carrier_code, status) DO UPDATE SET n = excluded.n";
        let sql = self.sql(sql).bind("day", day);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

impl WholeStore {
    /// Some parcels of some tenant that came to their end before `before`, to be removed; none if there are none.
    pub async fn finished_parcels(
        &self,
        before: Time,
    ) -> Result<Option<(Tenant, Vec<i64>)>, StoreError> {
        for head in self.heads().await? {
            let ended = <Status as strum::VariantArray>::VARIANTS.iter();
            let ended = ended.filter(|status| status.is_terminal());
            let mut ranges: Vec<String> = ended
                .map(|status| format!("status = {} AND state < 2", status.code()))
                .collect();
            ranges.push(format!("state = {}", State::Archived.code()));
            for range in ranges {
                let sql = format!(
                    "SELECT tracking_id FROM parcels WHERE tenant_id = :tenant AND {range} AND changed_at < :before \
                     ORDER BY changed_at, tracking_id LIMIT {FORGOTTEN}"
                );
                let sql = self.sql(sql).bind("tenant", head.tenant_id);
                let sql = sql.bind("before", before);
                let found = Finished::find_by_statement(sql.statement());
                let found = found.all(&self.reader).await?;
                if !found.is_empty() {
                    let ids = found.into_iter().map(|row| row.tracking_id);
                    return Ok(Some((Tenant::from_row(head.tenant_id), ids.collect())));
                }
            }
        }
        Ok(None)
    }
}
