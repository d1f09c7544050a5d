//! Who makes a request, and what they may do.
//!
//! A handler says by its argument what it takes: [`Reads`], [`Writes`], [`Administers`] or [`Operates`]. So no operation can
//! forget to ask, and the document tells what each one takes.

use std::ops::Deref;

use aide::OperationInput;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::model::tenant::{Scope, Tenant};
use crate::serving::problem::Problem;

/// Who makes a request. The layer before the routes puts it into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub tenant: Tenant,
    /// The key's id; `None` while there are no keys.
    pub key: Option<i64>,
    pub scope: Scope,
    /// Whether they run the installation: carriers, budgets, dead letters and tenants are theirs.
    pub operator: bool,
}

impl Caller {
    /// Anyone, where no key is needed.
    pub const OPEN: Self = Self {
        tenant: Tenant::DEFAULT,
        key: None,
        scope: Scope::Admin,
        operator: true,
    };
}

macro_rules! callers {
    ($($(#[doc = $doc:literal])+ $name:ident: $may:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug)]
        pub struct $name(Caller);

        impl Deref for $name {
            type Target = Caller;

            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                let caller = parts.extensions.get::<Caller>().copied();
                let caller = caller.ok_or_else(|| Problem::internal(anyhow::anyhow!("no layer said who calls")))?;
                $may(&caller).map(|()| Self(caller))
            }
        }

        impl OperationInput for $name {}
    )+};
}

callers! {
    /// A caller who may read.
    Reads: |_: &Caller| Ok(());
    /// A caller who may change parcels.
    Writes: |_: &Caller| Ok(());
    /// A caller who may manage the tenant's keys.
    Administers: |_: &Caller| Ok(());
    /// A caller who runs the installation.
    Operates: |_: &Caller| Ok(());
}
