//! Trackings as they are now: the one room that reads and writes current states, through the store and the cache.
//!
//! A reader takes a ticket from the cache, reads the store, and caches what it read before it answers. A writer raises
//! the cache's fence before its transaction commits, which invalidates every older value. So a client that has seen a
//! state never sees an older one. No other room holds a [`Cache`] or a [`WholeStore`], so no other room can break this order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::cache::bell::Bell;
use crate::cache::known::{Family, Known, Seen};
use crate::cache::{Cache, Lookup, Ticket};
use crate::clock::Time;
use crate::metrics::Metrics;
use crate::model::owned::Owned;
use crate::model::parcel::Edit;
use crate::model::shown::Shown;
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, Change, TrackNumber, Tracking};
use crate::store::WholeStore;
use crate::store::acting::{Acted, Fences};
use crate::store::creating::{Creation, OnExisting, Remembered, Wish};
use crate::store::error::StoreError;
use crate::store::feed::Head;
use crate::store::pushed::Hint;
use crate::store::trackings::Refresh;
use crate::store::updates::{Applied, Batch};

/// How often a refresh is tried while others change its tracking.
const REFRESH_TRIES: u32 = 5;

/// Wakes readers of the feeds in this process when it wrote to one. Others find out by looking.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Notify>);

impl Told {
    fn nudge(&self, heads: &[Head]) {
        if !heads.is_empty() {
            self.0.notify_one();
        }
    }

    /// Returns when something was written since the last call.
    pub async fn wait(&self) {
        self.0.notified().await;
    }
}

/// The current states of all trackings. A clone reads and writes the same.
#[derive(Clone)]
pub struct Current {
    database: WholeStore,
    cache: Arc<Cache>,
    bell: Bell,
    told: Told,
    metrics: Arc<Metrics>,
}

impl Current {
    pub fn new(database: WholeStore, cache: Cache, metrics: Arc<Metrics>) -> Self {
        Self {
            database,
            cache: Arc::new(cache),
            bell: Bell::default(),
            told: Told::default(),
            metrics,
        }
    }

    /// What tells of changes that this process wrote.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The same, and `bell` rings when a parcel becomes due at once.
    #[must_use]
    pub fn with_bell(self, bell: Bell) -> Self {
        Self { bell, ..self }
    }

    /// What the tenant is shown of these trackings, in the order of the ids, from the cache if it has them; `None` if it
    /// has no such tracking. The id of a tracking that was folded into another one gives that one.
    pub async fn get(&self, tenant: Tenant, ids: &[i64]) -> Result<Vec<Option<Seen>>, StoreError> {
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
        if !missing.is_empty() {
            let rows = self.read(&missing, &ticket).await?;
            for (id, found) in std::iter::zip(ids, &mut found) {
                if found.is_none() {
                    *found = rows.get(id).cloned();
                }
            }
        }
        let seen = |known: Option<Known>| known?.seen_by(tenant);
        Ok(found.into_iter().map(seen).collect())
    }

    /// Reads trackings that the cache has not, and caches them. By the ids that were asked for.
    async fn read(&self, ids: &[i64], ticket: &Ticket) -> Result<HashMap<i64, Known>, StoreError> {
        let read = self.database.trackings_by_ids(ids).await?;
        let lives_on: Vec<i64> = read.iter().map(|row| row.id).collect();
        let owned = self.database.owned(&lives_on).await?;
        let read: Vec<Shown> = read.iter().map(Shown::of).collect();
        self.cache.put(&owned, ticket).await;
        self.cache.put(&read, ticket).await;
        let mut owned: HashMap<i64, Owned> = owned.into_iter().map(|it| (it.id, it)).collect();
        let known = read.into_iter().filter_map(|shown| {
            let owned = owned.remove(&shown.id)?;
            Some((shown.id, Known { shown, owned }))
        });
        let mut rows: HashMap<i64, Known> = known.collect();
        let missing = ids.iter().filter(|id| !rows.contains_key(id));
        let missing: Vec<i64> = missing.copied().collect();
        for (old, id) in self.database.aliases(&missing).await? {
            if let Some(row) = rows.get(&id).cloned() {
                rows.insert(old, row);
            }
        }
        Ok(rows)
    }

    /// The state of one tracking of the tenant's from the store, including its lease, which a cached state may lack.
    pub async fn from_store(
        &self,
        tenant: Tenant,
        id: i64,
    ) -> Result<Option<Tracking>, StoreError> {
        let ticket = self.cache.ticket().await;
        let row = self.database.tracking_of(tenant, id).await?;
        if let Some(row) = &row {
            self.cache.put(&[Shown::of(row)], &ticket).await;
        }
        Ok(row)
    }

    /// As [`WholeStore::create`]. A new tracking changes within seconds, so it is cached when it is read.
    pub async fn create(
        &self,
        tenant: Tenant,
        wishes: &[Wish],
        on_existing: OnExisting,
        once: Option<Remembered<'_>>,
        now: Time,
    ) -> Result<Creation, StoreError> {
        let raise_fences = async |fences: &Fences| self.raise_fences(fences).await;
        let creating = self
            .database
            .create(tenant, wishes, on_existing, once, now, raise_fences);
        let creation = creating.await?;
        self.after(creation.due, &creation.heads).await;
        Ok(creation)
    }

    /// As [`WholeStore::create_or_get`].
    pub async fn create_or_get(
        &self,
        tenant: Tenant,
        pairs: &[(CarrierCode, TrackNumber)],
        now: Time,
    ) -> Result<Vec<Tracking>, StoreError> {
        let wishes: Vec<Wish> = pairs.iter().map(Wish::for_pair).collect();
        let creation = self
            .create(tenant, &wishes, OnExisting::Keep, None, now)
            .await?;
        let made = creation.made.into_iter().flatten().flatten();
        Ok(made.map(|made| made.row).collect())
    }

    /// As [`WholeStore::edit`].
    pub async fn edit(
        &self,
        tenant: Tenant,
        ids: &[i64],
        edit: &Edit,
        now: Time,
    ) -> Result<Acted, StoreError> {
        let raise_fences = async |fences: &Fences| self.raise_fences(fences).await;
        let acted = self.database.edit(tenant, ids, edit, now, raise_fences);
        let acted = acted.await?;
        self.after(acted.due, &acted.heads).await;
        Ok(acted)
    }

    /// As [`WholeStore::remove`].
    pub async fn remove(
        &self,
        tenant: Tenant,
        ids: &[i64],
        now: Time,
    ) -> Result<Acted, StoreError> {
        let raise_fences = async |fences: &Fences| self.raise_fences(fences).await;
        let acted = self.database.remove(tenant, ids, now, raise_fences).await?;
        self.after(acted.due, &acted.heads).await;
        Ok(acted)
    }

    /// Removes some of the parcels that came to their end before `before`; how many.
    pub async fn remove_finished(&self, before: Time, now: Time) -> Result<usize, StoreError> {
        let Some((tenant, ids)) = self.database.finished_parcels(before).await? else {
            return Ok(0);
        };
        self.remove(tenant, &ids, now).await?;
        Ok(ids.len())
    }

    /// Wakes those who wait for parcels that are due, and for changes.
    async fn after(&self, due: bool, heads: &[Head]) {
        if due {
            self.bell.ring().await;
        }
        self.told.nudge(heads);
    }

    /// Makes a tracking urgent: the next of its carrier to be checked, even if it is terminal.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] also if others change the tracking again and again.
    pub async fn refresh(
        &self,
        tenant: Tenant,
        id: i64,
        now: Time,
        rests: impl Fn(&CarrierCode) -> Duration,
    ) -> Result<Refresh, StoreError> {
        for _ in 0..REFRESH_TRIES {
            let raise_fence =
                async |change: &Change| self.raise_fence(std::slice::from_ref(change)).await;
            let refreshing = self.database.refresh(tenant, id, now, &rests, raise_fence);
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

    /// Makes trackings due that were not made so by a hint lately. Answers how many.
    ///
    /// # Errors
    /// Those of [`WholeStore::hint`].
    pub async fn hint(&self, hints: &[Hint], now: Time) -> Result<usize, StoreError> {
        let raise_fence =
            async |versions: &[(i64, i64)]| self.cache.fence(Family::Tracking, versions).await;
        let hinted = self.database.hint(hints, now, raise_fence).await?;
        if hinted > 0 {
            self.bell.ring().await;
        }
        Ok(hinted)
    }

    /// As [`WholeStore::fold_twins`].
    pub async fn fold_twins(&self, now: Time) -> Result<u64, StoreError> {
        let raise_fence =
            async |versions: &[(i64, i64)]| self.cache.fence(Family::Tracking, versions).await;
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
        self.told.nudge(&applied.heads);
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
        self.cache.fence(Family::Tracking, &versions).await;
    }

    async fn raise_fences(&self, fences: &Fences) {
        self.cache.fence(Family::Owned, &fences.owned).await;
        self.cache.fence(Family::Tracking, &fences.trackings).await;
    }
}
