//! The log of acts: what people did, by tenant, for 90 days.

use chrono::TimeDelta;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult as _, QueryFilter as _,
    QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, Set,
};

use crate::clock::Time;
use crate::model::act::{Act, NotedAct};
use crate::model::tenant::Tenant;
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::entity::act::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable};

/// How long an act is kept.
pub const ACTS_KEPT: TimeDelta = TimeDelta::days(90);

/// The most acts deleted in one statement.
const PRUNED_MAX: i64 = 10_000;

impl Store {
    /// Notes an act that is done already. One that the store does itself is noted in the same transaction.
    pub async fn note_act(&self, act: &Act, now: Time) -> Result<(), StoreError> {
        note(&self.writer, act, now).await
    }

    /// Notes many acts that are done already, in one statement.
    pub async fn note_acts(&self, acts: &[Act], now: Time) -> Result<(), StoreError> {
        if acts.is_empty() {
            return Ok(());
        }
        let set = self
            .set(acts)
            .column("tenant_id", |act| act.tenant.id())
            .nullable("key_id", |act| act.key)
            .column("act", |act| act.deed.to_string())
            .column("object", |act| act.object.clone())
            .nullable("tracking_id", |act| act.tracking);
        let sql = format!(
            "INSERT INTO acts ({}, at) SELECT {}, :now FROM {} WHERE TRUE ORDER BY u.nth",
            set.names(""),
            set.names("u."),
            set.from()
        );
        let sql = self.sql(sql).bind("now", now).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// The newest acts in the tenant's log with an id below `before_id`, at most `limit`; with `tracking` only those on this
    /// parcel.
    pub async fn acts(
        &self,
        tenant: Tenant,
        tracking: Option<i64>,
        before_id: Option<i64>,
        limit: u32,
    ) -> Result<Vec<NotedAct>, StoreError> {
        let acts = Entity::find()
            .filter(Column::TenantId.eq(tenant.id()))
            .apply_if(tracking, |acts, id| acts.filter(Column::TrackingId.eq(id)))
            .filter(Column::Id.lt(before_id.unwrap_or(i64::MAX)))
            .order_by_desc(Column::Id)
            .limit(u64::from(limit));
        self.find(acts).await
    }

    /// Deletes acts older than [`ACTS_KEPT`], 10,000 at most; returns how many.
    pub async fn prune_acts(&self, now: Time) -> Result<u64, StoreError> {
        let sql = self
            .sql("DELETE FROM acts WHERE id IN (SELECT id FROM acts WHERE at < :expired ORDER BY at LIMIT :pruned)")
            .bind("expired", now - ACTS_KEPT)
            .bind("pruned", PRUNED_MAX);
        let deleted = self.writer.execute_raw(sql.statement()).await?;
        Ok(deleted.rows_affected())
    }
}

/// Notes an act on this connection, which may be the transaction that does it.
pub(super) async fn note(
    connection: &impl ConnectionTrait,
    act: &Act,
    now: Time,
) -> Result<(), StoreError> {
    let noted = ActiveModel {
        at: Set(Stamp(now)),
        tenant_id: Set(act.tenant.id()),
        key_id: Set(act.key),
        act: Set(act.deed.to_string()),
        object: Set(act.object.clone()),
        tracking_id: Set(act.tracking),
        ..ActiveModel::default()
    };
    Entity::insert(noted)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

impl Readable for NotedAct {
    const TABLE: &'static str = "acts";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            id: row.id,
            at: row.at.0,
            key: row.key_id,
            deed: row.act,
            object: row.object,
            tracking: row.tracking_id,
        })
    }
}
