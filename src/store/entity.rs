//! The tables as sea-orm knows them: each file names and types a table's columns, once.
//!
//! `hazard_cells` and `hazard_leaves` have no entity: all that is done with them is adding up sets of rows by hand-written
//! statements.

pub mod account_login;
pub mod account_plan;
pub mod account_state;
pub mod act;
pub mod api_key;
pub mod call_error;
pub mod call_minute;
pub mod carrier_ticket;
pub mod dead_letter;
pub mod event;
pub mod member;
pub mod partition;
pub mod tenant;
pub mod tracking;

use sea_orm::{EntityTrait, IdenStatic as _, Iterable as _};

/// The columns of an entity as a hand-written statement lists them, each behind `prefix`.
pub fn columns<E: EntityTrait>(prefix: &str) -> String {
    let columns = E::Column::iter().map(|column| format!("{prefix}{}", column.as_str()));
    columns.collect::<Vec<_>>().join(", ")
}
