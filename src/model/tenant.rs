//! Tenants: shops that share an installation and its carriers' budgets, without seeing each other's parcels.

use serde::Serialize;

/// A tenant, as its row's id. Every method of the store on parcels takes one first.
///
/// It is made from what a verified key belongs to, never from anything in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(i32);

impl Tenant {
    /// Who everything belongs to while there are no keys. The migrations make it.
    pub const DEFAULT: Self = Self(1);

    /// The tenant of a row that has its id.
    pub fn from_row(id: i32) -> Self {
        Self(id)
    }

    pub fn id(self) -> i32 {
        self.0
    }
}

/// What a key may do. A greater scope includes the smaller ones.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    schemars::JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// To read the tenant's parcels and changes.
    Read,
    /// Also to add, edit, remove and refresh parcels.
    Write,
    /// Also to manage the tenant's keys.
    Admin,
}
