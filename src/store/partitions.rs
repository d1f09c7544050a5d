//! Partitions: how far each has been applied, which consumer may apply more, and which consumers live.
//!
//! Consumers share the partitions by leases. A lease only decides who may take a partition. What keeps a record from being
//! applied twice is the epoch and the offset, which every batch is checked against.

use chrono::TimeDelta;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, Set,
};
use uuid::Uuid;

use crate::clock::Time;
use crate::store::Store;
use crate::store::column::{Key, Stamp};
use crate::store::entity::{member, partition};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// The name of the one consumer group.
pub const GROUP: &str = "trackbox";

/// The right to apply one partition: valid until another consumer takes the partition.
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
    /// The end of its log, as its owner last saw it: the offset that the next record gets.
    pub high_watermark: Option<i64>,
    /// The consumer that applies it; `None` after its last owner released it.
    pub owner: Option<Uuid>,
    pub lease_until: Option<Time>,
    pub updated_at: Time,
}

/// How long a member is kept after it should have sent a heartbeat.
const MEMBER_KEPT: TimeDelta = TimeDelta::minutes(1);

/// The most members and partitions read at once; more than a topic has.
const ROWS_MAX: u64 = 10_000;

impl Store {
    /// Takes a partition for `member`, even from a consumer whose lease has not ended; returns the right to it and the
    /// offset to continue at.
    ///
    /// For a bus that only this process reads: its lease need not be waited for.
    pub async fn take_partition(
        &self,
        topic: &str,
        partition: i32,
        member: Uuid,
        now: Time,
    ) -> Result<(Ownership, i64), StoreError> {
        use partition::Column;
        let taken = partition::ActiveModel {
            group_name: Set(GROUP.to_owned()),
            topic: Set(topic.to_owned()),
            partition: Set(partition),
            next_offset: Set(0),
            epoch: Set(1),
            owner: Set(Some(Key(member))),
            updated_at: Set(Stamp(now)),
            ..partition::ActiveModel::default()
        };
        let epoch = Expr::col((partition::Entity, Column::Epoch));
        let row = partition::Entity::insert(taken)
            .on_conflict(
                OnConflict::columns([Column::GroupName, Column::Topic, Column::Partition])
                    .update_columns([Column::Owner, Column::UpdatedAt])
                    .value(Column::Epoch, epoch.add(1))
                    .to_owned(),
            )
            .exec_with_returning(&self.writer)
            .await?;
        let ownership = Ownership {
            topic: topic.to_owned(),
            partition,
            member,
            epoch: row.epoch,
        };
        Ok((ownership, row.next_offset))
    }

    /// The heartbeat of `member`, which lives until `live_until`; returns all members that live, in a fixed order.
    pub async fn keep_member(
        &self,
        member: Uuid,
        live_until: Time,
        now: Time,
    ) -> Result<Vec<Uuid>, StoreError> {
        use member::Column;
        let living = member::ActiveModel {
            group_name: Set(GROUP.to_owned()),
            member: Set(Key(member)),
            live_until: Set(Stamp(live_until)),
        };
        member::Entity::insert(living)
            .on_conflict(
                OnConflict::columns([Column::GroupName, Column::Member])
                    .update_column(Column::LiveUntil)
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await?;
        member::Entity::delete_many()
            .filter(Column::GroupName.eq(GROUP))
            .filter(Column::LiveUntil.lt(Stamp(now - MEMBER_KEPT)))
            .exec(&self.writer)
            .await?;
        let members = member::Entity::find()
            .filter(Column::GroupName.eq(GROUP))
            .filter(Column::LiveUntil.gte(Stamp(now)))
            .order_by_asc(Column::Member)
            .limit(ROWS_MAX)
            .into_query();
        let found = self.writer.query_all(&members).await?;
        let members: Vec<Member> = self.rows.readable(&found);
        Ok(members.into_iter().map(|member| member.0).collect())
    }

    /// Adds those of `partitions` that are not there yet, at the beginning of their logs.
    pub async fn add_partitions(
        &self,
        topic: &str,
        partitions: &[i32],
        now: Time,
    ) -> Result<(), StoreError> {
        let set = self.set(partitions).column("partition", |p| *p);
        let sql = format!(
            "INSERT INTO consumer_partitions (group_name, topic, partition, next_offset, updated_at) \
             SELECT :group, :topic, u.partition, 0, :now FROM {} WHERE TRUE \
             ON CONFLICT (group_name, topic, partition) DO NOTHING",
            set.from()
        );
        let sql = self
            .sql(sql)
            .bind("group", GROUP)
            .bind("topic", topic)
            .bind("now", now)
            .bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Renews `member`'s leases on all partitions that it still owns, and stores `ends`, the ends of their logs; returns the
    /// right to each and the offset to continue at.
    ///
    /// A lease that has ended is renewed too, unless another consumer has taken the partition.
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
        let sql = format!(
            "UPDATE consumer_partitions SET lease_until = :lease_until, \
             high_watermark = COALESCE((SELECT u.high_watermark FROM {} \
                                        WHERE u.partition = consumer_partitions.partition), high_watermark) \
             WHERE group_name = :group AND topic = :topic AND owner = :member RETURNING partition, epoch, next_offset",
            set.from()
        );
        let sql = self
            .sql(sql)
            .bind("group", GROUP)
            .bind("topic", topic)
            .bind("member", member)
            .bind("lease_until", lease_until)
            .bind_set(set);
        let found = self.writer.query_all_raw(sql.statement()).await?;
        Ok(self.owned(&found, topic, member))
    }

    /// Takes up to `limit` of the first `count` partitions that no consumer holds, until `lease_until`; returns the right to
    /// each and the offset to continue at.
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
            "WITH free AS MATERIALIZED (\
               SELECT partition FROM consumer_partitions WHERE group_name = :group AND topic = :topic \
               AND partition < :count AND (owner IS NULL OR lease_until IS NULL OR lease_until < :now) \
               ORDER BY partition LIMIT :limit {}) \
             UPDATE consumer_partitions \
             SET owner = :member, lease_until = :lease_until, epoch = epoch + 1, updated_at = :now \
             FROM free WHERE group_name = :group AND topic = :topic AND consumer_partitions.partition = free.partition \
             RETURNING consumer_partitions.partition AS partition, epoch, next_offset",
            self.dialect.skip_locked()
        );
        let sql = self
            .sql(sql)
            .bind("group", GROUP)
            .bind("topic", topic)
            .bind("member", member)
            .bind("lease_until", lease_until)
            .bind("now", now)
            .bind("limit", i64::try_from(limit).unwrap_or(i64::MAX))
            .bind("count", i32::try_from(count).unwrap_or(i32::MAX));
        let found = self.writer.query_all_raw(sql.statement()).await?;
        Ok(self.owned(&found, topic, member))
    }

    /// Releases the partitions of `owned` that still have this owner: any consumer may take them at once.
    pub async fn release_partitions(&self, owned: &[Ownership]) -> Result<(), StoreError> {
        let set = self
            .set(owned)
            .column("topic", |o| o.topic.clone())
            .column("partition", |o| o.partition)
            .column("owner", |o| o.member)
            .column("epoch", |o| o.epoch);
        let sql = format!(
            "UPDATE consumer_partitions SET owner = NULL, lease_until = NULL FROM {} \
             WHERE group_name = :group AND consumer_partitions.topic = u.topic \
             AND consumer_partitions.partition = u.partition AND consumer_partitions.owner = u.owner \
             AND consumer_partitions.epoch = u.epoch",
            set.from()
        );
        let sql = self.sql(sql).bind("group", GROUP).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Removes `member` from those that live.
    pub async fn leave(&self, member: Uuid) -> Result<(), StoreError> {
        let key = (GROUP.to_owned(), Key(member));
        member::Entity::delete_by_id(key).exec(&self.writer).await?;
        Ok(())
    }

    /// How far the partitions of `topic` have been applied, by partition.
    pub async fn partition_states(&self, topic: &str) -> Result<Vec<PartitionState>, StoreError> {
        use partition::Column;
        let states = partition::Entity::find()
            .filter(Column::GroupName.eq(GROUP))
            .filter(Column::Topic.eq(topic))
            .order_by_asc(Column::Partition)
            .limit(ROWS_MAX);
        self.find(states).await
    }

    fn owned(&self, found: &[QueryResult], topic: &str, member: Uuid) -> Vec<(Ownership, i64)> {
        let owned: Vec<Owned> = self.rows.readable(found);
        let owned = owned.into_iter().map(|row| {
            let ownership = Ownership {
                topic: topic.to_owned(),
                partition: row.partition,
                member,
                epoch: row.epoch,
            };
            (ownership, row.next_offset)
        });
        let mut owned: Vec<_> = owned.collect();
        // RETURNING has no order.
        owned.sort_by_key(|(ownership, _)| ownership.partition);
        owned
    }
}

const TABLE: &str = "consumer_partitions";

/// What the statements that take partitions return.
struct Owned {
    partition: i32,
    epoch: i64,
    next_offset: i64,
}

impl Readable for Owned {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "partition";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            partition: get(row, "partition")?,
            epoch: get(row, "epoch")?,
            next_offset: get(row, "next_offset")?,
        })
    }
}

struct Member(Uuid);

impl Readable for Member {
    const TABLE: &'static str = "consumer_members";
    const KEY: &'static str = "member";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self(get::<Key>(row, "member")?.0))
    }
}

impl Readable for PartitionState {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "partition";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = partition::Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            topic: row.topic,
            partition: row.partition,
            next_offset: row.next_offset,
            high_watermark: row.high_watermark,
            owner: row.owner.map(|id| id.0),
            lease_until: row.lease_until.map(|at| at.0),
            updated_at: row.updated_at.0,
        })
    }
}
