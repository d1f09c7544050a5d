//! Commands that do one thing and end.

use anyhow::Context as _;
use clap::Subcommand;

use crate::app;
use crate::config::Config;

/// The most dead letters printed at once.
const LISTED_MAX: u32 = 1_000;

/// What to do with dead letters.
#[derive(Subcommand)]
pub enum DeadLetters {
    /// Lists them, the newest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(LISTED_MAX)))]
        limit: u32,
    },
}

/// Applies the migrations that are missing, or with `status` only tells.
pub async fn migrate(config: &Config, status: bool) -> anyhow::Result<()> {
    let store = app::open_store(config).await?;
    if !status {
        store.migrate().await?;
    }
    for migration in store.migration_status().await? {
        let state = match (migration.applied, migration.unknown) {
            (true, false) => "applied",
            (true, true) => "applied by a newer program",
            (false, _) => "missing",
        };
        println!(
            "{:04}  {state:<8}  {}",
            migration.version, migration.description
        );
    }
    store.close().await;
    Ok(())
}

pub async fn dead_letters(config: &Config, command: DeadLetters) -> anyhow::Result<()> {
    let store = app::open_store(config).await?;
    match command {
        DeadLetters::List { limit } => {
            let letters = store
                .dead_letters(None, limit)
                .await
                .context("cannot list dead letters")?;
            if letters.is_empty() {
                println!("no dead letters");
            }
            for letter in letters {
                println!(
                    "{}  {}  {}/{}@{}  {} bytes  {}",
                    letter.id,
                    letter.at,
                    letter.topic,
                    letter.partition,
                    letter.offset,
                    letter.size_bytes,
                    letter.error
                );
            }
        }
    }
    store.close().await;
    Ok(())
}
