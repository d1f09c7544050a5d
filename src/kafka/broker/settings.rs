//! How to connect to the brokers.

use std::fmt;
use std::sync::Arc;

/// Where the topic is, and how to connect to it.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// As `host:port`.
    pub brokers: Vec<String>,
    pub topic: String,
    /// How many partitions the topic gets if we create it.
    pub partitions: i32,
    /// Not encrypted without it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub sasl: Option<Sasl>,
}

/// How the client authenticates.
#[derive(Clone)]
pub struct Sasl {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as {}", self.mechanism, self.user)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}
