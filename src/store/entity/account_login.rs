//! Table `account_logins`: what became of an account's log-ins with one set of credentials.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::Stamp;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "account_logins")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false, column_name = "budget")]
    pub account: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub credentials: String,
    pub refusals: i32,
    pub reason: String,
    pub not_before: Option<Stamp>,
    pub spent_until: Option<Stamp>,
    pub turn: i64,
    pub updated_at: Stamp,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
