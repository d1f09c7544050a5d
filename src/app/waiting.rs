//! The start without a database: the ports answer 503, and the process waits until the database can be used.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use crate::app::role::Guarded;
use crate::config::Http;
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::serving::caller::Anyone;
use crate::serving::health::{self, ReadyChecks};
use crate::serving::layers::{self, Kit};
use crate::serving::problem::Problem;
use crate::store::error::StoreError;

/// How long to wait after a failed attempt.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Attempts it until it succeeds.
///
/// # Errors
/// The first error that waiting cannot mend: see [`StoreError::may_pass`].
pub async fn until_available<T>(
    mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut outage = Outage::new("connecting to the database");
    loop {
        match attempt().await {
            Ok(done) => {
                outage.over();
                return Ok(done);
            }
            Err(error) if may_pass(&error) => outage.failed(format_args!("{error:#}")),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<StoreError>()
        .is_some_and(StoreError::may_pass)
}

/// What a port answers until its role starts: the process runs, is not ready, and answers everything else with 503.
///
/// Metrics are shown only on a port whose metrics need no key, since keys cannot be looked up.
pub fn router(http: &Http, metrics: &Arc<Metrics>, guarded: Guarded) -> Router {
    let ready = ReadyChecks::default().with("database", async || {
        Err(anyhow::anyhow!("not connected since the start"))
    });
    let away = async || Problem::unavailable("the database is not available", None);
    let mut router = health::operations(ready);
    if guarded != Guarded::All {
        let figures = health::figures::<Anyone, _, _>(Arc::clone(metrics), async || ());
        router = router.merge(figures);
    }
    let router = layers::with_method_fallback(router.into()).fallback(away);
    layers::wrap(router, Kit::new(http, Arc::clone(metrics)))
}
