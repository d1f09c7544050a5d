//! Commands that do one thing and end.

pub mod ask;
pub mod carriers;
pub mod keys;
pub mod replay;
pub mod reread;
pub mod tenants;
pub mod topic;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;

use crate::app::ROLES;
use crate::app::parts::{Wanted, kafka_bus, open_database};
use crate::app::role::Role;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::keys::KEY_VARIABLE;

/// The most dead letters printed at once.
const LISTED_MAX: u32 = 1_000;

/// How long each process may take to answer whether it is ready.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a retry may take.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

/// What to do with dead letters.
#[derive(Subcommand)]
pub enum DeadLetters {
    /// Lists them, the newest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(LISTED_MAX)))]
        limit: u32,
    },
    /// Makes a running TrackBox publish one again, after you have removed the cause of its failure.
    Retry {
        /// Its number in the list.
        id: i64,
        /// The URL of that TrackBox's API. Without it, http.listen of the configuration is used.
        #[arg(long, value_name = "URL")]
        api: Option<String>,
        /// An operator's key, if that TrackBox needs one.
        #[arg(long, env = KEY_VARIABLE, hide_env_values = true)]
        key: Option<String>,
    },
}

/// Asks the process of `role` on this machine whether it is ready; without a role, the first process that answers.
///
/// # Errors
/// If nothing answers at the role's configured address, or the process there is not ready.
pub async fn health(config: &Config, role: Option<&'static Role>) -> anyhow::Result<()> {
    let asked = role.map_or(ROLES.to_vec(), |role| vec![role]);
    let mut silent = Vec::new();
    for role in asked {
        let (key, listen) = (role.listen_key, (role.listen)(config));
        ensure!(
            listen.port() != 0,
            "{key} has port 0, so its address cannot be known: give it a fixed port"
        );
        match readiness(listen).await {
            Some(Ok(())) => {
                println!("ready");
                return Ok(());
            }
            Some(Err(missing)) => bail!("{missing}"),
            None => silent.push(format!("{} ({key})", listen)),
        }
    }
    bail!("nothing answers at {}", silent.join(", "))
}

/// What `/readyz` answers at an address; `None` if nothing answers.
async fn readiness(mut listen: SocketAddr) -> Option<Result<(), String>> {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let client = reqwest::Client::builder()
        .timeout(HEALTH_TIMEOUT)
        .build()
        .ok()?;
    let answer = client
        .get(format!("http://{listen}/readyz"))
        .send()
        .await
        .ok()?;
    if answer.status().is_success() {
        return Some(Ok(()));
    }
    let problem: serde_json::Value = answer.json().await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("not ready");
    Some(Err(detail.to_owned()))
}

/// Prints how far the consumers are behind the topic, by partition. Reads no record of the topic.
///
/// # Errors
/// If the bus is inside a process, or Kafka or the database cannot be reached.
pub async fn lag(config: &Config) -> anyhow::Result<()> {
    ensure!(
        !config.kafka.brokers.is_empty(),
        "kafka.brokers is empty: the topic is inside the running process, whose /metrics tell its lag \
         (trackbox_consumer_lag)"
    );
    let store = open_database(config, Wanted::BY_A_COMMAND).await?.store();
    let bus = kafka_bus(config, &Clock::system())?;
    let ends = bus.ends().await.context("cannot read the topic's ends")?;
    let states = store
        .partition_states(bus.topic())
        .await
        .context("cannot read the offsets")?;
    let now = store.time().await.context("cannot ask for the time")?;
    let mut total = 0;
    println!(
        "{:>9} {:>12} {:>12} {:>9}  applied by",
        "partition", "applied to", "end", "lag"
    );
    for (partition, end) in ends {
        let state = states.iter().find(|state| state.partition == partition);
        let next = state.map_or(0, |state| state.next_offset);
        let owner = state
            .filter(|state| state.lease_until.is_some_and(|until| until >= now))
            .and_then(|state| state.owner)
            .map_or_else(|| "nobody".to_owned(), |owner| owner.to_string());
        let lag = (end - next).max(0);
        total += lag;
        println!("{partition:>9} {next:>12} {end:>12} {lag:>9}  {owner}");
    }
    println!("{total} records of {} are not yet applied", bus.topic());
    store.close().await;
    Ok(())
}

/// Applies the missing migrations, or with `status` only shows them.
pub async fn migrate(config: &Config, status: bool) -> anyhow::Result<()> {
    let store = open_database(config, Wanted::BY_A_COMMAND).await?.store();
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
    match command {
        DeadLetters::List { limit } => list(config, limit).await,
        DeadLetters::Retry { id, api, key } => {
            let api = api.unwrap_or_else(|| format!("http://{}", config.http.listen));
            retry(&api, key.as_deref(), id).await
        }
    }
}

async fn list(config: &Config, limit: u32) -> anyhow::Result<()> {
    let store = open_database(config, Wanted::BY_A_COMMAND).await?.store();
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
    store.close().await;
    Ok(())
}

/// Asks the running process to publish the letter, since the bus may be inside that process.
async fn retry(api: &str, key: Option<&str>, id: i64) -> anyhow::Result<()> {
    let url = format!("{}/dead-letters/{id}/retry", api.trim_end_matches('/'));
    let client = reqwest::Client::builder()
        .timeout(RETRY_TIMEOUT)
        .build()
        .context("cannot make an HTTP client")?;
    let mut request = client.post(&url);
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.with_context(|| {
        format!("no TrackBox answers at {api}; start it, or name another with --api")
    })?;
    let status = answer.status();
    if status.is_success() {
        println!("dead letter {id} was published again");
        return Ok(());
    }
    let problem: serde_json::Value = answer.json().await.unwrap_or_default();
    bail!(
        "dead letter {id} was not published: {}",
        problem["detail"].as_str().unwrap_or(status.as_str())
    )
}
