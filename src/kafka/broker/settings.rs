//! Where the brokers are, and how to get in.

use std::fmt;
use std::sync::Arc;

/// Where the topic is, and how to get in.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// As `host:port`.
    pub brokers: Vec<String>,
    pub topic: String,
    /// How many partitions the topic gets where it is created.
    pub partitions: i32,
    /// In the open without it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub sasl: Option<Sasl>,
}

/// How a client says who it is.
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
