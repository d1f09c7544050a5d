//! Table `prices`: what a call of an account at a carrier is worth, and which worker adjusts it.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::{Key, Stamp};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "prices")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false, column_name = "budget")]
    pub account: String,
    pub whole: f64,
    /// 24 factors as JSON.
    pub by_hour: String,
    /// 3 factors as JSON.
    pub by_day: String,
    pub round: f64,
    /// 24 shares as JSON.
    pub shares: String,
    pub shares_day: i64,
    pub parcels: i64,
    pub counted_at: Stamp,
    pub adjusted_at: Stamp,
    pub refitted_at: Stamp,
    pub owner: Key,
    pub lease_until: Stamp,
    pub failing: i64,
    pub unanswered_since: Option<Stamp>,
    pub held_until: Option<Stamp>,
    pub made_by: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
