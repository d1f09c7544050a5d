//! The ports of a process: one for each of its roles.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::parts::Parts;
use crate::app::role::{Engine, Role};
use crate::kafka::Bus;
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;
use crate::serving::server::Server;

/// What else must answer on this machine before a process is ready.
#[derive(Clone, Debug)]
pub struct Needed {
    pub name: &'static str,
    pub address: SocketAddr,
    /// The lines that the process logs of it at the start.
    pub announcement: Vec<String>,
}

/// Bound ports, not yet served.
pub struct Servers {
    servers: Vec<(&'static Role, Server)>,
    flood: FloodGuard,
    /// What to log at the start of where the process finds things.
    places: Vec<String>,
    needed: Option<Needed>,
}

impl Servers {
    /// Takes all ports, so that one that is taken already is an error before anything starts.
    ///
    /// # Errors
    /// If a port is taken; the message has the key that names it.
    pub async fn bind(
        parts: &Parts,
        roles: &'static [&'static Role],
        needed: Option<Needed>,
    ) -> anyhow::Result<Self> {
        let config = &parts.config;
        let flood = FloodGuard::new(&config.http);
        let mut servers = Vec::new();
        for role in roles {
            let ready = ready_checks(parts, role, needed.as_ref());
            let router = (role.router)(parts, ready, flood.clone());
            let metrics = Arc::clone(&parts.metrics);
            let server = Server::bind((role.listen)(config), router, &config.http, metrics)
                .await
                .with_context(|| {
                    format!(
                        "{} does not work; set it in config.toml, or as a variable",
                        role.listen_key
                    )
                })?;
            servers.push((*role, server));
        }
        let engines = Engine::ALL.into_iter().filter_map(|engine| {
            let place = engine.place(config)?;
            Some(format!("{:10} {place}", format!("{engine:?}")))
        });
        let places = std::iter::once(format!("database   {}", config.store.url)).chain(engines);
        Ok(Self {
            servers,
            flood,
            places: places.collect(),
            needed,
        })
    }

    /// Logs where everything is.
    pub fn announce(&self) {
        for place in &self.places {
            tracing::info!("{place}");
        }
        for (role, server) in &self.servers {
            let at = server.address().to_string();
            tracing::info!("{}", role.announcement.replace("{at}", &at));
        }
        for line in self.needed.iter().flat_map(|needed| &needed.announcement) {
            tracing::info!("{line}");
        }
    }

    /// Serves all ports until `stop`.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for (_, server) in self.servers {
            tasks.spawn(server.run(stop.clone()));
        }
        let flood = self.flood.run(stop);
        tasks.spawn(async move {
            flood.await;
            Ok(())
        });
        while let Some(ended) = tasks.join_next().await {
            ended.context("a port's server died")??;
        }
        Ok(())
    }
}

/// What a role needs to do its work: the database, its engines, and what else the process needs.
fn ready_checks(parts: &Parts, role: &Role, needed: Option<&Needed>) -> ReadyChecks {
    let store = parts.store.clone();
    let mut checks = ReadyChecks::default().with("database", move || {
        let store = store.clone();
        async move { store.ping().await }
    });
    for engine in role.ready_with {
        checks = match engine {
            Engine::Redis => with_redis(checks, parts),
            Engine::Kafka => with_kafka(checks, parts),
        };
    }
    match needed {
        None => checks,
        Some(Needed { name, address, .. }) => {
            let address = *address;
            checks.with(name, move || async move {
                let connected = TcpStream::connect(address).await;
                connected.map(drop)
            })
        }
    }
}

fn with_redis(checks: ReadyChecks, parts: &Parts) -> ReadyChecks {
    let Some(redis) = parts.redis.clone() else {
        return checks;
    };
    checks.with("Redis", move || {
        let redis = Arc::clone(&redis);
        async move { redis.ping().await }
    })
}

fn with_kafka(checks: ReadyChecks, parts: &Parts) -> ReadyChecks {
    let Some(bus) = parts.bus.clone().filter(Bus::is_shared) else {
        return checks;
    };
    checks.with("Kafka", move || {
        let bus = bus.clone();
        async move {
            anyhow::ensure!(bus.is_ready().await, "no broker answers");
            Ok(())
        }
    })
}
