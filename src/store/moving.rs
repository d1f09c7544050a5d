//! The parcels of trackings that are folded into others: their owners follow.

use std::collections::HashMap;

use sea_orm::ConnectionTrait as _;

use crate::model::Tracking;
use crate::model::parcel::Parcel;
use crate::model::tenant::Tenant;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::parcels::{COLUMNS, Listed, Moves};

impl Store {
    /// Gives the owners of the first tracking of each pair the second one, which may be theirs already: then they keep what
    /// they wrote there. The trackings are locked. Call [`Store::settle_owners`] when the first ones are deleted.
    pub(super) async fn move_owners(
        &self,
        transaction: &Transaction,
        rows: &[&Tracking],
        pairs: &[(i64, i64)],
    ) -> Result<Moves, StoreError> {
        let mut moves = Moves::default();
        self.adopt(transaction, rows, &mut moves).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        for listed in self.listed(transaction, &ids).await? {
            moves.count(&listed, -1);
        }
        let set = self
            .set(pairs)
            .column("old_id", |(old, _)| *old)
            .column("new_id", |(_, new)| *new);
        let columns = "state, carrier_code, number_key, order_id, order_key, title, note, labels, metadata, extra, status, \
                       changed_at, failing, created_at";
        let sql = format!(
            "INSERT INTO parcels (tenant_id, tracking_id, {columns}) SELECT p.tenant_id, u.new_id, {} FROM {} \
             CROSS JOIN parcels AS p WHERE p.tracking_id = u.old_id ORDER BY p.tracking_id ON CONFLICT DO NOTHING",
            columns
                .split(", ")
                .map(|column| format!("p.{}", column.trim()))
                .collect::<Vec<_>>()
                .join(", "),
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(moves)
    }

    /// The rows of owners follow trackings that others were folded into.
    pub(super) async fn settle_owners(
        &self,
        transaction: &Transaction,
        rows: &[&Tracking],
        mut moves: Moves,
    ) -> Result<(), StoreError> {
        let set = self
            .set(rows)
            .column("row_id", |row| row.id)
            .column("status", |row| row.status.code())
            .column("failing", |row| row.is_failing());
        let sql = format!(
            "UPDATE parcels SET status = u.status, failing = u.failing FROM {} WHERE parcels.tracking_id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        for listed in self.listed(transaction, &ids).await? {
            moves.count(&listed, 1);
        }
        let set = self.set(&ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT {COLUMNS} FROM {} CROSS JOIN parcels AS p WHERE p.tracking_id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = transaction.query_all_raw(sql.statement()).await?;
        let parcels: Vec<Parcel> = self.rows.readable(&found);
        let labels = parcels.iter().flat_map(|parcel| {
            let labels = parcel.words.labels.iter();
            labels.map(|label| (parcel.tenant, parcel.tracking_id, label.as_str()))
        });
        let labels: Vec<(Tenant, i64, &str)> = labels.collect();
        self.insert_labels(transaction, &labels).await?;
        let rows: HashMap<i64, &Tracking> = rows.iter().map(|row| (row.id, *row)).collect();
        self.count_owners(transaction, &rows).await?;
        self.write_counts(transaction, moves).await
    }

    /// What decides where the parcels of these trackings are listed, of all owners.
    async fn listed(
        &self,
        transaction: &Transaction,
        ids: &[i64],
    ) -> Result<Vec<Listed>, StoreError> {
        let set = self.set(ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT p.tenant_id, p.tracking_id, p.state, p.carrier_code, p.status FROM {} \
             CROSS JOIN parcels AS p WHERE p.tracking_id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = transaction.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }
}
