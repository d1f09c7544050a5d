//! Partitions: how far each has been applied, and who may apply more.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::clock::Time;
use crate::store::sql::Row;
use crate::store::{Store, StoreError};

/// The name of the one consumer group.
pub const GROUP: &str = "trackbox";

/// The right to apply one partition: valid until somebody else takes the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub topic: String,
    pub partition: i32,
    pub member: Uuid,
    /// Grows with every change of owner.
    pub epoch: i64,
}

/// How far a partition has been applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
    pub updated_at: Time,
}

impl Store {
    /// Takes a partition for `member` whoever held it before; answers the right to it and the offset to go on at.
    ///
    /// For a bus that only this process reads: nobody else's lease has to end first.
    pub async fn take_partition(
        &self,
        topic: &str,
        partition: i32,
        member: Uuid,
        now: Time,
    ) -> Result<(Ownership, i64), StoreError> {
        let sql = self
            .sql(
                "INSERT INTO consumer_partitions (group_name, topic, partition, next_offset, epoch, owner, updated_at) \
                 VALUES ($1, $2, $3, 0, 1, $4, $5) \
                 ON CONFLICT (group_name, topic, partition) DO UPDATE SET \
                 epoch = consumer_partitions.epoch + 1, owner = excluded.owner, updated_at = excluded.updated_at \
                 RETURNING epoch, next_offset",
            )
            .bind(GROUP)
            .bind(topic)
            .bind(partition)
            .bind_uuid(member)
            .bind_time(now);
        let row = self.writer.query_one_raw(sql.statement()).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt {
            table: "consumer_partitions",
            column: "epoch".to_owned(),
            reason: "the database answered no row".to_owned(),
        })?;
        let row = Row::new(&row, self.dialect, "consumer_partitions");
        let ownership = Ownership {
            topic: topic.to_owned(),
            partition,
            member,
            epoch: row.get("epoch")?,
        };
        Ok((ownership, row.get("next_offset")?))
    }

    /// How far the partitions of `topic` have been applied, by partition.
    pub async fn partition_states(&self, topic: &str) -> Result<Vec<PartitionState>, StoreError> {
        let sql = self
            .sql(
                "SELECT topic, partition, next_offset, updated_at FROM consumer_partitions \
                 WHERE group_name = $1 AND topic = $2 ORDER BY partition LIMIT 10000",
            )
            .bind(GROUP)
            .bind(topic);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        found
            .iter()
            .map(|row| {
                let row = Row::new(row, self.dialect, "consumer_partitions");
                Ok(PartitionState {
                    topic: row.get("topic")?,
                    partition: row.get("partition")?,
                    next_offset: row.get("next_offset")?,
                    updated_at: row.time("updated_at")?,
                })
            })
            .collect()
    }
}
