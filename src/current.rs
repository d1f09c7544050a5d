//! Trackings as they are now: the one room that reads and writes current states, through the store and the cache.
//!
//! A reader takes a ticket from the cache, reads the store, and caches what it read before it answers. A writer raises
//! the cache's fence before its transaction commits, which invalidates every older value. So a client that has seen a
//! state never sees an older one. No other room holds a [`Cache`] or a [`WholeStore`], so no other room can break this order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::cache::bell::Bell;
use crate::clock::Time;
use crate::metrics::Metrics;
use crate::model::{CarrierCode, Change, TrackNumber, Tracking};
use crate::store::WholeStore;
use crate::store::error::StoreError;
use crate::store::trackings::Refresh;
use crate::store::updates::{Applied, Batch};

/// The current states of all trackings. A clone reads and writes the same.
#[derive(Clone)]
pub struct Current {
    database: WholeStore,
    cache: Arc<Cache>,
    bell: Bell,
    metrics: Arc<Metrics>,
}

impl Current {
    pub fn new(database: WholeStore, cache: Cache, metrics: Arc<Metrics>) -> Self {
        Self {
            database,
            cache: Arc::new(cache),
            bell: Bell::default(),
            metrics,
        }
    }

    /// The same, and `bell` rings when a parcel becomes due at once.
    #[must_use]
    pub fn with_bell(self, bell: Bell) -> Self {
        Self { bell, ..self }
    }

    /// The states of these trackings by the id asked for, from the cache if it has them. Unknown ids are left out. The id
    /// of a tracking that was folded into another one gives that one.
    pub async fn get(&self, ids: &[i64]) -> Result<HashMap<i64, Arc<Tracking>>, StoreError> {
        let mut asked = ids.to_vec();
        asked.sort_unstable();
        asked.dedup();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let lookup = self.cache.get(&asked).await;
        let mut rows = lookup.found;
        asked.retain(|id| !rows.contains_key(id));
        self.metrics.cache_hits().inc_by(rows.len() as u64);
        self.metrics.cache_misses().inc_by(asked.len() as u64);
        if !asked.is_empty() {
            let read = self.database.trackings_by_ids(&asked).await?;
            self.cache.put(&read, &lookup.ticket).await;
            rows.extend(read.into_iter().map(|row| (row.id, Arc::new(row))));
            asked.retain(|id| !rows.contains_key(id));
        }
        for (old, id) in self.database.aliases(&asked).await? {
            if let Some(row) = rows.get(&id).cloned() {
                rows.insert(old, row);
            }
        }
        Ok(rows)
    }

    /// The state of one tracking from the store, including its lease, which a cached state may lack.
    pub async fn from_store(&self, id: i64) -> Result<Option<Tracking>, StoreError> {
        let ticket = self.cache.ticket().await;
        let rows = self.database.trackings_by_ids(&[id]).await?;
        self.cache.put(&rows, &ticket).await;
        Ok(rows.into_iter().next())
    }

    /// As [`WholeStore::create_or_get`].
    pub async fn create_or_get(
        &self,
        pairs: &[(CarrierCode, TrackNumber)],
        now: Time,
    ) -> Result<Vec<Tracking>, StoreError> {
        let ticket = self.cache.ticket().await;
        let rows = self.database.create_or_get(pairs, now).await?;
        self.cache.put(&rows, &ticket).await;
        if rows.iter().any(|row| row.created_at == now) {
            self.bell.ring().await;
        }
        Ok(rows)
    }

    /// Makes a tracking urgent: the next of its carrier to be checked, even if it is terminal.
    pub async fn refresh(
        &self,
        id: i64,
        now: Time,
        rests: impl FnOnce(&CarrierCode) -> Duration,
    ) -> Result<Refresh, StoreError> {
        let ticket = self.cache.ticket().await;
        let raise_fence =
            async |change: &Change| self.raise_fence(std::slice::from_ref(change)).await;
        let refreshed = self.database.refresh(id, now, rests, raise_fence).await?;
        if let Refresh::Done(change) = &refreshed {
            let new = std::slice::from_ref(&change.new);
            self.cache.put(new, &ticket).await;
            self.bell.ring().await;
        }
        Ok(refreshed)
    }

    /// As [`WholeStore::fold_twins`].
    pub async fn fold_twins(&self, now: Time) -> Result<u64, StoreError> {
        let raise_fence = async |versions: &[(i64, i64)]| self.cache.fence(versions).await;
        self.database.fold_twins(now, raise_fence).await
    }

    /// Applies a batch of the topic in one transaction, whole or not at all.
    ///
    /// # Errors
    /// Those of [`WholeStore::apply`].
    pub async fn apply(&self, batch: &Batch, now: Time) -> Result<Applied, StoreError> {
        let ticket = self.cache.ticket().await;
        let raise_fence = async |changes: &[Change]| self.raise_fence(changes).await;
        let applied = self.database.apply(batch, now, raise_fence).await?;
        let rows: Vec<Tracking> = applied.changes.iter().map(|it| it.new.clone()).collect();
        self.cache.put(&rows, &ticket).await;
        Ok(applied)
    }

    /// Repairs what the cache could not be told while it was unreachable. Call it every second.
    pub async fn mend(&self) {
        self.cache.mend().await;
    }

    async fn raise_fence(&self, changes: &[Change]) {
        let versions: Vec<(i64, i64)> = changes
            .iter()
            .map(|change| (change.new.id, change.new.version))
            .collect();
        self.cache.fence(&versions).await;
    }
}
