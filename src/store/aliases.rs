//! Ids of trackings that were folded into another one, and the updates that still name them.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::ConnectionTrait;

use crate::model::{Tracking, Update};
use crate::store::Store;
use crate::store::error::StoreError;

impl Store {
    /// By those of `ids` whose tracking was folded into another one: that one's id. Without ids the database is not asked.
    pub async fn aliases(&self, ids: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
        self.aliases_by(&self.reader, ids).await
    }

    async fn aliases_by(
        &self,
        connection: &impl ConnectionTrait,
        ids: &[i64],
    ) -> Result<HashMap<i64, i64>, StoreError> {
        let mut aliases = HashMap::new();
        if ids.is_empty() {
            return Ok(aliases);
        }
        let set = self.set(ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT a.old_id, a.tracking_id FROM {} JOIN tracking_aliases AS a ON a.old_id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        for row in connection.query_all_raw(sql.statement()).await? {
            aliases.insert(row.try_get("", "old_id")?, row.try_get("", "tracking_id")?);
        }
        Ok(aliases)
    }

    /// The updates by the tracking that they are of, each tracking's in their order.
    ///
    /// `rows` are those that [`Store::by_ids_sql`] found for the updates' ids.
    pub(super) async fn by_tracking<'a>(
        &self,
        connection: &impl ConnectionTrait,
        updates: &'a [Update],
        rows: &[Tracking],
    ) -> Result<BTreeMap<i64, Vec<&'a Update>>, StoreError> {
        let rows: HashSet<i64> = rows.iter().map(|row| row.id).collect();
        let ids = updates.iter().map(|update| update.tracking_id);
        let missing: Vec<i64> = ids.filter(|id| !rows.contains(id)).collect();
        let aliases = self.aliases_by(connection, &missing).await?;
        let mut by_tracking: BTreeMap<i64, Vec<&Update>> = BTreeMap::new();
        for update in updates {
            let id = aliases
                .get(&update.tracking_id)
                .unwrap_or(&update.tracking_id);
            by_tracking.entry(*id).or_default().push(update);
        }
        Ok(by_tracking)
    }
}
