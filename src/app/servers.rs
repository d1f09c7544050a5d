//! The ports of a process: one for each of its roles.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpStream;

use crate::app::parts::Parts;
use crate::app::role::{Engine, Guarded, Role};
use crate::app::stages::Stage;
use crate::app::waiting;
use crate::config::Config;
use crate::kafka::Bus;
use crate::metrics::Metrics;
use crate::serving::access::{MAKE_A_KEY, Standing};
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;
use crate::serving::server::{Served, Server};

/// What else must answer on this machine before a process is ready.
#[derive(Clone, Debug)]
pub struct Needed {
    pub name: &'static str,
    pub address: SocketAddr,
    /// The lines that the process logs of it at the start.
    pub announcement: Vec<String>,
}

/// The ports of a process. Until they are opened they answer 503.
pub struct Servers {
    ports: Vec<Port>,
    flood: FloodGuard,
}

struct Port {
    role: &'static Role,
    address: SocketAddr,
    served: Served,
}

impl Servers {
    /// Takes all ports, so that one that is taken already is an error before anything else starts, and serves them until
    /// `stage` ends.
    ///
    /// # Errors
    /// If a port is taken; the message has the key that names it.
    pub async fn listen(
        config: &Config,
        roles: &[&'static Role],
        metrics: &Arc<Metrics>,
        stage: &mut Stage,
    ) -> anyhow::Result<Self> {
        let http = &config.http;
        let flood = FloodGuard::new(http);
        let mut ports = Vec::new();
        let mut servers = Vec::new();
        for role in roles {
            let router = waiting::router(http, metrics, role.guarded);
            let listen = (role.listen)(config);
            let server = Server::bind(listen, router, http, Arc::clone(metrics))
                .await
                .with_context(|| {
                    format!(
                        "{} does not work; set it in config.toml, or as a variable",
                        role.listen_key
                    )
                })?;
            ports.push(Port {
                role,
                address: server.address(),
                served: server.served(),
            });
            servers.push(server);
        }
        for server in servers {
            stage.spawn("http", |stop| server.run(stop));
        }
        let guard = flood.clone();
        stage.spawn("flood guard", |stop| async move {
            guard.run(stop).await;
            Ok(())
        });
        Ok(Self { ports, flood })
    }

    /// Answers every request from now on, and logs where everything is and who may come in.
    pub async fn open(&self, parts: &Parts, needed: Option<&Needed>) {
        for Port { role, served, .. } in &self.ports {
            let ready = ready_checks(parts, role, needed);
            served.set((role.router)(parts, ready, self.flood.clone()));
        }
        let config = &parts.config;
        tracing::info!("database   {}", config.store.url);
        for engine in Engine::ALL {
            if let Some(place) = engine.place(config) {
                tracing::info!("{:10} {place}", format!("{engine:?}"));
            }
        }
        for Port { role, address, .. } in &self.ports {
            let at = address.to_string();
            tracing::info!("{}", role.announcement.replace("{at}", &at));
        }
        for line in needed.iter().flat_map(|needed| &needed.announcement) {
            tracing::info!("{line}");
        }
        let guarded = |port: &&Port| port.role.guarded != Guarded::Nothing;
        for Port { role, .. } in self.ports.iter().filter(guarded) {
            announce_gate(parts, role).await;
        }
    }
}

/// Logs who may come in at a role's port.
async fn announce_gate(parts: &Parts, role: &Role) {
    let (key, listen) = (role.listen_key, (role.listen)(&parts.config));
    match parts.access.at(listen).standing().await {
        Ok(Standing::Keyed) => tracing::info!("keys       {key} answers only those who have one"),
        Ok(Standing::OpenHere) => tracing::warn!(
            "no key is needed at {key} = {listen}: every program of this machine may do everything there; {MAKE_A_KEY}"
        ),
        Ok(Standing::OpenToAll) => tracing::warn!(
            "http.open is set and there is no key: whoever reaches {key} = {listen} may do everything there; {MAKE_A_KEY}"
        ),
        Ok(Standing::Shut) => tracing::warn!(
            "other machines may reach {key} = {listen} and there is no key, so every request that needs one is refused: \
             {MAKE_A_KEY}, or set http.open = true"
        ),
        Err(error) => tracing::warn!("cannot tell whether {key} needs a key: {error:#}"),
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
