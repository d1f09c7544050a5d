//! Who makes a request, and what they may do.
//!
//! A handler says by its argument what it takes: [`Reads`], [`Writes`], [`Administers`] or [`Operates`]. So no operation can
//! forget to ask, and the document tells what each one takes.

use std::ops::Deref;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;

use crate::model::act::{Act, Deed};
use crate::model::tenant::{Scope, Tenant, TenantCode};
use crate::serving::problem::{Kind, Problem};

/// What the document calls keys.
pub const KEYS: &str = "key";

/// What the document calls the right that operators have beyond their scope.
pub const OPERATOR: &str = "OPERATOR";

/// Who makes a request. The layer before the routes puts it into the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub tenant: Tenant,
    /// The tenant as the configuration names it.
    pub shop: TenantCode,
    /// The key's id; `None` while there are no keys.
    pub key: Option<i64>,
    pub scope: Scope,
    /// Whether they run the installation: carriers, budgets, dead letters and tenants are theirs.
    pub operator: bool,
    /// Whether there is no other tenant: then nothing is hidden from this one.
    pub is_alone: bool,
}

impl Caller {
    /// Anyone, where no key is needed.
    pub fn open() -> Self {
        Self {
            tenant: Tenant::DEFAULT,
            shop: TenantCode::default(),
            key: None,
            scope: Scope::Admin,
            operator: true,
            is_alone: true,
        }
    }

    /// An act of this caller, for the log. `object` names what it was done to and holds none of its values.
    pub fn act(&self, deed: Deed, object: impl Into<String>) -> Act {
        Act {
            tenant: self.tenant,
            key: self.key,
            deed,
            object: object.into(),
            tracking: None,
        }
    }

    fn has(&self, scope: Scope) -> Result<(), Problem> {
        if self.scope >= scope {
            return Ok(());
        }
        let detail = format!(
            "this needs a key of scope {scope}, and this key has {}",
            self.scope
        );
        Err(Problem::new(Kind::Forbidden, detail))
    }

    fn operates(&self, method: &Method) -> Result<(), Problem> {
        if !self.operator {
            let detail =
                "this needs an operator's key, made with `trackbox keys create --operator`";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        let reads = [Method::GET, Method::HEAD].contains(method);
        self.has(if reads { Scope::Read } else { Scope::Write })
    }
}

macro_rules! callers {
    ($($(#[doc = $doc:literal])+ $name:ident, $role:expr, $may:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
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
                let caller = parts.extensions.get::<Caller>().cloned();
                let caller = caller.ok_or_else(|| Problem::internal(anyhow::anyhow!("no layer said who calls")))?;
                $may(&caller, &parts.method).map(|()| Self(caller))
            }
        }

        impl OperationInput for $name {
            fn operation_input(_: &mut GenContext, operation: &mut Operation) {
                let role: &str = $role;
                // One requirement with all roles: a handler may take two of these.
                let mut needed = operation.security.pop().unwrap_or_default();
                needed.entry(KEYS.to_owned()).or_default().push(role.to_owned());
                operation.security.push(needed);
            }
        }
    )+};
}

callers! {
    /// A caller who may read.
    Reads, Scope::Read.into(), |caller: &Caller, _: &Method| caller.has(Scope::Read);
    /// A caller who may change parcels.
    Writes, Scope::Write.into(), |caller: &Caller, _: &Method| caller.has(Scope::Write);
    /// A caller who may manage the tenant's keys.
    Administers, Scope::Admin.into(), |caller: &Caller, _: &Method| caller.has(Scope::Admin);
    /// A caller who runs the installation. To change something, their key needs the scope WRITE too.
    Operates, OPERATOR, Caller::operates;
}

/// Nobody in particular: what takes it needs no key.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl<S: Send + Sync> FromRequestParts<S> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self)
    }
}

impl OperationInput for Anyone {}
