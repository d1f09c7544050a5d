//! Tells workers that a parcel is due at once, so that they need not wait for their next look.
//!
//! In one process the bell is heard at once. Other processes hear it over a channel of Redis. A ring that is lost costs no
//! more than the poll interval.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cache::redis::Redis;

/// A bell that a process rings and hears. A clone is the same bell.
#[derive(Clone, Default)]
pub struct Bell {
    here: Arc<Notify>,
    redis: Option<Arc<Redis>>,
}

impl Bell {
    /// `here` is what a ring wakes in this process.
    pub fn new(here: Arc<Notify>, redis: Option<Arc<Redis>>) -> Self {
        Self { here, redis }
    }

    /// Wakes the workers of all processes.
    pub async fn ring(&self) {
        self.here.notify_one();
        if let Some(redis) = &self.redis {
            // Redis logs its own outages.
            drop(redis.publish(&redis.key("bell")).await);
        }
    }

    /// Wakes this process when another one has rung, until `stop`.
    pub async fn listen(&self, stop: CancellationToken) {
        let listening = async {
            match &self.redis {
                Some(redis) => {
                    let heard = || self.here.notify_one();
                    redis.listen(&redis.key("bell"), heard).await;
                }
                None => std::future::pending().await,
            }
        };
        stop.run_until_cancelled(listening).await;
    }
}
