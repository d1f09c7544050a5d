//! What is measured. Each subject measures TrackBox and its limit in turn.

mod bare;
mod create;
mod decide;
mod get;
mod latency;
mod limit;
mod memory;
mod pinned;
mod pipeline;
mod publish;
mod reads;
mod scale;

pub use bare::Bare;

use crate::Options;
use crate::report::Line;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Subject {
    /// Checks a second on SQLite in one process, beside the statements alone
    Embedded,
    /// Checks a second of serve, work and consume on PostgreSQL, Kafka and Redis, beside the sum of the parts alone
    Engines,
    /// Checks a second with 2 and 4 work and consume, beside 1 of each on the same cores
    Replicas,
    /// get-by-ids of 100 cached parcels, beside a bare handler that answers the same
    Get,
    /// Creating in POSTs of 10,000, beside COPY (PostgreSQL) and prepared inserts (SQLite)
    Create,
    /// How long until a new parcel's status is visible, beside one call, one record and one commit
    Latency,
    /// Memory, the time to be ready, the size of the program
    Memory,
    /// Listing events and refreshing, beside the bare SQL
    Reads,
    /// The store's statements on large tables, beside themselves on small ones
    Scale,
    /// Publishing few and many records, beside a round trip over the loopback
    Publish,
    /// What deciding on the next check costs
    Decide,
}

impl Subject {
    pub const ALL: [Self; 11] = [
        Self::Embedded,
        Self::Engines,
        Self::Replicas,
        Self::Get,
        Self::Create,
        Self::Latency,
        Self::Memory,
        Self::Reads,
        Self::Scale,
        Self::Publish,
        Self::Decide,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Engines => "engines",
            Self::Replicas => "replicas",
            Self::Get => "get",
            Self::Create => "create",
            Self::Latency => "latency",
            Self::Memory => "memory",
            Self::Reads => "reads",
            Self::Scale => "scale",
            Self::Publish => "publish",
            Self::Decide => "decide",
        }
    }

    pub async fn measure(self, options: &Options) -> anyhow::Result<Vec<Line>> {
        let mut lines = match self {
            Self::Embedded => pipeline::embedded(options).await,
            Self::Engines => pipeline::engines(options).await,
            Self::Replicas => pipeline::replicas(options).await,
            Self::Get => get::measure(options).await,
            Self::Create => create::measure(options).await,
            Self::Latency => latency::measure(options).await,
            Self::Memory => memory::measure(options).await,
            Self::Reads => reads::measure(options).await,
            Self::Scale => scale::measure(options).await,
            Self::Publish => publish::measure(options).await,
            Self::Decide => Ok(decide::measure(options)),
        }?;
        for line in &mut lines {
            line.subject = self.name();
        }
        Ok(lines)
    }
}
