//! What is cached of a tracking.

use std::sync::Arc;

use crate::model::owned::Owned;
use crate::model::shown::Shown;
use crate::model::tenant::Tenant;

/// What is cached of a tracking: two texts, each with a version of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Its state.
    Tracking,
    /// Its owners' views.
    Owned,
}

/// A text of a family.
pub trait Cached {
    const FAMILY: Family;

    fn id(&self) -> i64;
    fn version(&self) -> i64;
    fn text(&self) -> &Arc<[u8]>;
}

/// Both texts of a tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub shown: Shown,
    pub owned: Owned,
}

impl Known {
    /// The state, and what this tenant is shown beside it; `None` if it is not its own.
    pub fn of(&self, tenant: Tenant) -> Option<(&Shown, &[u8])> {
        Some((&self.shown, self.owned.view(tenant)?))
    }
}

impl Cached for Shown {
    const FAMILY: Family = Family::Tracking;

    fn id(&self) -> i64 {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn text(&self) -> &Arc<[u8]> {
        &self.fields
    }
}

impl Cached for Owned {
    const FAMILY: Family = Family::Owned;

    fn id(&self) -> i64 {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn text(&self) -> &Arc<[u8]> {
        &self.views
    }
}
