//! Table `trackings`: one number at one carrier that we follow.

use sea_orm::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait,
    EnumIter, PrimaryKeyTrait,
};

use crate::store::column::{Key, Stamp};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "trackings")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub carrier_code: String,
    pub track_number: String,
    pub status: String,
    pub sub_status: Option<String>,
    pub direction: String,
    pub status_raw: String,
    pub status_at: Option<Stamp>,
    pub heard: i16,
    pub status_checked_at: Option<Stamp>,
    pub status_check_id: Option<Key>,
    pub last_event_code: Option<String>,
    pub last_event_at: Option<Stamp>,
    pub last_ok_at: Option<Stamp>,
    pub last_checked_at: Option<Stamp>,
    pub last_check_id: Option<Key>,
    pub next_check_at: Stamp,
    pub check_fail_count: i32,
    pub last_error: String,
    /// 1: refreshed and not checked since.
    pub priority: i16,
    /// Whose share of the calls its checks take. Indexed: applying an update leaves it alone.
    pub payer: i16,
    pub refreshed_at: Option<Stamp>,
    pub active: bool,
    pub lease_until: Option<Stamp>,
    pub lease_id: Option<Key>,
    pub journey: i32,
    pub version: i64,
    pub created_at: Stamp,
    pub updated_at: Stamp,
    pub unreadable_events: i32,
    pub unreadable_example: String,
    /// The last status that was known; empty in rows of older programs: the same as `status`.
    pub stage: String,
    pub first_event_at: Option<Stamp>,
    /// Checked again although its status is terminal.
    pub looks_again: bool,
    /// JSON; empty if there are none.
    pub facts: String,
    /// The check that told them, if it is not the one that gave the status.
    pub facts_checked_at: Option<Stamp>,
    pub facts_check_id: Option<Key>,
    pub change_seq: i64,
    pub changed_at: Option<Stamp>,
    /// -1: created before there were owners.
    pub owners: i32,
    pub wanted: bool,
    pub hinted_at: Option<Stamp>,
    /// A JSON list; empty if no shop told anything.
    pub extras: String,
    pub extra_turn: i16,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
