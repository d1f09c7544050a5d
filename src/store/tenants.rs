//! Tenants. The migrations make the default one; a tenant is never deleted, so its id is never given out again.

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, FromQueryResult as _, QueryFilter as _, QueryOrder as _,
    QueryResult, QuerySelect as _, Set, TryInsertResult,
};

use crate::clock::Time;
use crate::model::act::{Act, Deed};
use crate::model::tenant::{Tenant, TenantCode};
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
    /// Since when its keys are refused; `None` if they are not.
    pub disabled_at: Option<Time>,
    pub created_at: Time,
}

impl Store {
    /// Makes a tenant; `None` if there is one with this code. `by` is the key that asked for it.
    pub async fn create_tenant(
        &self,
        code: &TenantCode,
        name: &str,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<TenantRow>, StoreError> {
        let transaction = self.begin().await?;
        let new = ActiveModel {
            code: Set(code.as_str().to_owned()),
            name: Set(name.to_owned()),
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
            disabled_at: None,
            created_at: now,
        }))
    }

    /// Disables a tenant, so that its keys are refused, or enables it again; `None` if there is none with this code. Notes
    /// nothing if it was so already.
    pub async fn set_tenant_disabled(
        &self,
        code: &TenantCode,
        is_disabled: bool,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<TenantRow>, StoreError> {
        let transaction = self.begin().await?;
        let (deed, since, of_others) = if is_disabled {
            (
                Deed::TenantDisabled,
                Some(Stamp(now)),
                Column::DisabledAt.is_null(),
            )
        } else {
            (Deed::TenantEnabled, None, Column::DisabledAt.is_not_null())
        };
        let changed = Entity::update_many()
            .set(ActiveModel {
                disabled_at: Set(since),
                ..ActiveModel::default()
            })
            .filter(Column::Code.eq(code.as_str()))
            .filter(of_others)
            .exec(&transaction)
            .await?;
        if changed.rows_affected > 0 {
            note(&transaction, &act(deed, code, by), now).await?;
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
            disabled_at: row.disabled_at.map(|at| at.0),
            created_at: row.created_at.0,
        })
    }
}
