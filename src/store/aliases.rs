//! Ids of trackings that were folded into another one, and the updates that still name them.

use std::collections::{BTreeMap, HashMap};

use sea_orm::ConnectionTrait;

use crate::model::{Named, Tracking, Update};
use crate::store::Store;
use crate::store::error::StoreError;

impl Store {
    /// By those of `ids` whose tracking was folded into another one: that one's id. Without ids the database is not asked.
    pub async fn aliases(&self, ids: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
        self.aliases_by(&self.reader, ids).await
    }

    /// The same on this connection: a transaction that waits for a second one could wait for ever.
    pub(super) async fn aliases_by(
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
    ///
    /// # Errors
    /// [`StoreError::OtherParcels`] if updates name another parcel than the row of their id is.
    pub(super) async fn by_tracking<'a>(
        &self,
        connection: &impl ConnectionTrait,
        updates: &[&'a Update],
        rows: &[Tracking],
    ) -> Result<BTreeMap<i64, Vec<&'a Update>>, StoreError> {
        let rows: HashMap<i64, &Tracking> = rows.iter().map(|row| (row.id, row)).collect();
        let ids = updates.iter().map(|update| update.tracking_id);
        let missing: Vec<i64> = ids.filter(|id| !rows.contains_key(id)).collect();
        let aliases = self.aliases_by(connection, &missing).await?;
        let mut by_tracking: BTreeMap<i64, Vec<&Update>> = BTreeMap::new();
        let mut strangers = Vec::new();
        for (place, update) in updates.iter().copied().enumerate() {
            let id = aliases
                .get(&update.tracking_id)
                .unwrap_or(&update.tracking_id);
            match rows.get(id) {
                Some(row) if !update.named.may_be(row) => {
                    strangers.push((place, stranger(update, row)));
                }
                _ => by_tracking.entry(*id).or_default().push(update),
            }
        }
        if strangers.is_empty() {
            Ok(by_tracking)
        } else {
            Err(StoreError::OtherParcels(strangers))
        }
    }
}

fn stranger(update: &Update, row: &Tracking) -> String {
    let named = |text: &Option<String>| text.clone().unwrap_or_else(|| "any".to_owned());
    let Named {
        carrier_code,
        track_number,
    } = &update.named;
    format!(
        "it names the parcel {} of carrier {}, but tracking {} is the parcel {} of carrier {}: \
         the id was given out again, or the producer uses another database",
        named(track_number),
        named(carrier_code),
        update.tracking_id,
        row.track_number,
        row.carrier_code
    )
}
