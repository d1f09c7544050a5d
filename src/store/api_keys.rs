//! API keys. A row has the hash of a key, never the key. Rows stay when a key is revoked.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, Set,
};

use crate::clock::Time;
use crate::model::act::{Act, Deed};
use crate::model::key::{ApiKey, KeyHash};
use crate::model::tenant::{Scope, Tenant, TenantCode};
use crate::store::Store;
use crate::store::acts::note;
use crate::store::column::Stamp;
use crate::store::entity::api_key::{ActiveModel, Column, Entity, Model};
use crate::store::entity::columns;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable, get};

/// The most keys of one tenant that are not revoked.
pub const LIVE_KEYS_MAX: u64 = 1_000;

/// A key to be added.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub tenant: Tenant,
    pub key: ApiKey,
    pub name: String,
    pub scope: Scope,
    pub is_operator: bool,
    /// The most requests a second; 0: no limit of its own.
    pub per_second: u16,
    pub expires_at: Option<Time>,
}

/// A key's row, without its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub id: i64,
    pub tenant: Tenant,
    pub name: String,
    /// Its first characters.
    pub hint: String,
    pub scope: Scope,
    pub is_operator: bool,
    /// The most requests a second; 0: no limit of its own.
    pub per_second: u16,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
    /// To the minute.
    pub last_used_at: Option<Time>,
}

/// A key's row, and what there is to know of its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    pub row: KeyRow,
    pub tenant_code: TenantCode,
    pub tenant_is_disabled: bool,
    /// Whether there is no other tenant.
    pub tenant_is_alone: bool,
}

impl Store {
    /// Adds a key; `None` if its tenant has [`LIVE_KEYS_MAX`] already. `by` is the key that asked for it.
    ///
    /// From the first one on, [`Store::had_a_key`] is true for good.
    pub async fn add_key(
        &self,
        new: &NewKey,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<KeyRow>, StoreError> {
        let transaction = self.begin().await?;
        let live = Entity::find()
            .filter(Column::TenantId.eq(new.tenant.id()))
            .filter(Column::RevokedAt.is_null())
            .count(&transaction)
            .await?;
        if live >= LIVE_KEYS_MAX {
            return Ok(None);
        }
        let row = ActiveModel {
            tenant_id: Set(new.tenant.id()),
            name: Set(new.name.clone()),
            hint: Set(new.key.hint().to_owned()),
            hash: Set(new.key.hash().to_vec()),
            scope: Set(new.scope.to_string()),
            operator: Set(new.is_operator),
            per_second: Set(new.per_second.into()),
            created_at: Set(Stamp(now)),
            expires_at: Set(new.expires_at.map(Stamp)),
            ..ActiveModel::default()
        };
        let added = Entity::insert(row).exec(&transaction).await?;
        let first = self
            .sql("INSERT INTO first_key (id, at) VALUES (1, :now) ON CONFLICT DO NOTHING")
            .bind("now", now);
        transaction.execute_raw(first.statement()).await?;
        let row = KeyRow {
            id: added.last_insert_id,
            tenant: new.tenant,
            name: new.name.clone(),
            hint: new.key.hint().to_owned(),
            scope: new.scope,
            is_operator: new.is_operator,
            per_second: new.per_second,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        note(&transaction, &act(Deed::KeyCreated, &row, by), now).await?;
        transaction.commit().await?;
        Ok(Some(row))
    }

    /// Whether there ever was a key. Once true, it stays so, even if all rows of keys are deleted.
    pub async fn had_a_key(&self) -> Result<bool, StoreError> {
        let sql = self.sql("SELECT id FROM first_key WHERE id = 1");
        let found = self.reader.query_one_raw(sql.statement()).await?;
        Ok(found.is_some())
    }

    /// The key with this hash, revoked or not.
    pub async fn key_by_hash(&self, hash: &KeyHash) -> Result<Option<FoundKey>, StoreError> {
        let sql = self
            .sql(format!(
                "SELECT {}, t.code AS tenant_code, t.disabled_at, \
                 (SELECT COUNT(*) FROM tenants) AS tenants FROM api_keys AS k JOIN tenants AS t ON t.id = k.tenant_id \
                 WHERE k.hash = :hash",
                columns::<Entity>("k.")
            ))
            .bind("hash", hash.to_vec());
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.answer(&found)?.pop())
    }

    /// The tenant's keys with an id below `before_id`, newest first, at most `limit`; also those that are revoked.
    pub async fn keys(
        &self,
        tenant: Tenant,
        before_id: Option<i64>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let keys = Entity::find()
            .filter(Column::TenantId.eq(tenant.id()))
            .filter(Column::Id.lt(before_id.unwrap_or(i64::MAX)))
            .order_by_desc(Column::Id)
            .limit(u64::from(limit));
        self.find(keys).await
    }

    /// Revokes a key for good; `None` if the tenant has none with this id. One that is revoked already stays as it is.
    pub async fn revoke_key(
        &self,
        tenant: Tenant,
        id: i64,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<KeyRow>, StoreError> {
        let revoked = ActiveModel {
            revoked_at: Set(Some(Stamp(now))),
            ..ActiveModel::default()
        };
        self.change_key((tenant, id), revoked, Deed::KeyRevoked, by, now)
            .await
    }

    /// Sets when a key expires, or with `None` that it does not; `None` if the tenant has none with this id. A revoked one
    /// stays as it is.
    pub async fn set_key_expiry(
        &self,
        tenant: Tenant,
        id: i64,
        expires_at: Option<Time>,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<KeyRow>, StoreError> {
        let changed = ActiveModel {
            expires_at: Set(expires_at.map(Stamp)),
            ..ActiveModel::default()
        };
        self.change_key((tenant, id), changed, Deed::KeyChanged, by, now)
            .await
    }

    /// Changes a key that is not revoked, and notes the act; returns its row.
    async fn change_key(
        &self,
        (tenant, id): (Tenant, i64),
        change: ActiveModel,
        deed: Deed,
        by: Option<i64>,
        now: Time,
    ) -> Result<Option<KeyRow>, StoreError> {
        let transaction = self.begin().await?;
        let changed = Entity::update_many()
            .set(change)
            .filter(Column::TenantId.eq(tenant.id()))
            .filter(Column::Id.eq(id))
            .filter(Column::RevokedAt.is_null())
            .exec(&transaction)
            .await?;
        let row = self.key_in(&transaction, tenant, id).await?;
        if let Some(row) = &row
            && changed.rows_affected > 0
        {
            note(&transaction, &act(deed, row, by), now).await?;
        }
        transaction.commit().await?;
        Ok(row)
    }

    async fn key_in(
        &self,
        transaction: &Transaction,
        tenant: Tenant,
        id: i64,
    ) -> Result<Option<KeyRow>, StoreError> {
        use sea_orm::QueryTrait as _;
        let select = Entity::find_by_id(id).filter(Column::TenantId.eq(tenant.id()));
        let found = transaction.query_all(&select.into_query()).await?;
        Ok(self.rows.answer(&found)?.pop())
    }

    /// Notes when keys were used last. A later time that is there already stays.
    pub async fn note_key_uses(&self, uses: &[(i64, Time)]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let set = self
            .set(uses)
            .column("row_id", |(id, _)| *id)
            .column("used_at", |(_, at)| *at);
        let sql = format!(
            "UPDATE api_keys SET last_used_at = u.used_at FROM {} WHERE api_keys.id = u.row_id \
             AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at < u.used_at)",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

/// What is done to a key stands in the log of its tenant.
fn act(deed: Deed, row: &KeyRow, by: Option<i64>) -> Act {
    Act {
        tenant: row.tenant,
        key: by,
        deed,
        object: format!("key {}", row.id),
        tracking: None,
    }
}

impl Readable for KeyRow {
    const TABLE: &'static str = "api_keys";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            id: row.id,
            tenant: Tenant::from_row(row.tenant_id),
            name: row.name,
            hint: row.hint,
            scope: row
                .scope
                .parse()
                .map_err(|error| Unreadable::new("scope", error))?,
            is_operator: row.operator,
            per_second: u16::try_from(row.per_second)
                .map_err(|error| Unreadable::new("per_second", error))?,
            created_at: row.created_at.0,
            expires_at: row.expires_at.map(|at| at.0),
            revoked_at: row.revoked_at.map(|at| at.0),
            last_used_at: row.last_used_at.map(|at| at.0),
        })
    }
}

impl Readable for FoundKey {
    const TABLE: &'static str = KeyRow::TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let disabled_at: Option<Stamp> = get(row, "disabled_at")?;
        let tenant_code = TenantCode::parse(get::<String>(row, "tenant_code")?);
        Ok(Self {
            row: KeyRow::read(row)?,
            tenant_code: tenant_code.map_err(|error| Unreadable::new("tenant_code", error))?,
            tenant_is_disabled: disabled_at.is_some(),
            tenant_is_alone: get::<i64>(row, "tenants")? == 1,
        })
    }
}
