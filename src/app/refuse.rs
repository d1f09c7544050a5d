//! What cannot work is refused at the start, in one clear line.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use crate::app::Role;
use crate::app::parts::ca_file;
use crate::config::Config;
use crate::store::lock::StoreLock;

/// How often a process makes sure that it still holds its lock on the database.
const LOCK_EVERY: Duration = Duration::from_secs(10);

/// Refuses roles that could not meet the others.
pub fn what_cannot_work(config: &Config, roles: &[Role]) -> anyhow::Result<()> {
    if roles == [Role::Serve] {
        return Ok(());
    }
    let missing = missing_engines(config);
    if roles.len() == 1 && !missing.is_empty() {
        let role = roles[0].name();
        let why = if roles == [Role::Consume] {
            "it would hear of nothing, and the API's cache would not hear of it"
        } else {
            "what it hears would reach no consumer, and another worker would not know what it has spent"
        };
        bail!(
            "`trackbox {role}` alone needs {} to meet the other roles ({why}); \
             `trackbox all` runs everything in one process without them",
            missing.join(" and ")
        );
    }
    Ok(())
}

/// The keys of what processes meet in besides the database, where they are empty.
fn missing_engines(config: &Config) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if config.kafka.brokers.is_empty() {
        missing.push("kafka.brokers");
    }
    if config.redis.url.is_empty() {
        missing.push("redis.url");
    }
    missing
}

/// Locks the database for the life of the process: alone, where the others would not hear of it, else with others.
///
/// # Errors
/// Where another process holds it so that both cannot work, or the database is away.
pub async fn lock_store(config: &Config, roles: &[Role]) -> anyhow::Result<StoreLock> {
    let missing = missing_engines(config);
    let alone = roles.contains(&Role::Consume) && !missing.is_empty();
    let lock = StoreLock::take(config.store.url.expose(), ca_file(config), alone)
        .await
        .with_context(|| format!("cannot lock the database at {}", config.store.url))?;
    let Some(lock) = lock else {
        bail!(taken(config, alone));
    };
    Ok(lock)
}

fn taken(config: &Config, alone: bool) -> String {
    let hint = if alone {
        format!(
            "; with {} set they may share it",
            missing_engines(config).join(" and ")
        )
    } else {
        String::new()
    };
    format!(
        "another TrackBox works on {}: two would spend the carriers' limits twice, and not hear of each other's \
         changes. Stop it first, or give this one another store.url{hint}",
        config.store.url
    )
}

/// Keeps the lock until `stop`, then lets it go.
///
/// # Errors
/// Where somebody else took it while the database was away.
pub async fn keep_lock(
    mut lock: StoreLock,
    config: std::sync::Arc<Config>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOCK_EVERY) => {}
        }
        match lock.keep().await {
            Ok(true) => {}
            Ok(false) => bail!(taken(&config, false)),
            Err(error) => tracing::debug!("the lock on the database is taken again later: {error}"),
        }
    }
    lock.release().await;
    Ok(())
}
