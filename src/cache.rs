//! The cache of current states, and the limiter of calls: what processes share besides the database.

pub mod limiter;
pub mod memory;
pub mod redis;

use std::collections::HashMap;
use std::sync::Arc;

use crate::cache::memory::{MemoryCache, MemoryTicket};
use crate::cache::redis::values::{RedisCache, RedisTicket};
use crate::model::Tracking;

/// Current states by tracking id. Never fails: what it cannot give is a miss. A clone is the same cache.
///
/// Who reads takes a [`Ticket`] first, then reads the store, then puts what it read, then answers. Who writes raises the
/// fence before its commit. So nobody who has seen a state is ever given an older one.
#[derive(Clone)]
pub enum Cache {
    /// No cache: every look-up is a miss.
    None,
    Memory(Arc<MemoryCache>),
    Redis(Arc<RedisCache>),
}

/// What a look-up found, and the ticket to put the rest with.
#[derive(Debug)]
pub struct Lookup {
    pub found: HashMap<i64, Arc<Tracking>>,
    pub ticket: Ticket,
}

/// The moment before a read of the store; what was read is kept only if no fence was raised for it since.
#[derive(Clone, Debug)]
pub enum Ticket {
    None,
    Memory(MemoryTicket),
    Redis(RedisTicket),
}

impl Cache {
    /// Looks up `ids`; what is not found is a miss.
    pub async fn get(&self, ids: &[i64]) -> Lookup {
        match self {
            Self::None => Lookup {
                found: HashMap::new(),
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

    /// A ticket for a read of the store that looks nothing up.
    pub async fn ticket(&self) -> Ticket {
        match self {
            Self::None => Ticket::None,
            Self::Memory(cache) => Ticket::Memory(cache.ticket()),
            Self::Redis(cache) => Ticket::Redis(cache.get(&[]).await.1),
        }
    }

    /// Keeps `rows`, read or written after `ticket` was taken, where they are the newest known.
    pub async fn put(&self, rows: &[Tracking], ticket: &Ticket) {
        match (self, ticket) {
            (Self::Memory(cache), Ticket::Memory(ticket)) => cache.put(rows, ticket),
            (Self::Redis(cache), Ticket::Redis(ticket)) => cache.put(rows, ticket).await,
            (Self::None | Self::Memory(_) | Self::Redis(_), _) => {}
        }
    }

    /// Makes every value of these trackings a miss whose version is below the one given: (id, least valid version).
    pub async fn fence(&self, versions: &[(i64, i64)]) {
        match self {
            Self::None => {}
            Self::Memory(cache) => cache.fence(versions),
            Self::Redis(cache) => cache.fence(versions).await,
        }
    }

    /// Makes up for the fences that could not be raised, where that can be done now. A process calls it every second:
    /// while it uses the cache for nothing else, others may be given what it could not fence.
    pub async fn mend(&self) {
        match self {
            Self::None | Self::Memory(_) => {}
            Self::Redis(cache) => cache.mend().await,
        }
    }
}

#[cfg(test)]
mod tests;
