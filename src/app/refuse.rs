//! Refuses at the start, in one clear line, what cannot work.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio_util::sync::CancellationToken;

use crate::app::parts::ca_file;
use crate::app::role::{Engine, Role};
use crate::config::Config;
use crate::store::lock::StoreLock;

/// How often a process checks that it still holds its lock on the database.
const LOCK_EVERY: Duration = Duration::from_secs(10);

/// Refuses a role that could not meet the others.
pub fn what_cannot_work(config: &Config, roles: &[&Role]) -> anyhow::Result<()> {
    let missing = missing_engines(config);
    if let [role] = roles
        && let Some(why) = role.needs_engines
        && !missing.is_empty()
    {
        bail!(
            "`trackbox {}` alone needs {} to meet the other roles ({why}); `trackbox all` runs everything in one process \
             without them",
            role.name,
            missing.join(" and ")
        );
    }
    Ok(())
}

/// The keys of the engines that are not configured.
fn missing_engines(config: &Config) -> Vec<&'static str> {
    let missing = Engine::ALL
        .into_iter()
        .filter(|engine| engine.place(config).is_none());
    missing.map(Engine::key).collect()
}

/// Locks the database for the life of the process. The lock excludes other processes if this one could not meet them.
///
/// # Errors
/// If another process holds a lock that excludes this one, or the database is away.
pub async fn lock_store(config: &Config, roles: &[&Role]) -> anyhow::Result<StoreLock> {
    let missing = missing_engines(config);
    let meets_others = roles.iter().any(|role| role.needs_engines.is_some());
    let alone = meets_others && !missing.is_empty();
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
        "another TrackBox works on {}: two would spend the carriers' limits twice, and would not see each other's \
         changes. Stop it first, or give this one another store.url{hint}",
        config.store.url
    )
}

/// Checks that the lock is still held, and takes it again if the database was away.
///
/// # Errors
/// If another process took it meanwhile, or the database is away.
pub async fn keep_once(lock: &mut StoreLock, config: &Config) -> anyhow::Result<()> {
    let held = lock
        .keep()
        .await
        .with_context(|| format!("cannot lock the database at {}", config.store.url))?;
    ensure!(held, taken(config, false));
    Ok(())
}

/// Keeps the lock until `stop`, then releases it.
///
/// # Errors
/// If another process took the lock while the database was away.
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
            Err(error) => tracing::debug!(
                "cannot renew the lock on the database, trying again later: {error}"
            ),
        }
    }
    lock.release().await;
    Ok(())
}
