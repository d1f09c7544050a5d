//! Table `tracking_events`: what carriers reported.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::Stamp;

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
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
