//! Tells workers that a parcel is due at once, so that they need not wait for their next look.
//!
//! In one process the bell is heard at once. Other processes listen to a counter in Redis, which costs one small read each
//! time. A ring that is lost costs no more than the poll interval.

use std::sync::Arc;
use std::time::Duration;

use fred::types::scripts::Script;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cache::redis::{Redis, RedisError};

/// How often a worker listens.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// A bell that a process rings and hears. A clone is the same bell.
#[derive(Clone, Default)]
pub struct Bell {
    here: Arc<Notify>,
    shared: Option<Arc<Shared>>,
}

struct Shared {
    redis: Arc<Redis>,
    ring: Script,
    count: Script,
}

impl Bell {
    /// `here` is what a ring wakes in this process.
    pub fn new(here: Arc<Notify>, redis: Option<Arc<Redis>>) -> Self {
        let shared = redis.map(|redis| {
            Arc::new(Shared {
                redis,
                ring: Script::from_lua("return redis.call('INCR', KEYS[1])"),
                count: Script::from_lua("return tonumber(redis.call('GET', KEYS[1]) or 0)"),
            })
        });
        Self { here, shared }
    }

    /// Wakes the workers of all processes.
    pub async fn ring(&self) {
        self.here.notify_one();
        if let Some(shared) = &self.shared {
            // Redis logs its own outages.
            drop(shared.run(&shared.ring).await);
        }
    }

    /// Wakes this process when another one has rung, until `stop`.
    pub async fn listen(&self, stop: CancellationToken) {
        let Some(shared) = &self.shared else {
            return stop.cancelled().await;
        };
        let mut heard = None;
        while stop
            .run_until_cancelled(tokio::time::sleep(LISTEN_EVERY))
            .await
            .is_some()
        {
            let Ok(count) = shared.run(&shared.count).await else {
                continue;
            };
            if heard.is_some_and(|heard| heard != count) {
                self.here.notify_one();
            }
            heard = Some(count);
        }
    }
}

impl Shared {
    async fn run(&self, script: &Script) -> Result<i64, RedisError> {
        let keys = vec![self.redis.key("bell")];
        self.redis.run(script, keys, Vec::new()).await
    }
}
