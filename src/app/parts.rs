//! What the roles are made of: opened, connected and put together as the configuration says.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Notify;

use crate::app::upkeep::set_clock;
use crate::cache::Cache;
use crate::cache::bell::Bell;
use crate::cache::limiter::RateLimiter;
use crate::cache::limiter::memory::MemoryLimiter;
use crate::cache::limiter::redis::RedisLimiter;
use crate::cache::memory::MemoryCache;
use crate::cache::redis::Redis;
use crate::cache::redis::values::RedisCache;
use crate::cache::tokens::Tokens;
use crate::carriers::routes::Routes;
use crate::clock::Clock;
use crate::config::{Config, KafkaSasl, KafkaSecurity, Work};
use crate::current::Current;
use crate::feed::Feed;
use crate::kafka::Bus;
use crate::kafka::broker::Broker;
use crate::kafka::broker::settings::{BrokerSettings, Mechanism, Sasl};
use crate::kafka::memory::{self, MemoryBus};
use crate::learned::Learned;
use crate::metrics::Metrics;
use crate::plan::cadence::Cadence;
use crate::scheduler::archiving::Archiving;
use crate::scheduler::ops::Stats;
use crate::scheduler::pricing::{Pricer, PricerParts};
use crate::serving::access::Access;
use crate::store::archive_place::ArchivePlace;
use crate::store::{Connections, Store, WholeStore};
use crate::tls;

/// How many connections to PostgreSQL an archive in a database of its own needs: its writer makes one statement at a time.
const ARCHIVE_CONNECTIONS: u32 = 2;

/// Everything the roles are made of, connected.
#[derive(Clone)]
pub struct Parts {
    pub config: Arc<Config>,
    pub store: Store,
    /// The keys of those who call this process.
    pub access: Access,
    pub bus: Option<Bus>,
    pub current: Current,
    pub limiter: RateLimiter,
    /// The accounts' tokens.
    pub tokens: Arc<Tokens>,
    /// Where cache, limiter and tokens live, if that is Redis.
    pub redis: Option<Arc<Redis>>,
    pub routes: Arc<Routes>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub stats: Arc<Stats>,
    pub trigger: Arc<Notify>,
    /// Wakes those who wait for changes.
    pub feed: Feed,
    /// What wakes the worker when a parcel becomes due at once.
    pub bell: Bell,
    pub learned: Learned,
    /// Adjusts the price of a call, in a worker.
    pub pricer: Arc<Pricer>,
    /// The answers that are to be archived, and where to.
    pub archiving: Arc<Archiving>,
    pub archive: ArchivePlace,
}

/// What a process wants of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Connections to PostgreSQL if the configuration gives no number.
    pub connections: u32,
    /// Whether bus and cache may live in the process: they are of use only if it runs more than one role.
    pub in_process: bool,
}

impl Wanted {
    /// For a command that runs no role.
    pub const BY_A_COMMAND: Self = Self {
        connections: 2,
        in_process: false,
    };
}

/// Opens the configured database.
pub async fn open_database(config: &Config, wanted: Wanted) -> anyhow::Result<WholeStore> {
    let postgres = match config.store.connections {
        0 => wanted.connections,
        connections => connections,
    };
    let connections = Connections {
        readers: config.store.readers,
        postgres,
        statement_timeout: config.store.statement_timeout.get(),
        ca_file: ca_file(config).map(Path::to_owned),
    };
    let database = WholeStore::open(config.store.url.expose(), connections)
        .await
        .with_context(|| format!("cannot open the database at {}", config.store.url))?;
    Ok(database.learning_by(Routes::new(config)?.sections()))
}

/// The database of the archive: its own if `archive.url` names one, else that of the parcels.
pub fn archive(config: &Config, parcels: &Store) -> ArchivePlace {
    let url = &config.archive.url;
    if url.is_empty() {
        return ArchivePlace::here(parcels.clone());
    }
    let connections = Connections {
        readers: 1,
        postgres: ARCHIVE_CONNECTIONS,
        statement_timeout: config.store.statement_timeout.get(),
        ca_file: ca_file(config).map(Path::to_owned),
    };
    ArchivePlace::apart(url.expose(), connections)
}

/// The file of certificates to trust besides the machine's own.
pub fn ca_file(config: &Config) -> Option<&Path> {
    (!config.tls.ca_file.is_empty()).then(|| Path::new(&config.tls.ca_file))
}

/// Connects what the roles need, migrates the database, and sets `clock` by it.
///
/// # Errors
/// One that holds a [`crate::store::error::StoreError`] if the database is the cause.
pub async fn connect(
    config: &Config,
    wanted: Wanted,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Parts> {
    let routes = Arc::new(Routes::new(config)?);
    let database = open_database(config, wanted).await?;
    let store = database.store();
    store.migrate().await?;
    set_clock(&store, &clock).await?;
    let bus = if !config.kafka.brokers.is_empty() {
        Some(kafka_bus(config, &clock)?)
    } else if wanted.in_process {
        Some(memory_bus(config, &store, &clock).await?)
    } else {
        None
    };
    let redis = redis(config).await?;
    let ttl = config.cache.ttl.get();
    let cache = match &redis {
        Some(redis) => Cache::Redis(Arc::new(RedisCache::new(Arc::clone(redis), ttl))),
        None if wanted.in_process => {
            Cache::Memory(Arc::new(MemoryCache::new(config.cache.entries_max, ttl)))
        }
        None => Cache::None,
    };
    let limiter = match &redis {
        Some(redis) => {
            let limiter = RedisLimiter::new(Arc::clone(redis), clock.clone());
            RateLimiter::Redis(Arc::new(limiter))
        }
        None => RateLimiter::Memory(Arc::new(MemoryLimiter::new(clock.clone()))),
    };
    let trigger = Arc::new(Notify::new());
    let bell = Bell::new(Arc::clone(&trigger), redis.clone());
    let current = Current::new(database, cache, Arc::clone(&metrics)).with_bell(bell.clone());
    // The last step of the migrations, since it needs the cache: it must not serve what is folded away.
    Box::pin(current.fold_twins(clock.now())).await?;
    let learned = Learned::new(store.clone());
    let pricer = Pricer::new(PricerParts {
        store: store.clone(),
        learned: learned.clone(),
        routes: Arc::clone(&routes),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        cadence: cadence(&config.work),
    });
    let access = Access::new(
        store.clone(),
        clock.clone(),
        Arc::clone(&metrics),
        &config.http,
    );
    let names = config.facts.in_messages;
    let archiving = Archiving::new(config.archive.enabled, names, Arc::clone(&metrics));
    Ok(Parts {
        archiving: Arc::new(archiving),
        archive: archive(config, &store),
        limiter,
        tokens: Arc::new(Tokens::new(redis.clone())),
        redis,
        metrics,
        learned,
        pricer: Arc::new(pricer),
        stats: Arc::new(Stats::new(clock.now())),
        trigger,
        feed: Feed::default(),
        bell,
        config: Arc::new(config.clone()),
        access,
        store,
        bus,
        current,
        routes,
        clock,
    })
}

/// The topic on Kafka, whose brokers are asked when a role needs them.
pub fn kafka_bus(config: &Config, clock: &Clock) -> anyhow::Result<Bus> {
    let kafka = &config.kafka;
    let tls = match kafka.security {
        KafkaSecurity::Plaintext => None,
        KafkaSecurity::Tls => Some(Arc::new(tls::client_config(&config.tls.ca_file)?)),
    };
    let mechanism = match kafka.sasl {
        KafkaSasl::None => None,
        KafkaSasl::Plain => Some(Mechanism::Plain),
        KafkaSasl::ScramSha256 => Some(Mechanism::ScramSha256),
        KafkaSasl::ScramSha512 => Some(Mechanism::ScramSha512),
    };
    let settings = BrokerSettings {
        brokers: kafka.brokers.clone(),
        topic: kafka.topic.clone(),
        partitions: i32::try_from(kafka.partitions).unwrap_or(i32::MAX),
        tls,
        sasl: mechanism.map(|mechanism| Sasl {
            mechanism,
            user: kafka.user.clone(),
            password: kafka.password.expose().to_owned(),
        }),
    };
    let broker = Broker::new(settings, clock.clone());
    Ok(Bus::Kafka(Arc::new(broker)))
}

/// The connection to Redis, if one is configured. Until Redis answers, carriers with a limit wait.
async fn redis(config: &Config) -> anyhow::Result<Option<Arc<Redis>>> {
    let url = &config.redis.url;
    if url.is_empty() {
        return Ok(None);
    }
    let tls = if url.expose().starts_with("rediss:") {
        Some(tls::client_config(&config.tls.ca_file)?)
    } else {
        None
    };
    let redis = Redis::connect(url.expose(), tls, "trackbox:").await?;
    Ok(Some(Arc::new(redis)))
}

/// The in-process bus, which continues at the offsets in the store.
async fn memory_bus(config: &Config, store: &Store, clock: &Clock) -> anyhow::Result<Bus> {
    let states = store
        .partition_states(memory::TOPIC)
        .await
        .context("cannot read the offsets")?;
    let offsets: Vec<i64> = (0..memory::PARTITIONS)
        .map(|partition| {
            let state = states.iter().find(|state| state.partition == partition);
            state.map_or(0, |state| state.next_offset)
        })
        .collect();
    let bus = MemoryBus::new(clock.clone(), &offsets, config.kafka.in_process_bytes_max);
    Ok(Bus::Memory(Arc::new(bus)))
}

/// The fixed rules of when to check again.
pub fn cadence(work: &Work) -> Cadence {
    Cadence {
        in_transit_min: work.next_check_in_transit_min.get(),
        in_transit_max: work.next_check_in_transit_max.get(),
        unknown: work.next_check_unknown.get(),
        backoff: work.backoff.iter().map(|span| span.get()).collect(),
        after_delivery: work.after_delivery.iter().map(|span| span.get()).collect(),
        old_history: work.old_history.get(),
    }
}
