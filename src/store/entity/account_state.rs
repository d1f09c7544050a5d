//! Table `carrier_state`: the pause, the failures and the calls of an account at a carrier.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::Stamp;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "carrier_state")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false, column_name = "budget")]
    pub account: String,
    pub paused_until: Option<Stamp>,
    pub pause_reason: String,
    pub fails: i32,
    pub day: i64,
    pub day_used: i64,
    pub updated_at: Stamp,
    pub tokens: f64,
    pub tokens_at: Option<Stamp>,
    pub refusals: i32,
    pub suspicion: String,
    pub suspects: i32,
    pub gate_until: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
