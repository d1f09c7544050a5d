//! What processes share besides the database: the cache of current states, the limiter of calls, and the accounts' tokens.

pub mod bell;
pub mod known;
pub mod limiter;
pub mod memory;
pub mod redis;
pub mod tokens;

use std::sync::Arc;

use crate::cache::known::{Cached, Family, Known};
use crate::cache::memory::{MemoryCache, MemoryTicket};
use crate::cache::redis::values::{RedisCache, RedisTicket};

/// Current states by tracking id. It never fails: what it cannot give is a miss. A clone is the same cache.
///
/// A reader takes a [`Ticket`], reads the store, puts what it read, and then answers. A writer fences the new versions
/// before it commits them. So a client that has seen a state is never given an older one.
#[derive(Clone)]
pub enum Cache {
    /// Every look-up is a miss.
    None,
    Memory(Arc<MemoryCache>),
    Redis(Arc<RedisCache>),
}

/// What a look-up found, and the ticket for putting the rest.
#[derive(Debug)]
pub struct Lookup {
    /// In the order of the ids; `None` for a miss.
    pub found: Vec<Option<Known>>,
    pub ticket: Ticket,
}

/// Marks the moment before a read of the store. A value that was fenced since is not kept.
#[derive(Clone, Debug)]
pub enum Ticket {
    None,
    Memory(MemoryTicket),
    Redis(RedisTicket),
}

impl Cache {
    /// Looks up `ids`.
    pub async fn get(&self, ids: &[i64]) -> Lookup {
        match self {
            Self::None => Lookup {
                found: vec![None; ids.len()],
                ticket: Ticket::None,
            },
            Self::Memory(cache) => {
                let ticket = Ticket::Memory(cache.ticket());
                let found = cache.get(ids);
                Lookup { found, ticket }
            }
            Self::Redis(cache) => {
                let (found, ticket) = cache.get(ids).await;
                Lookup {
                    found,
                    ticket: Ticket::Redis(ticket),
                }
            }
        }
    }

    /// A ticket for a read of the store without a look-up.
    pub async fn ticket(&self) -> Ticket {
        match self {
            Self::None => Ticket::None,
            Self::Memory(cache) => Ticket::Memory(cache.ticket()),
            Self::Redis(cache) => Ticket::Redis(cache.get(&[]).await.1),
        }
    }

    /// Keeps those of `rows` that are the newest known. They were read or written after `ticket` was taken.
    pub async fn put<C: Cached>(&self, rows: &[C], ticket: &Ticket) {
        match (self, ticket) {
            (Self::Memory(cache), Ticket::Memory(ticket)) => cache.put(rows, ticket),
            (Self::Redis(cache), Ticket::Redis(ticket)) => cache.put(rows, ticket).await,
            (Self::None | Self::Memory(_) | Self::Redis(_), _) => {}
        }
    }

    /// Invalidates older versions of these trackings' texts: (id, least valid version).
    pub async fn fence(&self, family: Family, versions: &[(i64, i64)]) {
        match self {
            _ if versions.is_empty() => {}
            Self::None => {}
            Self::Memory(cache) => cache.fence(family, versions),
            Self::Redis(cache) => cache.fence(family, versions).await,
        }
    }

    /// Starts a new epoch if a fence failed and Redis is reachable again. Call it every second: until then, other
    /// processes may read values that this one failed to invalidate.
    pub async fn mend(&self) {
        match self {
            Self::None | Self::Memory(_) => {}
            Self::Redis(cache) => cache.mend().await,
        }
    }
}

#[cfg(test)]
mod tests;
