//! Table `tracking_events`: what carriers reported.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::{Key, Stamp};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tracking_events")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub tracking_id: i64,
    pub status: String,
    pub sub_status: Option<String>,
    pub status_raw: String,
    pub event_time: Stamp,
    pub location: String,
    pub message: String,
    pub payload_json: String,
    pub journey: i32,
    pub digest: Vec<u8>,
    pub mapping_version: i32,
    pub created_at: Stamp,
    /// What its own words mean; NULL in rows of older programs: the same as `status` and `sub_status`.
    pub own_status: Option<String>,
    pub own_sub_status: Option<String>,
    pub order_at: Option<Stamp>,
    /// NULL in rows of older programs: `created_at`.
    pub first_checked_at: Option<Stamp>,
    pub first_check_id: Option<Key>,
    pub place: i32,
    pub whole: bool,
    /// Hexadecimal names of events, separated by commas.
    pub beside: String,
    pub taken_back: bool,
    pub stated: bool,
    pub superseded: bool,
    pub superseded_at: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
