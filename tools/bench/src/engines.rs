//! PostgreSQL, Kafka and Redis as `tools/services` starts them, and databases of a run's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr as _;

use anyhow::Context as _;
use fred::prelude::{Builder, Client, ClientLike as _, Config};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tempfile::TempDir;
use uuid::Uuid;

use crate::trackbox::Settings;

const POSTGRES: &str = "TRACKBOX_TEST_POSTGRES";
const REDIS: &str = "TRACKBOX_TEST_REDIS";
const KAFKA: &str = "TRACKBOX_TEST_KAFKA";
const KAFKA_LIBS: &str = "TRACKBOX_TEST_KAFKA_LIBS";

fn address(variable: &str) -> anyhow::Result<String> {
    std::env::var(variable).with_context(|| {
        format!("{variable} names no server: run this through tools/services, which starts one")
    })
}

pub fn brokers() -> anyhow::Result<Vec<String>> {
    Ok(address(KAFKA)?.split(',').map(str::to_owned).collect())
}

pub fn redis_url() -> anyhow::Result<String> {
    address(REDIS)
}

pub async fn redis(url: &str) -> anyhow::Result<Client> {
    let client = Builder::from_config(Config::from_url(url)?).build()?;
    client.init().await?;
    Ok(client)
}

/// The versions of SQLite, and of the engines that there are.
pub async fn versions() -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut versions = BTreeMap::new();
    let mut sqlite = SqliteConnectOptions::from_str("sqlite::memory:")?
        .connect()
        .await?;
    let version = sqlx::query("SELECT sqlite_version()")
        .fetch_one(&mut sqlite)
        .await?;
    versions.insert("SQLite", version.get(0));
    if let Ok(server) = address(POSTGRES) {
        let mut connection = connect(&server, "postgres").await?;
        let version = sqlx::query("SHOW server_version")
            .fetch_one(&mut connection)
            .await?;
        versions.insert("PostgreSQL", version.get(0));
    }
    if let Ok(url) = address(REDIS) {
        let told: String = redis(&url).await?.info(None).await?;
        let mut lines = told.lines();
        let version = lines.find_map(|line| line.strip_prefix("redis_version:"));
        versions.insert("Redis", version.unwrap_or_default().to_owned());
    }
    // The broker does not tell, but its jars are kept by their version.
    if let Ok(folder) = address(KAFKA_LIBS) {
        let version = Path::new(&folder).file_name().unwrap_or_default();
        versions.insert("Kafka", version.to_string_lossy().into_owned());
    }
    Ok(versions)
}

async fn connect(server: &str, database: &str) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(&format!("{server}/{database}"))?;
    Ok(PgConnection::connect_with(&options).await?)
}

/// A database and a topic that only one run uses, in a folder of its own.
pub struct Place {
    pub folder: TempDir,
    pub url: String,
    pub topic: String,
    is_shared: bool,
}

impl Place {
    /// SQLite, and no engines.
    pub fn embedded() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            url: format!("sqlite://{}/bench.db", folder.path().display()),
            folder,
            topic: String::new(),
            is_shared: false,
        })
    }

    /// A new database on PostgreSQL, a new topic, and an emptied Redis.
    pub async fn engines() -> anyhow::Result<Self> {
        let server = address(POSTGRES)?;
        brokers()?;
        redis(&redis_url()?).await?.flushall::<()>(false).await?;
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let mut admin = connect(&server, "postgres").await?;
        // The name is ours.
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut admin).await?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            url: format!("{server}/{name}"),
            topic: name,
            is_shared: true,
        })
    }

    /// Whether it is on PostgreSQL, Kafka and Redis.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// What every `trackbox` of this place is told.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = vec![
            ("STORE__URL", self.url.clone()),
            ("HTTP__FLOOD_PER_SECOND", "1000000".to_owned()),
            ("HTTP__FLOOD_BURST", "1000000".to_owned()),
            ("HTTP__REFRESHES_PER_MINUTE", "1000000".to_owned()),
        ];
        if self.is_shared {
            settings.push(("KAFKA__BROKERS", address(KAFKA)?));
            settings.push(("KAFKA__TOPIC", self.topic.clone()));
            settings.push(("REDIS__URL", redis_url()?));
        }
        Ok(settings)
    }

    pub async fn postgres(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// Drops the database; the topic stays, since a run's engines are thrown away.
    pub async fn drop(self) -> anyhow::Result<()> {
        if self.is_shared {
            let mut admin = connect(&address(POSTGRES)?, "postgres").await?;
            let drop = AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.topic));
            sqlx::query(drop).execute(&mut admin).await?;
        }
        Ok(())
    }
}
