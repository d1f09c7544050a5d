//! The most parcels that a tenant may have.

use sea_orm::FromQueryResult;

use crate::model::tenant::Tenant;
use crate::store::Store;
use crate::store::acting::TooMuch;
use crate::store::error::StoreError;
use crate::store::native::Transaction;

/// A tenant has more parcels than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub(super) struct TooMany {
    pub parcels_max: i64,
    /// All that it has, archived ones too, with what the transaction adds.
    pub parcels: i64,
}

impl TooMany {
    /// How many of the `new` parcels of the transaction still fit.
    pub fn room(&self, new: usize) -> usize {
        usize::try_from(self.parcels_max - self.before(new)).unwrap_or(0)
    }

    /// Why one that does not fit is refused.
    pub fn refusal(&self, new: usize) -> TooMuch {
        let (max, before) = (self.parcels_max, self.before(new));
        let detail = format!(
            "your shop may have at most {max} parcels and has {before}, archived ones included: remove some with \
             DELETE /trackings/{{trackingId}}, or ask who runs this installation for more"
        );
        ("", detail)
    }

    fn before(&self, new: usize) -> i64 {
        self.parcels - new as i64
    }
}

impl Store {
    /// Whether the tenant has too many parcels with what the transaction adds.
    ///
    /// Ask when the counts are written: the tenant's head is locked by then, so no other transaction of the tenant can add
    /// parcels before this one ends, and what others added before is counted.
    pub(super) async fn too_many(
        &self,
        transaction: &Transaction,
        tenant: Tenant,
    ) -> Result<Option<TooMany>, StoreError> {
        let sql = "SELECT t.parcels_max, c.parcels FROM tenants AS t CROSS JOIN (SELECT CAST(SUM(n) AS BIGINT) AS parcels \
                   FROM parcel_counts WHERE tenant_id = :tenant) AS c WHERE t.id = :tenant AND c.parcels > t.parcels_max";
        let sql = self.sql(sql).bind("tenant", tenant.id());
        let found = TooMany::find_by_statement(sql.statement());
        Ok(found.one(transaction).await?)
    }
}
