//! Trackings as they are now: the one room that reads and writes current states, through the store and the cache.
//!
//! A reader takes a ticket from the cache, reads the store, and caches what it read before it answers. A writer raises
//! the cache's fence before its transaction commits, which invalidates every older value. So a client that has seen a
//! state never sees an older one. No other room holds a [`Cache`] or a [`WholeStore`], so no other room can break this order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::bell::Bell;
use crate::cache::{Cache, Lookup};
use crate::clock::Time;
use crate::metrics::Metrics;
use crate::model::shown::Shown;
use crate::model::{CarrierCode, Change, TrackNumber, Tracking};
use crate::store::WholeStore;
use crate::store::error::StoreError;
use crate::store::trackings::Refresh;
use crate::store::updates::{Applied, Batch};

/// How often a refresh is tried while others change its tracking.
const REFRESH_TRIES: u32 = 5;

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

    /// What is shown of these trackings, in the order of the ids, from the cache if it has them; `None` if there is none. The
    /// id of a tracking that was folded into another one gives that one.
    pub async fn get(&self, ids: &[i64]) -> Result<Vec<Option<Shown>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let Lookup { mut found, ticket } = self.cache.get(ids).await;
        let places = std::iter::zip(ids, &found);
        let misses = places.filter_map(|(id, found)| found.is_none().then_some(*id));
        let mut missing: Vec<i64> = misses.collect();
        let hits = ids.len() - missing.len();
        missing.sort_unstable();
        missing.dedup();
        self.metrics.cache_hits().inc_by(hits as u64);
        self.metrics.cache_misses().inc_by(missing.len() as u64);
        if missing.is_empty() {
            return Ok(found);
        }
        let read = self.database.trackings_by_ids(&missing).await?;
        let read: Vec<Shown> = read.iter().map(Shown::of).collect();
        self.cache.put(&read, &ticket).await;
        let mut rows: HashMap<i64, Shown> = read.into_iter().map(|row| (row.id, row)).collect();
        missing.retain(|id| !rows.contains_key(id));
        for (old, id) in self.database.aliases(&missing).await? {
            if let Some(row) = rows.get(&id).cloned() {
                rows.insert(old, row);
            }
        }
        for (id, found) in std::iter::zip(ids, &mut found) {
            if found.is_none() {
                *found = rows.get(id).cloned();
            }
        }
        Ok(found)
    }

    /// The state of one tracking from the store, including its lease, which a cached state may lack.
    pub async fn from_store(&self, id: i64) -> Result<Option<Tracking>, StoreError> {
        let ticket = self.cache.ticket().await;
        let rows = self.database.trackings_by_ids(&[id]).await?;
        let shown: Vec<Shown> = rows.iter().map(Shown::of).collect();
        self.cache.put(&shown, &ticket).await;
        Ok(rows.into_iter().next())
    }

    /// As [`WholeStore::create_or_get`]. A new tracking changes within seconds, so it is cached when it is read.
    pub async fn create_or_get(
        &self,
        pairs: &[(CarrierCode, TrackNumber)],
        now: Time,
    ) -> Result<Vec<Tracking>, StoreError> {
        let rows = self.database.create_or_get(pairs, now).await?;
        if rows.iter().any(|row| row.created_at == now) {
            self.bell.ring().await;
        }
        Ok(rows)
    }

    /// Makes a tracking urgent: the next of its carrier to be checked, even if it is terminal.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] also if others change the tracking again and again.
    pub async fn refresh(
        &self,
        id: i64,
        now: Time,
        rests: impl Fn(&CarrierCode) -> Duration,
    ) -> Result<Refresh, StoreError> {
        for _ in 0..REFRESH_TRIES {
            let raise_fence =
                async |change: &Change| self.raise_fence(std::slice::from_ref(change)).await;
            let refreshing = self.database.refresh(id, now, &rests, raise_fence);
            if let Some(refreshed) = refreshing.await? {
                if matches!(refreshed, Refresh::Done(_)) {
                    self.bell.ring().await;
                }
                return Ok(refreshed);
            }
        }
        let reason = format!("tracking {id} was changed {REFRESH_TRIES} times meanwhile");
        Err(StoreError::busy(reason))
    }

    /// As [`WholeStore::fold_twins`].
    pub async fn fold_twins(&self, now: Time) -> Result<u64, StoreError> {
        let raise_fence = async |versions: &[(i64, i64)]| self.cache.fence(versions).await;
        self.database.fold_twins(now, raise_fence).await
    }

    /// Applies batches of different partitions in one transaction, all of them whole or none.
    ///
    /// # Errors
    /// Those of [`WholeStore::apply`].
    pub async fn apply(&self, batches: &[Batch], now: Time) -> Result<Applied, StoreError> {
        let ticket = self.cache.ticket().await;
        let raise_fence = async |changes: &[Change]| self.raise_fence(changes).await;
        let applied = self.database.apply(batches, now, raise_fence).await?;
        let changes = applied.changes.iter();
        let shown: Vec<Shown> = changes.map(|change| Shown::of(&change.new)).collect();
        self.cache.put(&shown, &ticket).await;
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
