//! Partitions: how far each has been applied, who may apply more, and which consumers live.
//!
//! Consumers share the partitions by leases. A lease decides only who may take a partition; that nobody applies twice
//! is the doing of the epoch and the offset, which every batch is checked against.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, QueryResult};
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
    /// The offset that its next record gets, as its owner last saw it.
    pub high_watermark: Option<i64>,
    /// Who applies it; nobody, where its last owner gave it back.
    pub owner: Option<Uuid>,
    pub lease_until: Option<Time>,
    pub updated_at: Time,
}

/// How long a member that does not say that it lives is remembered, for those that live to see it go.
const MEMBER_KEPT: TimeDelta = TimeDelta::minutes(1);

/// The most members and partitions read at once; more than a topic has.
const ROWS_MAX: i64 = 10_000;

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

    /// Says that `member` lives until `live_until`; answers all that live, in a fixed order.
    pub async fn keep_member(
        &self,
        member: Uuid,
        live_until: Time,
        now: Time,
    ) -> Result<Vec<Uuid>, StoreError> {
        let keep = self
            .sql(
                "INSERT INTO consumer_members (group_name, member, live_until) VALUES ($1, $2, $3) \
                 ON CONFLICT (group_name, member) DO UPDATE SET live_until = excluded.live_until",
            )
            .bind(GROUP)
            .bind_uuid(member)
            .bind_time(live_until);
        self.writer.execute_raw(keep.statement()).await?;
        let forget = self
            .sql("DELETE FROM consumer_members WHERE group_name = $1 AND live_until < $2")
            .bind(GROUP)
            .bind_time(now - MEMBER_KEPT);
        self.writer.execute_raw(forget.statement()).await?;
        let live = self
            .sql(
                "SELECT member FROM consumer_members WHERE group_name = $1 AND live_until >= $2 \
                 ORDER BY member LIMIT $3",
            )
            .bind(GROUP)
            .bind_time(now)
            .bind(ROWS_MAX);
        let found = self.writer.query_all_raw(live.statement()).await?;
        found
            .iter()
            .map(|row| {
                let row = Row::new(row, self.dialect, "consumer_members");
                row.opt_uuid("member")?
                    .ok_or_else(|| row.corrupt("member", "no value".to_owned()))
            })
            .collect()
    }

    /// Makes a row for each of `partitions` that has none yet, at the beginning of its log.
    pub async fn add_partitions(
        &self,
        topic: &str,
        partitions: &[i32],
        now: Time,
    ) -> Result<(), StoreError> {
        let set = self.set(partitions).column("partition", |p| *p);
        let from = set.from(4);
        let sql = format!(
            "INSERT INTO consumer_partitions (group_name, topic, partition, next_offset, updated_at) \
             SELECT $1, $2, u.partition, 0, $3 FROM {from} WHERE true \
             ON CONFLICT (group_name, topic, partition) DO NOTHING"
        );
        let sql = self
            .sql(sql)
            .bind(GROUP)
            .bind(topic)
            .bind_time(now)
            .bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Prolongs `member`'s leases on all partitions that it still owns, and keeps what it knows of their ends; answers
    /// the right to each and the offset to go on at.
    ///
    /// A lease that has ended is prolonged too where nobody else took the partition.
    pub async fn renew_partitions(
        &self,
        topic: &str,
        member: Uuid,
        ends: &[(i32, i64)],
        lease_until: Time,
    ) -> Result<Vec<(Ownership, i64)>, StoreError> {
        let set = self.set(ends);
        let set = set
            .column("partition", |end| end.0)
            .column("high_watermark", |end| end.1);
        let from = set.from(5);
        let sql = format!(
            "UPDATE consumer_partitions SET lease_until = $4, high_watermark = COALESCE((SELECT u.high_watermark \
             FROM {from} WHERE u.partition = consumer_partitions.partition), high_watermark) \
             WHERE group_name = $1 AND topic = $2 AND owner = $3 RETURNING partition, epoch, next_offset"
        );
        let sql = self
            .sql(sql)
            .bind(GROUP)
            .bind(topic)
            .bind_uuid(member)
            .bind_time(lease_until)
            .bind_set(set);
        let found = self.writer.query_all_raw(sql.statement()).await?;
        self.owned(&found, topic, member)
    }

    /// Takes up to `limit` of the first `count` partitions that nobody holds, until `lease_until`; answers the right to
    /// each and the offset to go on at.
    pub async fn acquire_partitions(
        &self,
        topic: &str,
        member: Uuid,
        limit: usize,
        count: usize,
        lease_until: Time,
        now: Time,
    ) -> Result<Vec<(Ownership, i64)>, StoreError> {
        let sql = format!(
            "WITH free AS MATERIALIZED (SELECT partition FROM consumer_partitions WHERE group_name = $1 AND topic = $2 \
             AND partition < $7 AND (owner IS NULL OR lease_until IS NULL OR lease_until < $5) \
             ORDER BY partition LIMIT $6 {}) \
             UPDATE consumer_partitions SET owner = $3, lease_until = $4, epoch = epoch + 1, updated_at = $5 \
             FROM free WHERE group_name = $1 AND topic = $2 AND consumer_partitions.partition = free.partition \
             RETURNING consumer_partitions.partition AS partition, epoch, next_offset",
            self.dialect.skip_locked()
        );
        let sql = self
            .sql(sql)
            .bind(GROUP)
            .bind(topic)
            .bind_uuid(member)
            .bind_time(lease_until)
            .bind_time(now)
            .bind(i64::try_from(limit).unwrap_or(ROWS_MAX))
            .bind(i32::try_from(count).unwrap_or(i32::MAX));
        let found = self.writer.query_all_raw(sql.statement()).await?;
        self.owned(&found, topic, member)
    }

    /// Gives partitions back, each only where `ownership` still holds: anyone may take them at once.
    pub async fn release_partitions(&self, owned: &[Ownership]) -> Result<(), StoreError> {
        let set = self
            .set(owned)
            .column("topic", |o| o.topic.clone())
            .column("partition", |o| o.partition)
            .column("owner", |o| o.member)
            .column("epoch", |o| o.epoch);
        let from = set.from(2);
        let sql = format!(
            "UPDATE consumer_partitions SET owner = NULL, lease_until = NULL FROM {from} \
             WHERE group_name = $1 AND consumer_partitions.topic = u.topic \
             AND consumer_partitions.partition = u.partition AND consumer_partitions.owner = u.owner \
             AND consumer_partitions.epoch = u.epoch"
        );
        let sql = self.sql(sql).bind(GROUP).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Takes `member` off the list of those that live.
    pub async fn leave(&self, member: Uuid) -> Result<(), StoreError> {
        let sql = self
            .sql("DELETE FROM consumer_members WHERE group_name = $1 AND member = $2")
            .bind(GROUP)
            .bind_uuid(member);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    fn owned(
        &self,
        found: &[QueryResult],
        topic: &str,
        member: Uuid,
    ) -> Result<Vec<(Ownership, i64)>, StoreError> {
        let mut owned = Vec::with_capacity(found.len());
        for row in found {
            let row = Row::new(row, self.dialect, "consumer_partitions");
            let ownership = Ownership {
                topic: topic.to_owned(),
                partition: row.get("partition")?,
                member,
                epoch: row.get("epoch")?,
            };
            owned.push((ownership, row.get("next_offset")?));
        }
        // RETURNING has no order.
        owned.sort_by_key(|(ownership, _)| ownership.partition);
        Ok(owned)
    }

    /// How far the partitions of `topic` have been applied, by partition.
    pub async fn partition_states(&self, topic: &str) -> Result<Vec<PartitionState>, StoreError> {
        let sql = self
            .sql(
                "SELECT topic, partition, next_offset, high_watermark, owner, lease_until, updated_at \
                 FROM consumer_partitions WHERE group_name = $1 AND topic = $2 ORDER BY partition LIMIT $3",
            )
            .bind(GROUP)
            .bind(topic)
            .bind(ROWS_MAX);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        found
            .iter()
            .map(|row| {
                let row = Row::new(row, self.dialect, "consumer_partitions");
                Ok(PartitionState {
                    topic: row.get("topic")?,
                    partition: row.get("partition")?,
                    next_offset: row.get("next_offset")?,
                    high_watermark: row.get("high_watermark")?,
                    owner: row.opt_uuid("owner")?,
                    lease_until: row.opt_time("lease_until")?,
                    updated_at: row.time("updated_at")?,
                })
            })
            .collect()
    }
}
