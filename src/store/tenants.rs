//! Tenants. The migrations make the default one; a tenant is never deleted, so its id is never given out again.

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, ExprTrait as _, FromQueryResult as _, QueryFilter as _,
    QueryOrder as _, QueryResult, QuerySelect as _, Set, TryInsertResult,
};

use crate::clock::Time;
use crate::model::act::{Act, Deed};
use crate::model::tenant::{Tenant, TenantCode, WEIGHT_MAX};
use crate::store::Store;
use crate::store::acts::note;
use crate::store::column::Stamp;
use crate::store::entity::tenant::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable};

/// A tenant's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRow {
    pub tenant: Tenant,
    pub code: TenantCode,
    pub name: String,
    /// The most parcels that it may have; `None` for no limit.
    pub parcels_max: Option<u32>,
    /// Its share of an account's calls beside the other tenants': from 1 to [`WEIGHT_MAX`].
    pub weight: u32,
    /// Since when its keys are refused; `None` if they are not.
    pub disabled_at: Option<Time>,
    pub created_at: Time,
}

/// What is to become of a tenant: what is not named stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantEdit {
    /// Whether its keys are refused.
    pub disabled: Option<bool>,
    /// The most parcels that it may have. It keeps those that it has beyond. `Some(None)`: no limit.
    pub parcels_max: Option<Option<u32>>,
    /// Its share of an account's calls, checked by [`weight`](crate::model::tenant::weight).
    pub weight: Option<u32>,
}

impl Store {
    /// Makes a tenant; `None` if there is one with this code. `by` is the key that asked for it.
    pub async fn create_tenant(
        &self,
        code: &TenantCode,
        name: &str,
        parcels_max: Option<u32>,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<TenantRow>, StoreError> {
        let transaction = self.begin().await?;
        let new = ActiveModel {
            code: Set(code.as_str().to_owned()),
            name: Set(name.to_owned()),
            parcels_max: Set(parcels_max.map(i64::from)),
            created_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        let inserted = Entity::insert(new)
            .on_conflict_do_nothing_on([Column::Code])
            .exec(&transaction)
            .await?;
        let TryInsertResult::Inserted(inserted) = inserted else {
            return Ok(None);
        };
        note(&transaction, &act(Deed::TenantCreated, code, by), now).await?;
        transaction.commit().await?;
        Ok(Some(TenantRow {
            tenant: Tenant::from_row(inserted.last_insert_id),
            code: code.clone(),
            name: name.to_owned(),
            parcels_max,
            weight: 1,
            disabled_at: None,
            created_at: now,
        }))
    }

    /// Changes a tenant; `None` if there is none with this code. Notes nothing of what was so already.
    pub async fn change_tenant(
        &self,
        code: &TenantCode,
        edit: TenantEdit,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<TenantRow>, StoreError> {
        let transaction = self.begin().await?;
        let mut changes = Vec::new();
        if let Some(max) = edit.parcels_max {
            let new = ActiveModel {
                parcels_max: Set(max.map(i64::from)),
                ..ActiveModel::default()
            };
            let other = match max {
                Some(max) => Column::ParcelsMax.is_null().or(Column::ParcelsMax.ne(max)),
                None => Column::ParcelsMax.is_not_null(),
            };
            changes.push((new, other, Deed::TenantLimited));
        }
        if let Some(weight) = edit.weight {
            let weight = i32::try_from(weight.clamp(1, WEIGHT_MAX)).unwrap_or(1);
            let new = ActiveModel {
                weight: Set(weight),
                ..ActiveModel::default()
            };
            changes.push((new, Column::Weight.ne(weight), Deed::TenantWeighted));
        }
        if let Some(is_disabled) = edit.disabled {
            let new = |since| ActiveModel {
                disabled_at: Set(since),
                ..ActiveModel::default()
            };
            changes.push(match is_disabled {
                true => (
                    new(Some(Stamp(now))),
                    Column::DisabledAt.is_null(),
                    Deed::TenantDisabled,
                ),
                false => (
                    new(None),
                    Column::DisabledAt.is_not_null(),
                    Deed::TenantEnabled,
                ),
            });
        }
        for (new, other, deed) in changes {
            let changed = Entity::update_many()
                .set(new)
                .filter(Column::Code.eq(code.as_str()))
                .filter(other)
                .exec(&transaction)
                .await?;
            if changed.rows_affected > 0 {
                note(&transaction, &act(deed, code, by), now).await?;
            }
        }
        transaction.commit().await?;
        self.tenant(code).await
    }

    pub async fn tenant(&self, code: &TenantCode) -> Result<Option<TenantRow>, StoreError> {
        let found = Entity::find().filter(Column::Code.eq(code.as_str()));
        Ok(self.find(found).await?.pop())
    }

    /// The tenants with an id above `after_id`, oldest first, at most `limit`.
    pub async fn tenants(
        &self,
        after_id: Option<i64>,
        limit: u32,
    ) -> Result<Vec<TenantRow>, StoreError> {
        let found = Entity::find()
            .filter(Column::Id.gt(after_id.unwrap_or(0)))
            .order_by_asc(Column::Id)
            .limit(u64::from(limit));
        self.find(found).await
    }
}

/// What an operator did to a tenant stands in the operators' own log.
fn act(deed: Deed, code: &TenantCode, by: Option<i64>) -> Act {
    Act {
        tenant: Tenant::DEFAULT,
        key: by,
        deed,
        object: format!("tenant {code}"),
        tracking: None,
    }
}

impl Readable for TenantRow {
    const TABLE: &'static str = "tenants";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            tenant: Tenant::from_row(row.id),
            code: TenantCode::parse(row.code).map_err(|error| Unreadable::new("code", error))?,
            name: row.name,
            parcels_max: row.parcels_max.map(|max| u32::try_from(max).unwrap_or(0)),
            weight: row.weight.unsigned_abs().clamp(1, WEIGHT_MAX),
            disabled_at: row.disabled_at.map(|at| at.0),
            created_at: row.created_at.0,
        })
    }
}
