//! What is cached of a tracking.

use std::ops::Range;
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

/// A tracking as one of its owners is shown it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub shown: Shown,
    owned: Owned,
    /// Where the owner's view is.
    place: Range<usize>,
}

impl Known {
    /// What this tenant is shown of it; `None` if it is not its own.
    pub fn seen_by(self, tenant: Tenant) -> Option<Seen> {
        let place = self.owned.place(tenant)?;
        Some(Seen {
            shown: self.shown,
            owned: self.owned,
            place,
        })
    }
}

impl Seen {
    /// What the owner is shown beside the state.
    pub fn view(&self) -> &[u8] {
        self.owned.views.get(self.place.clone()).unwrap_or_default()
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
