//! Warns at the start if events are identified otherwise than those that are stored: each would stand there twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::carriers::routes::{ANY, Routes};
use crate::clock::Clock;
use crate::outage::Outage;
use crate::store::Store;
use crate::store::error::StoreError;

/// How long to wait before the next try if the database is away.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Warns once, then waits for `stop`. The warning comes at every start until a replay has been applied.
pub async fn warn_of_changes(
    store: Store,
    routes: Arc<Routes>,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut outage = Outage::new("comparing how events are read");
    loop {
        match changed(&store, &routes, &clock).await {
            Ok(sections) => {
                outage.over();
                for section in sections {
                    let only = match section.as_str() {
                        ANY => String::new(),
                        section => format!(" --carrier {section}"),
                    };
                    tracing::warn!(
                        section,
                        "the events of {section} are read otherwise than those that are stored: text, message, place, time or \
                         zone come from elsewhere now. Events that are reported again stand there twice until \
                         `trackbox replay{only} --apply` has run"
                    );
                }
                stop.cancelled().await;
                return Ok(());
            }
            Err(error) => outage.failed(error),
        }
        if tokio::time::timeout(RETRY_AFTER, stop.cancelled())
            .await
            .is_ok()
        {
            return Ok(());
        }
    }
}

/// The sections whose events are read otherwise than the stored ones. Those that are not known yet are noted.
///
/// # Errors
/// If the database is away.
pub async fn changed(
    store: &Store,
    routes: &Routes,
    clock: &Clock,
) -> Result<Vec<String>, StoreError> {
    let known = store.readings().await?;
    let (mut new, mut changed) = (BTreeMap::new(), Vec::new());
    for (section, reading) in routes.readings() {
        match known.get(&section) {
            None => drop(new.insert(section, reading)),
            Some(before) if *before != reading => changed.push(section),
            Some(_) => {}
        }
    }
    store.note_readings(&new, clock.now()).await?;
    Ok(changed)
}
