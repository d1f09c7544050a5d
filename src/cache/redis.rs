//! The connection to Redis or Valkey, shared by the cache and the limiter of a process.
//!
//! It connects in the background and again for as long as it takes. A call has a deadline and is tried once; while Redis
//! is away, calls fail at once.

#[cfg(test)]
pub mod fixture;
pub mod values;

use parking_lot::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{ClientLike as _, EventInterface as _};
use fred::types::config::{Config, ReconnectPolicy, Server, TlsConfig, UnresponsiveConfig};
use fred::types::scripts::Script;
use fred::types::{Builder, FromValue, Value};
use tokio::sync::broadcast::Receiver;

use crate::outage::Outage;

/// How long a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(1);

/// How long connecting may take, and how long until the next try.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const RECONNECT_MS: u32 = 200;

/// The most commands that wait for a connection.
const WAITING_MAX: usize = 10_000;

/// How long nothing is asked after a command failed.
const REST: Duration = Duration::from_millis(500);

/// How long the start waits for the first connection.
const START_MAX: Duration = Duration::from_secs(3);

/// Why Redis gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    #[error("{0}")]
    Url(String),
    #[error("Redis is away: {0}")]
    Away(String),
}

/// A connection that looks after itself.
pub struct Redis {
    client: Client,
    prefix: String,
    state: Mutex<State>,
}

struct State {
    outage: Outage,
    /// Until when nothing is asked.
    rests_until: Option<Instant>,
    reconnected: Receiver<Server>,
    /// How often the connection may have missed something: each failure and each new connection counts.
    gaps: u64,
}

impl Redis {
    /// Begins to connect to `url` (`redis://` or `rediss://`, with user, password and database); all keys begin with
    /// `prefix`. Waits a few seconds for the first connection and then goes on without.
    ///
    /// # Errors
    /// [`RedisError::Url`] where the address cannot be one; it never holds the password.
    pub async fn connect(
        url: &str,
        tls: Option<rustls::ClientConfig>,
        prefix: &str,
    ) -> Result<Self, RedisError> {
        let mut config = Config::from_url(url)
            .map_err(|_| RedisError::Url("redis.url is no readable address".to_owned()))?;
        config.fail_fast = false;
        if let (Some(tls), true) = (tls, config.tls.is_some()) {
            config.tls = Some(TlsConfig::from(tls));
        }
        let client = Builder::from_config(config)
            .with_performance_config(|performance| {
                performance.default_command_timeout = COMMAND_MAX;
            })
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT_MAX;
                connection.internal_command_timeout = CONNECT_MAX;
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = WAITING_MAX;
                connection.unresponsive = UnresponsiveConfig {
                    max_timeout: Some(CONNECT_MAX),
                    interval: COMMAND_MAX / 2,
                };
                connection.tcp.nodelay = Some(true);
            })
            .set_policy(ReconnectPolicy::new_constant(0, RECONNECT_MS))
            .build()
            .map_err(|error| RedisError::Url(format!("redis.url: {}", error.details())))?;
        let redis = Self {
            state: Mutex::new(State {
                outage: Outage::new("the cache and the limiter in Redis"),
                rests_until: None,
                reconnected: client.reconnect_rx(),
                gaps: 0,
            }),
            client,
            prefix: prefix.to_owned(),
        };
        // Runs for as long as the client lives.
        drop(redis.client.connect());
        let connected = tokio::time::timeout(START_MAX, redis.client.wait_for_connect()).await;
        if !matches!(connected, Ok(Ok(()))) {
            redis.failed("no connection yet");
        }
        Ok(redis)
    }

    /// The full name of a key.
    pub fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs a script, loading it where the server does not know it yet.
    ///
    /// # Errors
    /// [`RedisError::Away`]; the script may have run all the same.
    pub async fn run<R: FromValue>(
        &self,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<Value>,
    ) -> Result<R, RedisError> {
        if let Some(until) = self.lock().rests_until
            && Instant::now() < until
        {
            return Err(RedisError::Away("it failed a moment ago".to_owned()));
        }
        if !self.client.is_connected() {
            return Err(self.failed("no connection"));
        }
        let running = script.evalsha_with_reload(&self.client, keys, arguments);
        match tokio::time::timeout(COMMAND_MAX * 2, running).await {
            Ok(Ok(answer)) => {
                let mut state = self.lock();
                state.rests_until = None;
                state.outage.over();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(error.details())),
            Err(_) => Err(self.failed("no answer in time")),
        }
    }

    /// A number that grows whenever this process may have missed what others did in Redis.
    pub fn gaps(&self) -> u64 {
        let mut state = self.lock();
        // Also where so many connections were made that the receiver lags.
        while !matches!(
            state.reconnected.try_recv(),
            Err(tokio::sync::broadcast::error::TryRecvError::Empty
                | tokio::sync::broadcast::error::TryRecvError::Closed)
        ) {
            state.gaps += 1;
        }
        state.gaps
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// [`RedisError::Away`].
    pub async fn ping(&self) -> Result<(), RedisError> {
        if !self.client.is_connected() {
            return Err(RedisError::Away("no connection".to_owned()));
        }
        let pong = tokio::time::timeout(COMMAND_MAX, self.client.ping::<String>(None)).await;
        match pong {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(RedisError::Away(error.details().to_owned())),
            Err(_) => Err(RedisError::Away("no answer in time".to_owned())),
        }
    }

    /// Ends the connection.
    pub async fn close(&self) {
        if let Ok(Err(error)) = tokio::time::timeout(COMMAND_MAX, self.client.quit()).await {
            tracing::debug!(
                "the connection to Redis ended by itself: {}",
                error.details()
            );
        }
    }

    fn failed(&self, reason: &str) -> RedisError {
        let mut state = self.lock();
        state.gaps += 1;
        state.rests_until = Some(Instant::now() + REST);
        state.outage.failed(reason);
        RedisError::Away(reason.to_owned())
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
