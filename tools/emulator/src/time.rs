//! The emulator's clock: the machine's, or one that a test moves by hand.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use futures_util::future::BoxFuture;

type Now = dyn Fn() -> DateTime<Utc> + Send + Sync;
type Sleep = dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync;

/// Tells the time and waits. Clones tell the same time.
#[derive(Clone)]
pub struct Time {
    now: Arc<Now>,
    sleep: Arc<Sleep>,
}

impl Time {
    /// The machine's time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    pub fn system() -> Self {
        Self::new(Utc::now, |wait| Box::pin(tokio::time::sleep(wait)))
    }

    /// A clock of the caller's.
    pub fn new(
        now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
        sleep: impl Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            now: Arc::new(now),
            sleep: Arc::new(sleep),
        }
    }

    /// The time now, in whole microseconds.
    pub fn now(&self) -> DateTime<Utc> {
        (self.now)().trunc_subsecs(6)
    }

    pub async fn sleep(&self, wait: Duration) {
        (self.sleep)(wait).await;
    }
}
