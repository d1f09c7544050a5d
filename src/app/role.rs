//! What a role is. Each role says it of itself in a file of its own; [`crate::app::ROLES`] lists them.

use std::net::SocketAddr;

use axum::Router;

use crate::app::parts::{Parts, Wanted};
use crate::app::stages::Stages;
use crate::config::Config;
use crate::serving::flood::FloodGuard;
use crate::serving::health::ReadyChecks;

/// What a role is, and how a process runs it.
#[derive(Debug)]
pub struct Role {
    /// The subcommand.
    pub name: &'static str,
    /// What `trackbox --help` says of the subcommand.
    pub about: &'static str,
    /// The configuration key of its port.
    pub listen_key: &'static str,
    pub listen: fn(&Config) -> SocketAddr,
    pub guarded: Guarded,
    /// How many connections to PostgreSQL it opens if the configuration gives no number.
    pub connections: u32,
    /// Why it cannot run in a process of its own without Kafka and Redis; `None` if it can.
    pub needs_engines: Option<&'static str>,
    /// What must answer before it is ready, besides the database.
    pub ready_with: &'static [Engine],
    /// What its process logs at the start; `{at}` stands for the address of its port.
    pub announcement: &'static str,
    pub router: fn(&Parts, ReadyChecks, FloodGuard) -> Router,
    /// Spawns what it does besides answering on its port.
    pub start: fn(&Parts, &mut Stages) -> anyhow::Result<()>,
}

/// What needs a key at a role's port. Health never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    Nothing,
    /// All but the figures.
    Operations,
    All,
}

/// How many connections to PostgreSQL a process opens at most if the configuration gives no number.
const CONNECTIONS_MAX: u32 = 20;

/// What a process that runs `roles` wants of its parts.
pub fn wanted(roles: &[&Role]) -> Wanted {
    let connections: u32 = roles.iter().map(|role| role.connections).sum();
    Wanted {
        connections: connections.min(CONNECTIONS_MAX),
        in_process: roles.len() > 1,
    }
}

/// What processes meet in besides the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Kafka,
    Redis,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Kafka, Self::Redis];

    /// The configuration key that says where it is.
    pub fn key(self) -> &'static str {
        match self {
            Self::Kafka => "kafka.brokers",
            Self::Redis => "redis.url",
        }
    }

    /// Where it is, for people; `None` if it is not configured.
    pub fn place(self, config: &Config) -> Option<String> {
        match self {
            Self::Kafka if config.kafka.brokers.is_empty() => None,
            Self::Kafka => {
                let (topic, brokers) = (&config.kafka.topic, config.kafka.brokers.join(", "));
                Some(format!("{brokers}   topic {topic}"))
            }
            Self::Redis if config.redis.url.is_empty() => None,
            Self::Redis => Some(config.redis.url.to_string()),
        }
    }
}
