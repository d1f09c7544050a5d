//! What trackings are asked with, and what one of their shops told: whether it is shown all that the carrier said.

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::model::extra::{Extra, Extras, Wants};
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, Heard};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// What a tracking is asked with, beside what one of its shops told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    pub tracking_id: i64,
    pub carrier_code: CarrierCode,
    extras: Extras,
    told: Extra,
    heard: Heard,
}

impl Asking {
    /// Whether the carrier answered for what this shop told, which has to be something that the carrier makes something of.
    pub fn is_told(&self, wants: &Wants) -> bool {
        let told = self.told.only(&wants.uses);
        let asked = self.extras.clone().for_carrier(wants);
        self.heard == Heard::Seen && !told.is_empty() && asked.next() == Some(&told)
    }
}

impl Readable for Asking {
    const TABLE: &'static str = "trackings";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let code = CarrierCode::parse(get::<String>(row, "carrier_code")?);
        let extras = get::<String>(row, "extras")?;
        let extras = Extras::read(&extras, get(row, "extra_turn")?);
        let told = Extra::read(get::<Option<String>>(row, "extra")?.as_deref());
        Ok(Self {
            tracking_id: get(row, "id")?,
            carrier_code: code.map_err(|error| Unreadable::new("carrier_code", error))?,
            extras: extras.map_err(|error| Unreadable::new("extras", error))?,
            told: told.map_err(|error| Unreadable::new("extra", error))?,
            heard: Heard::from_rank(get(row, "heard")?),
        })
    }
}

impl Store {
    /// Of those of these trackings that are the tenant's, what they are asked with; in any order.
    pub async fn askings(&self, tenant: Tenant, ids: &[i64]) -> Result<Vec<Asking>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let set = self.set(ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT t.id, t.carrier_code, t.extras, t.extra_turn, t.heard, p.extra FROM {} \
             CROSS JOIN parcels AS p CROSS JOIN trackings AS t \
             WHERE p.tenant_id = :tenant AND p.tracking_id = u.row_id AND t.id = p.tracking_id",
            set.from()
        );
        let sql = self.sql(sql).bind("tenant", tenant.id()).bind_set(set);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }
}
