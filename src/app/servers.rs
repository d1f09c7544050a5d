//! The ports of a process: one for each of its roles, and the demo's carriers.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trackbox_emulator::emulator::Emulator;

use crate::app::Role;
use crate::app::parts::Parts;
use crate::config::Config;
use crate::demo::Demo;
use crate::http::{self, Serve};
use crate::scheduler::ops::{self, Ops};
use crate::serving::flood::FloodGuard;
use crate::serving::health::{self, ReadyChecks};
use crate::serving::layers::{self, Kit};
use crate::serving::server::Server;

/// Bound ports, not yet served.
pub struct Servers {
    servers: Vec<(Role, Server)>,
    guard: FloodGuard,
    emulator: Option<(Emulator, TcpListener, SocketAddr)>,
    database: String,
    /// What else the processes meet in, and where it is.
    engines: Vec<(&'static str, String)>,
}

impl Servers {
    /// Takes all ports, so that a taken one is told of before anything starts.
    ///
    /// # Errors
    /// Where a port is taken: the key that names it is part of the message.
    pub async fn bind(
        parts: &Parts,
        roles: &[Role],
        emulator: Option<&Emulator>,
    ) -> anyhow::Result<Self> {
        let config = &parts.config;
        let emulator = match emulator {
            Some(emulator) => {
                let listen = config.demo.emulator_listen;
                let listener = TcpListener::bind(listen)
                    .await
                    .with_context(|| format!("cannot listen on {listen} (demo.emulator_listen)"))?;
                let address = listener.local_addr().context("a port has no address")?;
                Some((emulator.clone(), listener, address))
            }
            None => None,
        };
        let carriers = emulator.as_ref().map(|(_, _, address)| *address);
        let guard = FloodGuard::new(&config.http);
        let mut servers = Vec::new();
        for role in roles {
            let ready = ready_checks(parts, *role, carriers);
            let (key, listen, router) = match role {
                Role::Serve => (
                    "http.listen",
                    config.http.listen,
                    serve(parts, ready, guard.clone()),
                ),
                Role::Work => ("work.listen", config.work.listen, work(parts, ready)),
                Role::Consume => (
                    "consume.listen",
                    config.consume.listen,
                    consume(parts, ready),
                ),
            };
            let server = Server::bind(listen, router, &config.http)
                .await
                .with_context(|| {
                    format!("{key} does not work; set it in config.toml, or as a variable")
                })?;
            servers.push((*role, server));
        }
        Ok(Self {
            servers,
            guard,
            emulator,
            database: config.store.url.to_string(),
            engines: engines(config),
        })
    }

    /// Tells where everything is.
    pub fn announce(&self, demo: Option<&Demo>) {
        tracing::info!("database   {}", self.database);
        for (what, place) in &self.engines {
            tracing::info!("{what:10} {place}");
        }
        for (role, server) in &self.servers {
            let at = server.address();
            match role {
                Role::Serve => {
                    tracing::info!("API        http://{at}   try it at http://{at}/docs/")
                }
                Role::Work => tracing::info!("worker     http://{at}   /stats /config /metrics"),
                Role::Consume => tracing::info!("consumer   http://{at}   /readyz /metrics"),
            }
        }
        if let Some((_, _, at)) = &self.emulator {
            tracing::info!("carriers   http://{at}   emulated: /v1/admin/ledger /v1/admin/truth");
        }
        if let Some(demo) = demo {
            tracing::info!(
                "{} parcels are on their way; Ctrl-C ends the demo",
                demo.under_way()
            );
        }
    }

    /// Serves all ports until `stop`.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for (_, server) in self.servers {
            tasks.spawn(server.run(stop.clone()));
        }
        if let Some((emulator, listener, _)) = self.emulator {
            tasks.spawn(trackbox_emulator::serve::serve(
                emulator,
                listener,
                stop.clone(),
            ));
        }
        let guard = self.guard.run(stop);
        tasks.spawn(async move {
            guard.await;
            Ok(())
        });
        while let Some(ended) = tasks.join_next().await {
            ended.context("a port's server died")??;
        }
        Ok(())
    }
}

fn engines(config: &Config) -> Vec<(&'static str, String)> {
    let mut engines = Vec::new();
    if !config.kafka.brokers.is_empty() {
        let (topic, brokers) = (&config.kafka.topic, config.kafka.brokers.join(", "));
        engines.push(("Kafka", format!("{brokers}   topic {topic}")));
    }
    if !config.redis.url.is_empty() {
        engines.push(("Redis", config.redis.url.to_string()));
    }
    engines
}

/// What a role needs to do its work: its database, what it cannot do without, and in a demo its carriers.
fn ready_checks(parts: &Parts, role: Role, emulator: Option<SocketAddr>) -> ReadyChecks {
    let store = parts.store.clone();
    let mut checks = ReadyChecks::default().with("database", move || {
        let store = store.clone();
        async move { store.ping().await }
    });
    // The API answers without either: slower, and with what it has.
    if let (Some(redis), Role::Work) = (&parts.redis, role) {
        let redis = Arc::clone(redis);
        checks = checks.with("Redis", move || {
            let redis = Arc::clone(&redis);
            async move { redis.ping().await }
        });
    }
    if let (Some(bus), Role::Work | Role::Consume) = (&parts.bus, role)
        && bus.is_shared()
    {
        let bus = bus.clone();
        checks = checks.with("Kafka", move || {
            let bus = bus.clone();
            async move {
                anyhow::ensure!(bus.is_ready().await, "no broker answers");
                Ok(())
            }
        });
    }
    match emulator {
        None => checks,
        Some(address) => checks.with("emulator", move || async move {
            let connected = TcpStream::connect(address).await;
            connected.map(drop)
        }),
    }
}

fn serve(parts: &Parts, ready: ReadyChecks, guard: FloodGuard) -> Router {
    http::router::router(Serve {
        store: parts.store.clone(),
        learned: parts.learned.clone(),
        cache: parts.cache.clone(),
        clock: parts.clock.clone(),
        routes: Arc::clone(&parts.routes),
        metrics: Arc::clone(&parts.metrics),
        bus: parts.bus.clone(),
        ready,
        http: parts.config.http.clone(),
        flood: guard,
    })
}

fn work(parts: &Parts, ready: ReadyChecks) -> Router {
    ops::router(Ops {
        stats: Arc::clone(&parts.stats),
        trigger: Arc::clone(&parts.trigger),
        clock: parts.clock.clone(),
        config: Arc::clone(&parts.config),
        metrics: Arc::clone(&parts.metrics),
        ready,
    })
}

fn consume(parts: &Parts, ready: ReadyChecks) -> Router {
    let router = layers::with_fallbacks(health::router(ready, Arc::clone(&parts.metrics)));
    layers::wrap(
        router,
        Kit::new(&parts.config.http, Arc::clone(&parts.metrics)),
    )
}
