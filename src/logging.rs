//! Logs to standard error: text for people, colours on a terminal only, or one JSON object a line.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Client libraries whose log lines add nothing to ours. A filter that names one turns it back on.
const QUIET: &[&str] = &["rskafka", "fred", "sqlx"];

/// Starts logging for the whole process.
///
/// # Errors
/// If `log.filter` is not a valid filter, or logging has already been started.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let mut directives = log.filter.clone();
    for client in QUIET {
        if !log.filter.contains(client) {
            directives.push_str(&format!(",{client}=off"));
        }
    }
    let filter = EnvFilter::try_new(&directives).with_context(|| {
        format!(
            "log.filter = {:?} is not a valid filter; try \"info\" or \"info,trackbox=debug\"",
            log.filter
        )
    })?;
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => started.with_target(false).try_init(),
        LogFormat::Json => started.json().try_init(),
    }
    .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
