//! The table of Russian phrases, the most specific first.
//!
//! Sources: Russian Post's operation types and attributes (the reference of OperType and OperAttr of its tracking API),
//! CDEK's status names (API v2, appendix on order statuses) and Track24's texts, as public documents and clients of these
//! APIs quote them; read November 2026, not tried against the live services.
//!
//! How to write a phrase: words in lower case with "е" for "ё"; `|` between forms of one word; `вручен~` for вручен,
//! вручена, вручено, вручены; `возвра*` for every word that begins with it; `..` for any words or none. `A / B` fits a
//! type with its attribute; a phrase without `/` fits a single text. A phrase that ends a parcel's journey (delivered,
//! returned, cancelled) has no `..`, which could match a denial.

mod back;
mod delivery;
mod trouble;
mod way;

use crate::model::status::{Status, SubStatus};

/// What a row of the table means.
pub enum Means {
    /// A status without further detail.
    Plain(Status),
    /// A sub-status, with the status that it refines.
    Sub(SubStatus),
}

/// A row: what it means, and the phrases that mean it.
pub type Rule = (Means, &'static [&'static str]);

/// The whole table in its order.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [back::RULES, delivery::RULES, trouble::RULES, way::RULES]
        .into_iter()
        .flatten()
}
