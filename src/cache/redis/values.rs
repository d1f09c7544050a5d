//! Current states in Redis, shared by all processes.
//!
//! Each text of a tracking has a key, which holds its epoch, its version, the end of its validity, and the text. Without
//! that it is a fence. Values that were cached while this process could not reach Redis are not trusted. So after a failure
//! or a new connection it neither reads nor writes for [`TRUST_AFTER`], in which the other processes come back too, and
//! then begins a new epoch.
//!
//! Reading is a plain MGET. An epoch contains the run id of the server that it was begun on, which this process learns when
//! it begins one on a new connection: a server that was restarted, and read past values from its file, is a new connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::types::Value;
use fred::types::scripts::Script;
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::cache::known::{Cached, Family, Known};
use crate::cache::redis::{Redis, RedisError};
use crate::model::owned::Owned;
use crate::model::shown::Shown;

/// How long the cache stays unused after an outage. All processes notice within this time that Redis is back, so no
/// more fences fail.
const TRUST_AFTER: Duration = Duration::from_secs(3);

/// How long a reader may take from its look-up to its write.
const READER_MAX: Duration = Duration::from_secs(60);

/// How many values one call carries.
const CHUNK: usize = 1_000;

/// What a value begins with if its text is as this program writes and reads it. Another format needs another character, and
/// is a miss to those that do not know it.
const FORMAT: u8 = b'3';

/// The cache of a process in Redis.
pub struct RedisCache {
    redis: Arc<Redis>,
    time_to_live: Duration,
    trust: Mutex<Trust>,
    begin: Script,
    put: Script,
}

/// When a reader began: the epoch, and the server's time in µs. Empty if Redis could not be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTicket {
    epoch: String,
    time: u64,
}

struct Trust {
    /// `None` before this process began its first epoch.
    begun: Option<Begun>,
    /// The count of gaps, and when it last changed.
    gap: (u64, Instant),
}

/// The connection on which this process began an epoch.
#[derive(Clone)]
struct Begun {
    /// How many gaps there were: as many as now, or it is another connection.
    gaps: u64,
    /// The server's run id.
    run: Arc<str>,
}

impl RedisCache {
    pub fn new(redis: Arc<Redis>, time_to_live: Duration) -> Self {
        let gap = (redis.gaps(), Instant::now());
        Self {
            redis,
            time_to_live,
            trust: Mutex::new(Trust { begun: None, gap }),
            begin: Script::from_lua(include_str!("begin.lua")),
            put: Script::from_lua(include_str!("put.lua")),
        }
    }

    /// `Cache::get`, in Redis.
    pub async fn get(&self, ids: &[i64]) -> (Vec<Option<Known>>, RedisTicket) {
        match self.try_get(ids).await {
            Ok(Some(found)) => found,
            Ok(None) | Err(_) => (vec![None; ids.len()], RedisTicket::default()),
        }
    }

    async fn try_get(
        &self,
        ids: &[i64],
    ) -> Result<Option<(Vec<Option<Known>>, RedisTicket)>, RedisError> {
        let Some(Begun { gaps, run }) = self.trusted().await? else {
            return Ok(None);
        };
        let mut found = Vec::with_capacity(ids.len());
        let mut first = None;
        // Without ids there is one chunk too, for the ticket.
        for nth in 0..ids.len().div_ceil(CHUNK).max(1) {
            let chunk = &ids[nth * CHUNK..ids.len().min((nth + 1) * CHUNK)];
            let mut keys = self.keys(Family::Tracking, chunk);
            keys.extend(self.keys(Family::Owned, chunk).into_iter().skip(1));
            let (time, values) = self.redis.read(keys).await?;
            let [epoch, values @ ..] = values.as_slice() else {
                return Ok(None);
            };
            let ticket = match epoch.as_str() {
                Some(epoch) if epoch.starts_with(run.as_ref()) => {
                    let ticket = RedisTicket {
                        epoch: epoch.into(),
                        time: micros_of(time),
                    };
                    let (states, owned) = values.split_at(values.len() / 2);
                    let values = std::iter::zip(chunk, std::iter::zip(states, owned));
                    found.extend(values.map(|(id, (state, owned))| {
                        ticket.known(*id, state.as_bytes()?, owned.as_bytes()?)
                    }));
                    ticket
                }
                // Redis was emptied, or is another one.
                Some(_) | None => {
                    found.resize(found.len() + chunk.len(), None);
                    self.look_again(gaps).await?
                }
            };
            // The first ticket is the oldest, so it is valid for all chunks.
            first.get_or_insert(ticket);
        }
        // If the connection was lost meanwhile, a fence may be missing.
        if self.redis.gaps() != gaps {
            return Ok(None);
        }
        Ok(first.map(|ticket| (found, ticket)))
    }

    /// `Cache::put`, in Redis.
    pub async fn put<C: Cached>(&self, rows: &[C], ticket: &RedisTicket) {
        if ticket.is_none() || !matches!(self.trusted().await, Ok(Some(_))) {
            return;
        }
        let value = |row: &C| {
            let text = [&[FORMAT], row.text().as_ref()].concat();
            (row.id(), row.version(), text)
        };
        self.write(C::FAMILY, ticket, rows, value).await;
    }

    /// `Cache::mend`, in Redis. It looks at the server's run id too: a proxy may have put another server behind a connection.
    pub async fn mend(&self) {
        let mended = async {
            if let Some(begun) = self.trusted().await? {
                self.look_again(begun.gaps).await?;
            }
            Ok::<_, RedisError>(())
        };
        if let Err(error) = mended.await {
            tracing::debug!(%error, "cannot begin a new cache epoch yet: {error}");
        }
    }

    /// `Cache::fence`, in Redis. If it fails, [`RedisCache::mend`] begins a new epoch later.
    pub async fn fence(&self, family: Family, versions: &[(i64, i64)]) {
        let fence = |(id, version): &(i64, i64)| (*id, *version, Vec::new());
        self.write(family, &RedisTicket::default(), versions, fence)
            .await;
    }

    /// Writes id, version and body of each value. All calls are sent at once: each is made while Redis runs those before.
    async fn write<T>(
        &self,
        family: Family,
        ticket: &RedisTicket,
        values: &[T],
        of: impl Fn(&T) -> (i64, i64, Vec<u8>),
    ) {
        let micros = |time: Duration| Value::from(time.as_micros().to_string());
        let calls = values.chunks(CHUNK).map(|chunk| {
            let mut ids = Vec::with_capacity(chunk.len());
            let mut arguments = vec![
                Value::from(ticket.epoch.as_str()),
                Value::from(ticket.time.to_string()),
                micros(self.time_to_live),
                micros(READER_MAX),
            ];
            for (id, version, body) in chunk.iter().map(&of) {
                ids.push(id);
                arguments.push(Value::from(version.to_string()));
                arguments.push(Value::Bytes(body.into()));
            }
            let keys = self.keys(family, &ids);
            self.redis.run::<i64>(&self.put, keys, arguments)
        });
        for written in join_all(calls).await {
            if let Err(error) = written {
                tracing::debug!(%error, "cannot write to the cache: {error}");
            }
        }
    }

    /// The key of the epoch, and those of the texts.
    fn keys(&self, family: Family, ids: &[i64]) -> Vec<String> {
        let name = match family {
            Family::Tracking => "tracking",
            Family::Owned => "owned",
        };
        let values = ids
            .iter()
            .map(|id| self.redis.key(format_args!("{name}:{id}")));
        std::iter::once(self.redis.key("epoch"))
            .chain(values)
            .collect()
    }

    /// The connection, if cached values may be used. Begins a new epoch when that is due.
    async fn trusted(&self) -> Result<Option<Begun>, RedisError> {
        let gaps = self.redis.gaps();
        let look = self.lock().look(gaps);
        match look {
            Trusted::Yes(begun) => Ok(Some(begun)),
            Trusted::NotYet => Ok(None),
            Trusted::InNewEpoch { then_use } => {
                // Other processes may begin one at the same time, which does no harm.
                let (run, _) = self.begin("always").await?;
                if !then_use || self.redis.gaps() != gaps {
                    return Ok(None);
                }
                let begun = Begun { gaps, run };
                self.lock().begun = Some(begun.clone());
                Ok(Some(begun))
            }
        }
    }

    /// A ticket, in a new epoch if there is none of this run of the server. Remembers the run, unless the connection is
    /// another one than after `gaps`.
    async fn look_again(&self, gaps: u64) -> Result<RedisTicket, RedisError> {
        let (run, ticket) = self.begin("").await?;
        if self.redis.gaps() == gaps {
            self.lock().begun = Some(Begun { gaps, run });
        }
        Ok(ticket)
    }

    /// Begins an epoch if there is none of this run of the server; or `always`. Answers the run's id too.
    async fn begin(&self, always: &str) -> Result<(Arc<str>, RedisTicket), RedisError> {
        let random = Uuid::new_v4().simple().to_string();
        let arguments = vec![Value::from(random), Value::from(always)];
        let keys = vec![self.redis.key("epoch")];
        let (run, epoch, secs, micros): (String, String, u64, u64) =
            self.redis.run(&self.begin, keys, arguments).await?;
        let time = micros_of((secs, micros));
        Ok((run.into(), RedisTicket { epoch, time }))
    }

    fn lock(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock()
    }
}

/// Whether cached values may be used.
enum Trusted {
    Yes(Begun),
    NotYet,
    /// Not before a new epoch has begun, which invalidates them all. Even then only if `then_use`.
    InNewEpoch {
        then_use: bool,
    },
}

impl Trust {
    fn look(&mut self, gaps: u64) -> Trusted {
        if let Some(begun) = self.begun.as_ref().filter(|begun| begun.gaps == gaps) {
            return Trusted::Yes(begun.clone());
        }
        let news = self.gap.0 != gaps;
        if news {
            self.gap = (gaps, Instant::now());
        }
        // At the start there is nothing that this process could have missed.
        let then_use = self.begun.is_none() || self.gap.1.elapsed() >= TRUST_AFTER;
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

    /// Both texts of a tracking, if both are of this epoch, still valid, and in a format that this program knows.
    fn known(&self, id: i64, state: &[u8], owned: &[u8]) -> Option<Known> {
        let ((version, fields), (owners, views)) = (self.value(state)?, self.value(owned)?);
        Some(Known {
            shown: Shown {
                id,
                version,
                fields,
            },
            owned: Owned {
                id,
                version: owners,
                views,
            },
        })
    }

    /// The version and the text of a value.
    fn value(&self, kept: &[u8]) -> Option<(i64, Arc<[u8]>)> {
        let rest = kept.strip_prefix(self.epoch.as_bytes())?;
        let mut parts = rest.strip_prefix(b"|")?.splitn(3, |byte| *byte == b'|');
        let mut number = || str::from_utf8(parts.next()?).ok()?.parse::<i64>().ok();
        let (version, ends) = (number()?, number()?);
        let text = parts.next()?.strip_prefix(&[FORMAT])?;
        (ends.unsigned_abs() > self.time).then(|| (version, text.into()))
    }
}

fn micros_of((secs, micros): (u64, u64)) -> u64 {
    secs.saturating_mul(1_000_000).saturating_add(micros)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{READER_MAX, RedisCache, RedisTicket};
    use crate::cache::known::Known;
    use crate::cache::redis::fixture::{connect, random_prefix};
    use crate::model::fixture::{owned, shown};

    #[tokio::test]
    async fn a_reader_that_took_more_than_a_minute_puts_nothing() {
        let redis = Arc::new(connect(&random_prefix()).await);
        let cache = RedisCache::new(redis, Duration::from_secs(600));
        let (_, ticket) = cache.get(&[]).await;
        let earlier = |by: Duration| RedisTicket {
            time: ticket.time - by.as_micros() as u64,
            ..ticket.clone()
        };
        let late = earlier(READER_MAX + Duration::from_secs(1));
        cache.put(&[owned(1, 1)], &ticket).await;
        cache.put(&[shown(1, 4)], &late).await;
        assert_eq!(cache.get(&[1]).await.0, [None]);
        let in_time = earlier(READER_MAX - Duration::from_secs(5));
        cache.put(&[shown(1, 4)], &in_time).await;
        let known = Known {
            shown: shown(1, 4),
            owned: owned(1, 1),
        };
        assert_eq!(cache.get(&[1]).await.0, [Some(known)]);
    }
}
