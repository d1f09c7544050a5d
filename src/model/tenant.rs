//! Tenants: shops that share an installation and its carriers' budgets, without seeing each other's parcels.

use serde::{Deserialize, Serialize};

/// A tenant, as its row's id. Every method of the store on parcels takes one first.
///
/// It is made from what a verified key belongs to, never from anything in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(i32);

impl Tenant {
    /// Who everything belongs to while there are no keys. The migrations make it.
    pub const DEFAULT: Self = Self(1);

    /// The tenant of a row that has its id. Only the store may call it: a test holds that no other room does.
    pub fn from_row(id: i32) -> Self {
        Self(id)
    }

    pub fn id(self) -> i32 {
        self.0
    }

    /// The payer that it is.
    pub fn payer(self) -> Payer {
        let slot = (self.0.wrapping_sub(1)) & i32::from(i16::MAX);
        Payer(i16::try_from(slot).unwrap_or_default())
    }
}

/// Who pays for a tracking's checks out of its share of an account's calls: a tenant, as trackings have it.
///
/// The tenant's id less one, in 15 bits: from the 32,769th tenant on, each shares the share of an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payer(i16);

impl Payer {
    /// The default tenant. What nobody has is its own too.
    pub const DEFAULT: Self = Self(0);

    /// The payer of a row. Only the store may call it.
    pub fn from_row(slot: i16) -> Self {
        Self(slot)
    }

    pub fn slot(self) -> i16 {
        self.0
    }
}

/// The greatest weight of a tenant.
pub const WEIGHT_MAX: u32 = 1_000;

/// A tenant's weight, from 1 to [`WEIGHT_MAX`]: its share of the calls that several tenants want.
///
/// # Errors
/// What is wrong with it.
pub fn weight(weight: u32) -> Result<u32, &'static str> {
    if (1..=WEIGHT_MAX).contains(&weight) {
        Ok(weight)
    } else {
        Err("must be from 1 to 1000")
    }
}

/// The code of [`Tenant::DEFAULT`], as the migrations give it.
const DEFAULT_CODE: &str = "default";

/// The most characters of a tenant's code.
pub const TENANT_CODE_CHARS_MAX: usize = 40;

/// What people call a tenant by: 1 to 40 of the characters a-z, 0-9 and -.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TenantCode(String);

/// A text is no tenant's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {TENANT_CODE_CHARS_MAX} of the characters a-z, 0-9 and -")]
pub struct NoTenantCode;

impl TenantCode {
    /// # Errors
    /// [`NoTenantCode`].
    pub fn parse(text: impl Into<String>) -> Result<Self, NoTenantCode> {
        let text = text.into();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=TENANT_CODE_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain);
        fits.then_some(Self(text)).ok_or(NoTenantCode)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// # Errors
    /// Why a tenant of this code must not be disabled.
    pub fn may_be_disabled(&self) -> Result<(), &'static str> {
        if self.0 == DEFAULT_CODE {
            Err("the tenant default cannot be disabled, since the operators' keys are its keys")
        } else {
            Ok(())
        }
    }
}

impl Default for TenantCode {
    /// That of [`Tenant::DEFAULT`].
    fn default() -> Self {
        Self(DEFAULT_CODE.to_owned())
    }
}

impl TryFrom<String> for TenantCode {
    type Error = NoTenantCode;

    fn try_from(text: String) -> Result<Self, NoTenantCode> {
        Self::parse(text)
    }
}

impl std::str::FromStr for TenantCode {
    type Err = NoTenantCode;

    fn from_str(text: &str) -> Result<Self, NoTenantCode> {
        Self::parse(text)
    }
}

impl std::fmt::Display for TenantCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// The most characters of the name of a tenant or a key.
pub const NAME_CHARS_MAX: usize = 100;

/// A name that people give to a tenant or a key, without blanks around it.
///
/// # Errors
/// What is wrong with it.
pub fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        Err("must not be empty")
    } else if text.chars().count() > NAME_CHARS_MAX {
        Err("must have at most 100 characters")
    } else if text.chars().any(char::is_control) {
        Err("must not have control characters")
    } else {
        Ok(text.to_owned())
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
    Deserialize,
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
