//! The connection to Redis or Valkey, shared by the cache, the limiter and the tokens of a process.
//!
//! It connects in the background, and reconnects until it succeeds. A call has a deadline and is tried once. While
//! Redis is unreachable, calls fail at once.

#[cfg(test)]
pub mod fixture;
pub mod values;

use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{
    ClientLike as _, EventInterface as _, KeysInterface as _, PubsubInterface as _,
};
use fred::types::config::{Config, ReconnectPolicy, Server, TlsConfig, UnresponsiveConfig};
use fred::types::scripts::Script;
use fred::types::{Builder, ClusterHash, CustomCommand, Expiration, FromValue, Value};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::outage::Outage;

/// How long a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(1);

/// How long connecting may take, and the pause before the next attempt.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const RECONNECT_MS: u32 = 200;

/// The most commands that wait for a connection.
const WAITING_MAX: usize = 10_000;

/// How long Redis is not asked after a command failed.
const REST: Duration = Duration::from_millis(500);

/// How often a listener subscribes again.
const SUBSCRIBE_EVERY: Duration = Duration::from_secs(5);

/// How long the start waits for the first connection.
const START_MAX: Duration = Duration::from_secs(3);

/// Why Redis gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    #[error("{0}")]
    Url(String),
    #[error("cannot reach Redis: {0}")]
    Away(String),
}

/// A connection that keeps itself up.
pub struct Redis {
    client: Client,
    prefix: String,
    health: Mutex<Health>,
}

/// What is known of the connection's failures.
struct Health {
    outage: Outage,
    /// Until when Redis is not asked.
    rests_until: Option<Instant>,
    reconnected: Receiver<Server>,
    /// How often this process may have missed a change in Redis: once for each failure and each new connection.
    gaps: u64,
}

impl Redis {
    /// Connects to `url` (`redis://` or `rediss://`, with user, password and database). All keys begin with `prefix`.
    /// Waits [`START_MAX`] for the first connection; after that it keeps trying in the background.
    ///
    /// # Errors
    /// [`RedisError::Url`] if `url` is not a valid address. The error never contains the password.
    pub async fn connect(
        url: &str,
        tls: Option<rustls::ClientConfig>,
        prefix: &str,
    ) -> Result<Self, RedisError> {
        let mut config = Config::from_url(url)
            .map_err(|_| RedisError::Url("redis.url is not a valid address".to_owned()))?;
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
            health: Mutex::new(Health {
                outage: Outage::new("Redis"),
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

    /// Runs a script, and loads it first if the server does not have it.
    ///
    /// # Errors
    /// [`RedisError::Away`]. The script may still have run.
    pub async fn run<R: FromValue>(
        &self,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<Value>,
    ) -> Result<R, RedisError> {
        self.ask(script.evalsha_with_reload(&self.client, keys, arguments))
            .await
    }

    /// Sends an empty message to who listens to `channel` now.
    ///
    /// # Errors
    /// [`RedisError::Away`].
    pub async fn publish(&self, channel: &str) -> Result<(), RedisError> {
        self.ask(self.client.publish(channel, "")).await
    }

    /// Calls `heard` for each message on `channel`, and when some may have been missed, on a connection of its own. Never
    /// ends.
    pub async fn listen(&self, channel: &str, heard: impl Fn()) {
        let client = self.client.clone_new();
        let (mut messages, mut connections) = (client.message_rx(), client.reconnect_rx());
        drop(client.connect());
        // Subscribing again finds a connection that has died in silence.
        let mut again = tokio::time::interval(SUBSCRIBE_EVERY);
        loop {
            tokio::select! {
                message = messages.recv() => {
                    heard();
                    match message {
                        Err(RecvError::Closed) => tokio::time::sleep(SUBSCRIBE_EVERY).await,
                        Ok(_) | Err(RecvError::Lagged(_)) => continue,
                    }
                }
                connected = connections.recv() => {
                    heard();
                    if matches!(connected, Err(RecvError::Closed)) {
                        tokio::time::sleep(SUBSCRIBE_EVERY).await;
                    }
                }
                _ = again.tick() => {}
            }
            if client.is_connected() {
                // If it fails, the next try comes soon.
                drop(tokio::time::timeout(COMMAND_MAX, client.subscribe(channel)).await);
            }
        }
    }

    /// The server's time in s and µs, and then the values of `keys`, all of one moment.
    ///
    /// # Errors
    /// [`RedisError::Away`].
    pub async fn read(&self, keys: Vec<String>) -> Result<((u64, u64), Vec<Value>), RedisError> {
        let asking = async {
            let pipeline = self.client.pipeline();
            let time = CustomCommand::new_static("TIME", ClusterHash::FirstKey, false);
            let _: () = pipeline.custom(time, Vec::<Value>::new()).await?;
            let _: () = pipeline.mget(keys).await?;
            pipeline.all().await
        };
        self.ask(asking).await
    }

    /// Sets a key until `expires` has passed.
    ///
    /// # Errors
    /// [`RedisError::Away`]. The key may still be set.
    pub async fn set(
        &self,
        key: String,
        value: Value,
        expires: Duration,
    ) -> Result<(), RedisError> {
        let millis = i64::try_from(expires.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        let expires = Some(Expiration::PX(millis));
        self.ask(self.client.set(key, value, expires, None, false))
            .await
    }

    /// Waits for an answer, unless Redis failed a moment ago.
    async fn ask<R>(
        &self,
        asking: impl Future<Output = Result<R, fred::error::Error>>,
    ) -> Result<R, RedisError> {
        if let Some(until) = self.lock().rests_until
            && Instant::now() < until
        {
            return Err(RedisError::Away("it failed a moment ago".to_owned()));
        }
        if !self.client.is_connected() {
            return Err(self.failed("no connection"));
        }
        match tokio::time::timeout(COMMAND_MAX * 2, asking).await {
            Ok(Ok(answer)) => {
                let mut health = self.lock();
                health.rests_until = None;
                health.outage.over();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(error.details())),
            Err(_) => Err(self.failed("no answer in time")),
        }
    }

    /// How often this process may have missed what others did in Redis.
    pub fn gaps(&self) -> u64 {
        let mut health = self.lock();
        // A receiver that lags has missed connections, which counts as well.
        while !matches!(
            health.reconnected.try_recv(),
            Err(TryRecvError::Empty | TryRecvError::Closed)
        ) {
            health.gaps += 1;
        }
        health.gaps
    }

    /// Asks Redis for a sign of life.
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
            let error = error.details();
            tracing::debug!(error, "could not close the connection to Redis: {error}");
        }
    }

    fn failed(&self, reason: &str) -> RedisError {
        let mut health = self.lock();
        health.gaps += 1;
        health.rests_until = Some(Instant::now() + REST);
        health.outage.failed(reason);
        RedisError::Away(reason.to_owned())
    }

    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock()
    }
}
