//! Table `api_keys`: the keys of tenants, without the keys themselves.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::Stamp;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub tenant_id: i32,
    pub name: String,
    pub hint: String,
    /// SHA-256 of the whole key.
    pub hash: Vec<u8>,
    pub scope: String,
    pub operator: bool,
    pub per_second: i32,
    pub created_at: Stamp,
    pub expires_at: Option<Stamp>,
    pub revoked_at: Option<Stamp>,
    pub last_used_at: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
