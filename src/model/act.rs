//! Acts: what people did that a check does not do, kept so that a tenant can see who did it.

use crate::clock::Time;
use crate::model::tenant::Tenant;

/// What was done. Its name is stored and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Deed {
    KeyCreated,
    KeyChanged,
    KeyRevoked,
    TenantCreated,
    TenantDisabled,
    TenantEnabled,
    TenantLimited,
    TenantWeighted,
    PauseLifted,
    DeadLetterRetried,
    ParcelRemoved,
}

/// One act, to be noted. It names what was acted on and holds none of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// In whose log it stands.
    pub tenant: Tenant,
    /// The key that it was done with; `None` on the command line, or while no key is needed.
    pub key: Option<i64>,
    pub deed: Deed,
    /// What it was done to, such as `key 7` or `carrier CDEK`.
    pub object: String,
    /// The parcel, if it was done to one.
    pub tracking: Option<i64>,
}

/// An act as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedAct {
    pub id: i64,
    pub at: Time,
    pub key: Option<i64>,
    /// A [`Deed`], or one that a newer program noted.
    pub deed: String,
    pub object: String,
    pub tracking: Option<i64>,
}
