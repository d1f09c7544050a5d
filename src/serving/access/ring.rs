//! What this process knows of keys: for ten seconds what the database said of each, so that a revoked one is refused
//! everywhere within that time and a key in use costs a question in ten seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::clock::{Clock, Time};
use crate::metrics::Metrics;
use crate::model::key::KeyHash;
use crate::model::tenant::TenantCode;
use crate::store::Store;
use crate::store::api_keys::{FoundKey, KeyRow};
use crate::store::error::StoreError;

/// How long an answer of the database is believed, counted from when it was asked.
const BELIEVED: Duration = Duration::from_secs(10);

/// How long the database may take to say again whether there was ever a key: while it is away, reads go on from the cache.
const ASK_MAX: Duration = Duration::from_secs(1);

/// How long a key is remembered as one that was known.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most keys that are remembered.
const KEYS_MAX: u64 = 10_000;

/// The most keys whose uses wait to be stored.
const USED_MAX: usize = 10_000;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// What the database says of a key.
#[derive(Clone)]
pub enum Verdict {
    Known(Arc<Known>),
    Unknown,
}

/// A key that there is, in force or not.
pub struct Known {
    pub row: KeyRow,
    pub tenant_code: TenantCode,
    pub tenant_is_disabled: bool,
    pub tenant_is_alone: bool,
    /// `None` if it has no limit of its own.
    limiter: Option<Arc<Limiter>>,
}

#[derive(Clone)]
struct Entry {
    /// On the monotonic clock.
    asked_at: Duration,
    /// How often all was to be forgotten before it was asked.
    forgotten: u64,
    verdict: Verdict,
}

/// The keys of a process.
pub struct Ring {
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    entries: Cache<KeyHash, Entry>,
    /// How often all was to be forgotten.
    forgotten: AtomicU64,
    /// When each key was looked up last: that is its last use, to ten seconds.
    used: Mutex<HashMap<i64, Time>>,
    /// Whether there has ever been a key, and when that was asked.
    had_a_key: Mutex<Option<(bool, Duration)>>,
}

impl Ring {
    pub fn new(store: Store, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            clock,
            metrics,
            entries: Cache::builder()
                .max_capacity(KEYS_MAX)
                .time_to_live(REMEMBERED)
                .build(),
            forgotten: AtomicU64::new(0),
            used: Mutex::default(),
            had_a_key: Mutex::default(),
        }
    }

    /// What the database said of this key in the last ten seconds.
    pub fn fresh(&self, hash: &KeyHash) -> Option<Verdict> {
        let entry = self.entries.get(hash)?;
        let is_of_now = entry.forgotten == self.forgotten.load(Ordering::Acquire);
        (is_of_now && self.is_believed(entry.asked_at)).then_some(entry.verdict)
    }

    /// The key as it was when it was looked up last, if it was known then.
    pub fn remembered(&self, hash: &KeyHash) -> Option<Arc<Known>> {
        match self.entries.get(hash)?.verdict {
            Verdict::Known(known) => Some(known),
            Verdict::Unknown => None,
        }
    }

    /// Asks the database. Every key costs the same one question, whatever becomes of it.
    pub async fn look_up(&self, hash: KeyHash) -> Result<Verdict, StoreError> {
        let asked_at = self.clock.monotonic();
        let forgotten = self.forgotten.load(Ordering::Acquire);
        self.metrics.key_lookups().inc();
        let found = self.store.key_by_hash(&hash).await?;
        let verdict = match found {
            None => Verdict::Unknown,
            Some(found) => {
                self.note_use(found.row.id);
                Verdict::Known(Arc::new(self.known(&hash, found)))
            }
        };
        let entry = Entry {
            asked_at,
            forgotten,
            verdict: verdict.clone(),
        };
        self.entries.insert(hash, entry);
        Ok(verdict)
    }

    /// The key with the counter that it has already.
    fn known(&self, hash: &KeyHash, found: FoundKey) -> Known {
        let before = self
            .entries
            .get(hash)
            .and_then(|entry| match entry.verdict {
                Verdict::Known(known) if known.row.per_second == found.row.per_second => {
                    known.limiter.clone()
                }
                _ => None,
            });
        let new = || {
            let per_second = u32::from(found.row.per_second).try_into().ok()?;
            let limiter = RateLimiter::direct(Quota::per_second(per_second));
            Some(Arc::new(
                limiter.with_middleware::<StateInformationMiddleware>(),
            ))
        };
        Known {
            limiter: before.or_else(new),
            row: found.row,
            tenant_code: found.tenant_code,
            tenant_is_disabled: found.tenant_is_disabled,
            tenant_is_alone: found.tenant_is_alone,
        }
    }

    /// Whether there has ever been a key. A `true` is never asked again.
    ///
    /// If the database does not answer, the last answer holds: without the database there is little to protect, and the
    /// metrics are needed then.
    pub async fn had_a_key(&self) -> Result<bool, StoreError> {
        let last = *self.had_a_key.lock();
        match last {
            Some((true, _)) => return Ok(true),
            Some((false, asked_at)) if self.is_believed(asked_at) => return Ok(false),
            _ => {}
        }
        let mut asked_at = self.clock.monotonic();
        let question = self.store.had_a_key();
        let asked = match last {
            None => question.await,
            Some(_) => {
                let asked = tokio::time::timeout(ASK_MAX, question).await;
                asked.unwrap_or_else(|_| Err(StoreError::timed_out()))
            }
        };
        let had_a_key = match (asked, last) {
            (Ok(had_a_key), _) => had_a_key,
            (Err(error), Some(_)) if error.is_unavailable() => {
                asked_at = self.clock.monotonic();
                false
            }
            (Err(error), _) => return Err(error),
        };
        let mut now = self.had_a_key.lock();
        if !matches!(*now, Some((true, _))) {
            *now = Some((had_a_key, asked_at));
        }
        Ok(had_a_key)
    }

    /// Believes nothing that the database has said of keys and of there being none. Which keys were known, and what they
    /// used of their limits, stays.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::Release);
        let mut had_a_key = self.had_a_key.lock();
        had_a_key.take_if(|(had, _)| !*had);
    }

    fn is_believed(&self, asked_at: Duration) -> bool {
        self.clock.monotonic() < asked_at + BELIEVED
    }

    fn note_use(&self, id: i64) {
        let now = self.clock.now();
        let mut used = self.used.lock();
        if used.len() < USED_MAX || used.contains_key(&id) {
            used.insert(id, now);
        }
    }

    /// Stores in one statement when keys were used, and deletes acts that are too old. What could not be stored is lost.
    pub async fn note_uses(&self) -> Result<(), StoreError> {
        let mut uses: Vec<(i64, Time)> =
            std::mem::take(&mut *self.used.lock()).into_iter().collect();
        // By id, as everywhere, so that two transactions cannot deadlock.
        uses.sort_unstable_by_key(|(id, _)| *id);
        self.store.note_key_uses(&uses).await?;
        self.store.prune_acts(self.clock.now()).await?;
        Ok(())
    }
}

impl Known {
    /// Counts a request of this key; `None` if it has no limit of its own.
    pub fn limited_now(&self) -> Option<Limited> {
        let limiter = self.limiter.as_ref()?;
        let (left, wait) = match limiter.check() {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refused) => {
                let wait = refused.wait_time_from(DefaultClock::default().now());
                (0, Some(wait))
            }
        };
        Some(Limited {
            per_second: self.row.per_second,
            left,
            wait,
        })
    }
}

/// The state of a key's limit after a request.
#[derive(Clone, Copy, Debug)]
pub struct Limited {
    per_second: u16,
    left: u32,
    wait: Option<Duration>,
}

impl Limited {
    /// How long to wait, if the request is one too many.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// The header fields of draft-ietf-httpapi-ratelimit-headers (read November 2026): the limit, and what is left of it.
    pub fn headers(&self) -> [(&'static str, String); 2] {
        let Self {
            per_second, left, ..
        } = self;
        [
            ("ratelimit-policy", format!("\"key\";q={per_second};w=1")),
            ("ratelimit", format!("\"key\";r={left};t=1")),
        ]
    }
}
