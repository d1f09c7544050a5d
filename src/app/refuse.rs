//! What cannot work is refused at the start, in one clear line.

use std::fs::{File, TryLockError};

use anyhow::{Context as _, bail};

use crate::app::Role;
use crate::config::Config;

/// Refuses roles that could not meet the others, and locks the store where this process alone may use it.
pub fn what_cannot_work(config: &Config, roles: &[Role]) -> anyhow::Result<Option<File>> {
    let engines = !config.kafka.brokers.is_empty() || !config.redis.url.is_empty();
    if engines {
        bail!(
            "kafka.brokers or redis.url is set, but this version has only the in-process bus and cache: \
             leave both empty and run `trackbox all`"
        );
    }
    for (role, why) in [
        (
            Role::Work,
            "what it hears would reach no consumer, and another worker would not know what it has spent",
        ),
        (
            Role::Consume,
            "it would hear of nothing, and the API's cache would not hear of it",
        ),
    ] {
        if roles == [role] {
            bail!(
                "`trackbox {0}` alone needs kafka.brokers and redis.url to meet the other roles ({why}); \
                 `trackbox all` runs everything in one process without them",
                role.name()
            );
        }
    }
    lock_store(config, roles.contains(&Role::Consume))
}

/// Holds a lock beside the SQLite file for the life of the process: alone, where it works on it, else with others.
fn lock_store(config: &Config, alone: bool) -> anyhow::Result<Option<File>> {
    let url = config.store.url.expose();
    let Some(file) = url.strip_prefix("sqlite:") else {
        if alone {
            bail!(
                "`trackbox all` without Kafka and Redis works on SQLite: set store.url = \"sqlite://FILE\""
            );
        }
        return Ok(None);
    };
    let file = file.trim_start_matches("//");
    let path = format!("{}.lock", file.split('?').next().unwrap_or(file));
    if let Some(folder) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let lock = File::create(&path).with_context(|| format!("cannot create {path}"))?;
    let locked = if alone {
        lock.try_lock()
    } else {
        lock.try_lock_shared()
    };
    match locked {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => bail!(
            "another TrackBox works on {}: two would spend the carriers' limits twice, and not hear of each other's \
             changes. Stop it first, or give this one another store.url",
            config.store.url
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {path}"))
        }
    }
}
