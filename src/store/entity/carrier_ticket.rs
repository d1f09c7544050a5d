//! Table `carrier_tickets`: what carriers took and answer later.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::{Key, Stamp};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "carrier_tickets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Key,
    #[sea_orm(column_name = "budget")]
    pub account: String,
    pub adapter: String,
    pub ticket: String,
    pub asked_at: Stamp,
    pub ask_at: Stamp,
    pub wait_ms: i64,
    pub ends_at: Stamp,
    pub tries: i32,
    pub fails: i32,
    pub lease_until: Option<Stamp>,
    pub lease_id: Option<Key>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
