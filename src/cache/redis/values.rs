//! Current states in Redis, shared by all processes.
//!
//! Each tracking has a key, which holds its epoch, its version, the end of its validity, and its JSON. Without the JSON
//! it is a fence. Values that were cached while this process could not reach Redis are not trusted. So after a failure
//! or a new connection it neither reads nor writes for [`TRUST_AFTER`], in which the other processes come back too, and
//! then begins a new epoch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::types::Value;
use fred::types::scripts::Script;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::cache::redis::{Redis, RedisError};
use crate::model::Tracking;

/// How long the cache stays unused after an outage. All processes notice within this time that Redis is back, so no
/// more fences fail.
const TRUST_AFTER: Duration = Duration::from_secs(3);

/// How long a reader may take from its look-up to its write.
const READER_MAX: Duration = Duration::from_secs(60);

/// How many values one call carries.
const CHUNK: usize = 1_000;

/// The cache of a process in Redis.
pub struct RedisCache {
    redis: Arc<Redis>,
    time_to_live: Duration,
    trust: Mutex<Trust>,
    get: Script,
    put: Script,
    renew: Script,
}

/// When a reader began: the epoch, and the server's time in µs. Empty if Redis could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTicket {
    epoch: String,
    time: String,
}

struct Trust {
    /// How many gaps there were when this process began its epoch; `None` before the first.
    begun_after: Option<u64>,
    /// The count of gaps, and when it last changed.
    gap: (u64, Instant),
}

impl RedisCache {
    pub fn new(redis: Arc<Redis>, time_to_live: Duration) -> Self {
        let gap = (redis.gaps(), Instant::now());
        Self {
            redis,
            time_to_live,
            trust: Mutex::new(Trust {
                begun_after: None,
                gap,
            }),
            get: Script::from_lua(include_str!("get.lua")),
            put: Script::from_lua(include_str!("put.lua")),
            renew: Script::from_lua(include_str!("renew.lua")),
        }
    }

    /// `Cache::get`, in Redis.
    pub async fn get(&self, ids: &[i64]) -> (HashMap<i64, Arc<Tracking>>, RedisTicket) {
        match self.try_get(ids).await {
            Ok(Some(found)) => found,
            Ok(None) | Err(_) => (HashMap::new(), RedisTicket::none()),
        }
    }

    async fn try_get(
        &self,
        ids: &[i64],
    ) -> Result<Option<(HashMap<i64, Arc<Tracking>>, RedisTicket)>, RedisError> {
        let Some(gaps) = self.trusted().await? else {
            return Ok(None);
        };
        let mut found = HashMap::new();
        let mut first: Option<RedisTicket> = None;
        let chunks: Vec<&[i64]> = if ids.is_empty() {
            vec![ids]
        } else {
            ids.chunks(CHUNK).collect()
        };
        for chunk in chunks {
            let random = Value::from(Uuid::new_v4().simple().to_string());
            let answer: Vec<String> = self
                .redis
                .run(&self.get, self.keys(chunk), vec![random])
                .await?;
            let [epoch, time, values @ ..] = answer.as_slice() else {
                return Ok(None);
            };
            // The first ticket is the oldest, so it is valid for all chunks.
            first.get_or_insert_with(|| RedisTicket {
                epoch: epoch.clone(),
                time: time.clone(),
            });
            for (id, json) in chunk.iter().zip(values) {
                // What another version of the program wrote may not be readable. Then it is a miss.
                if let Ok(row) = serde_json::from_str::<Tracking>(json)
                    && row.id == *id
                {
                    found.insert(*id, Arc::new(row));
                }
            }
        }
        // If the connection was lost meanwhile, a fence may be missing.
        if self.redis.gaps() != gaps {
            return Ok(None);
        }
        Ok(first.map(|ticket| (found, ticket)))
    }

    /// `Cache::put`, in Redis.
    pub async fn put(&self, rows: &[Tracking], ticket: &RedisTicket) {
        if ticket.is_none() || !matches!(self.trusted().await, Ok(Some(_))) {
            return;
        }
        for chunk in rows.chunks(CHUNK) {
            let ids: Vec<i64> = chunk.iter().map(|row| row.id).collect();
            let mut arguments = self.arguments(&ticket.epoch, &ticket.time);
            for row in chunk {
                arguments.push(Value::from(row.version.to_string()));
                // Without JSON it is a fence for this version, which is safe.
                arguments.push(Value::from(serde_json::to_string(row).unwrap_or_default()));
            }
            let put: Result<i64, _> = self.redis.run(&self.put, self.keys(&ids), arguments).await;
            if put.is_err() {
                return;
            }
        }
    }

    /// `Cache::mend`, in Redis.
    pub async fn mend(&self) {
        if let Err(error) = self.trusted().await {
            tracing::debug!(%error, "cannot begin a new cache epoch yet: {error}");
        }
    }

    /// `Cache::fence`, in Redis. If it fails, [`RedisCache::mend`] begins a new epoch later.
    pub async fn fence(&self, versions: &[(i64, i64)]) {
        for chunk in versions.chunks(CHUNK) {
            let ids: Vec<i64> = chunk.iter().map(|(id, _)| *id).collect();
            let mut arguments = self.arguments("", "0");
            for (_, version) in chunk {
                arguments.push(Value::from(version.to_string()));
                arguments.push(Value::from(""));
            }
            let raised: Result<i64, _> =
                self.redis.run(&self.put, self.keys(&ids), arguments).await;
            if raised.is_err() {
                return;
            }
        }
    }

    fn arguments(&self, epoch: &str, time: &str) -> Vec<Value> {
        let micros = |time: Duration| Value::from(time.as_micros().to_string());
        vec![
            Value::from(epoch),
            Value::from(time),
            micros(self.time_to_live),
            micros(READER_MAX),
        ]
    }

    fn keys(&self, ids: &[i64]) -> Vec<String> {
        let values = ids
            .iter()
            .map(|id| self.redis.key(format_args!("tracking:{id}")));
        std::iter::once(self.redis.key("epoch"))
            .chain(values)
            .collect()
    }

    /// The count of gaps, if cached values may be used. Begins a new epoch when that is due.
    async fn trusted(&self) -> Result<Option<u64>, RedisError> {
        let gaps = self.redis.gaps();
        let look = self.lock().look(gaps);
        match look {
            Trusted::Yes => return Ok(Some(gaps)),
            Trusted::NotYet => return Ok(None),
            Trusted::InNewEpoch { then_use } => {
                // Other processes may begin one at the same time, which does no harm.
                self.begin_epoch().await?;
                if !then_use || self.redis.gaps() != gaps {
                    return Ok(None);
                }
            }
        }
        self.lock().begun_after = Some(gaps);
        Ok(Some(gaps))
    }

    async fn begin_epoch(&self) -> Result<(), RedisError> {
        let random = Value::from(Uuid::new_v4().simple().to_string());
        let keys = vec![self.redis.key("epoch")];
        let _: i64 = self.redis.run(&self.renew, keys, vec![random]).await?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock()
    }
}

/// Whether cached values may be used.
enum Trusted {
    Yes,
    NotYet,
    /// Not before a new epoch has begun, which invalidates them all. Even then only if `then_use`.
    InNewEpoch {
        then_use: bool,
    },
}

impl Trust {
    fn look(&mut self, gaps: u64) -> Trusted {
        if self.begun_after == Some(gaps) {
            return Trusted::Yes;
        }
        let news = self.gap.0 != gaps;
        if news {
            self.gap = (gaps, Instant::now());
        }
        // At the start there is nothing that this process could have missed.
        let then_use = self.begun_after.is_none() || self.gap.1.elapsed() >= TRUST_AFTER;
        // Begun at once, so that no process reads what this one failed to fence, and again when all are back.
        if news || then_use {
            Trusted::InNewEpoch { then_use }
        } else {
            Trusted::NotYet
        }
    }
}

impl RedisTicket {
    /// Whether nothing can be put with it.
    pub fn is_none(&self) -> bool {
        self.epoch.is_empty()
    }

    fn none() -> Self {
        Self {
            epoch: String::new(),
            time: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{READER_MAX, RedisCache, RedisTicket};
    use crate::cache::redis::fixture::{connect, random_prefix};
    use crate::model::fixture::tracking;

    #[tokio::test]
    async fn a_reader_that_took_more_than_a_minute_puts_nothing() {
        let redis = Arc::new(connect(&random_prefix()).await);
        let cache = RedisCache::new(redis, Duration::from_secs(600));
        let (_, ticket) = cache.get(&[]).await;
        let began: u128 = ticket.time.parse().expect("is a time");
        let earlier = |by: Duration| RedisTicket {
            time: (began - by.as_micros()).to_string(),
            ..ticket.clone()
        };
        let late = earlier(READER_MAX + Duration::from_secs(1));
        cache.put(&[tracking(1, 4)], &late).await;
        assert!(cache.get(&[1]).await.0.is_empty());
        let in_time = earlier(READER_MAX - Duration::from_secs(5));
        cache.put(&[tracking(1, 4)], &in_time).await;
        assert_eq!(cache.get(&[1]).await.0.len(), 1);
    }
}
