//! The cache inside one process.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::cache::known::{Cached, Family, Known};
use crate::model::owned::Owned;
use crate::model::shown::Shown;

/// How many fences are remembered one by one. A reader that was overtaken by more than these puts nothing.
const FENCES_MAX: usize = 65_536;

/// Values in a bounded map with a time to live; fences in a bounded queue.
pub struct MemoryCache {
    values: moka::sync::Cache<i64, Entry>,
    fences: Mutex<Fences>,
}

/// What is known of a tracking: of each family the version and the text.
#[derive(Clone, Default)]
struct Entry {
    tracking: Option<(i64, Arc<[u8]>)>,
    owned: Option<(i64, Arc<[u8]>)>,
}

impl Entry {
    fn family(&mut self, family: Family) -> &mut Option<(i64, Arc<[u8]>)> {
        match family {
            Family::Tracking => &mut self.tracking,
            Family::Owned => &mut self.owned,
        }
    }
}

/// How many fences had been raised when the reader began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTicket(u64);

#[derive(Default)]
struct Fences {
    raised: u64,
    /// By text: the least valid version, and the number of the fence that set it.
    by_id: HashMap<(Family, i64), Fence>,
    order: VecDeque<(u64, (Family, i64))>,
    /// Fences up to this number are forgotten. A reader that began before it puts nothing.
    forgotten: u64,
}

#[derive(Clone, Copy)]
struct Fence {
    version: i64,
    number: u64,
}

impl MemoryCache {
    pub fn new(entries_max: u64, time_to_live: Duration) -> Self {
        let values = moka::sync::Cache::builder()
            .max_capacity(entries_max)
            .time_to_live(time_to_live)
            .build();
        Self {
            values,
            fences: Mutex::default(),
        }
    }

    pub fn ticket(&self) -> MemoryTicket {
        MemoryTicket(self.lock().raised)
    }

    pub fn get(&self, ids: &[i64]) -> Vec<Option<Known>> {
        let known = |id: &i64| {
            let entry = self.values.get(id)?;
            let ((version, fields), (owners, views)) = (entry.tracking?, entry.owned?);
            Some(Known {
                shown: Shown {
                    id: *id,
                    version,
                    fields,
                },
                owned: Owned {
                    id: *id,
                    version: owners,
                    views,
                },
            })
        };
        ids.iter().map(known).collect()
    }

    /// `Cache::put`, in this process.
    pub fn put<C: Cached>(&self, rows: &[C], ticket: &MemoryTicket) {
        // Locked throughout, so that no fence comes between the comparison and the insert.
        let fences = self.lock();
        for row in rows.iter().filter(|row| fences.admits(*row, *ticket)) {
            let mut entry = self.values.get(&row.id()).unwrap_or_default();
            let kept = entry.family(C::FAMILY);
            if kept.as_ref().is_none_or(|(kept, _)| *kept < row.version()) {
                *kept = Some((row.version(), Arc::clone(row.text())));
                self.values.insert(row.id(), entry);
            }
        }
    }

    /// `Cache::fence`, in this process.
    pub fn fence(&self, family: Family, versions: &[(i64, i64)]) {
        let mut fences = self.lock();
        for (id, version) in versions {
            fences.raise((family, *id), *version);
            if let Some(mut entry) = self.values.get(id) {
                let kept = entry.family(family);
                if kept.take_if(|(kept, _)| *kept < *version).is_some() {
                    self.values.insert(*id, entry);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fences> {
        self.fences.lock()
    }
}

impl Fences {
    fn admits<C: Cached>(&self, row: &C, ticket: MemoryTicket) -> bool {
        match self.by_id.get(&(C::FAMILY, row.id())) {
            Some(fence) => row.version() >= fence.version,
            None => ticket.0 >= self.forgotten,
        }
    }

    fn raise(&mut self, id: (Family, i64), version: i64) {
        self.raised += 1;
        let fence = self.by_id.entry(id).or_insert(Fence {
            version,
            number: self.raised,
        });
        fence.version = fence.version.max(version);
        fence.number = self.raised;
        self.order.push_back((self.raised, id));
        while self.order.len() > FENCES_MAX {
            if let Some((number, id)) = self.order.pop_front() {
                self.forgotten = self.forgotten.max(number);
                if self
                    .by_id
                    .get(&id)
                    .is_some_and(|fence| fence.number == number)
                {
                    self.by_id.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FENCES_MAX, MemoryCache};
    use crate::cache::known::Family::Tracking;
    use crate::model::fixture::{owned, shown};

    fn cache() -> MemoryCache {
        MemoryCache::new(1_000_000, Duration::from_secs(600))
    }

    fn version_of(cache: &MemoryCache, id: i64) -> Option<i64> {
        cache.get(&[id])[0].as_ref().map(|row| row.shown.version)
    }

    #[test]
    fn a_reader_from_before_forgotten_fences_puts_nothing() {
        let cache = cache();
        let ticket = cache.ticket();
        cache.put(&[owned(1, 1)], &ticket);
        cache.fence(Tracking, &[(1, 5)]);
        let many: Vec<(i64, i64)> = (0..=FENCES_MAX as i64).map(|id| (id + 10, 2)).collect();
        cache.fence(Tracking, &many);
        cache.put(&[shown(1, 4)], &ticket);
        assert_eq!(
            version_of(&cache, 1),
            None,
            "the ticket is older than the forgotten fences"
        );
        cache.put(&[shown(1, 5)], &cache.ticket());
        assert_eq!(version_of(&cache, 1), Some(5));
    }
}
