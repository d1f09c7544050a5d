//! What a tenant means by a carrier's code: only the sections of the configuration that it may name are there for it.

use crate::carriers::routes::{ANY, Route, Routes};
use crate::config::keys::nearest;
use crate::model::CarrierCode;
use crate::model::number::skeleton;
use crate::model::tenant::TenantCode;

/// What a request means by a carrier's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A section by its name, or by a spelling of it that differs only in blanks, invisible characters and case.
    Section(CarrierCode),
    /// [`ANY`], with a section whose name is similar.
    Any { similar: Option<String> },
    /// Most probably this section: its name looks the same in another alphabet.
    LookAlike(String),
    /// No section serves it; the name of this one is similar.
    Unknown { similar: Option<String> },
}

/// The sections that a tenant may name.
#[derive(Clone, Copy)]
pub struct Offer<'a> {
    routes: &'a Routes,
    tenant: &'a TenantCode,
}

impl<'a> Offer<'a> {
    pub fn of(routes: &'a Routes, tenant: &'a TenantCode) -> Self {
        Self { routes, tenant }
    }

    /// What a request means by `code`.
    ///
    /// The code of a section that is other tenants' is unknown even if the tenant may name [`ANY`]: the same number at the same
    /// code is one tracking, and its checks would go out through the section's account.
    pub fn meant(&self, code: &CarrierCode) -> Meant {
        let own = self.routes.section(code.as_str());
        if let Some(name) = own.filter(|route| self.has(route)).and_then(name) {
            return Meant::Section(name);
        }
        let mut names = self.known();
        let any = names.iter().position(|name| name == ANY);
        let any = any.map(|at| names.remove(at));
        let looks = skeleton(code.as_str());
        if let Some(alike) = names.iter().find(|name| skeleton(name) == looks) {
            return Meant::LookAlike(alike.clone());
        }
        let similar = nearest(code.as_str(), names.clone()).or_else(|| nearest(&looks, names));
        match any {
            Some(_) if own.is_none() => Meant::Any { similar },
            _ => Meant::Unknown { similar },
        }
    }

    /// The names of the sections; [`ANY`] among them serves every code.
    pub fn known(&self) -> Vec<String> {
        let routes = self.routes.all().filter(|route| self.has(route));
        routes.map(|route| route.section.clone()).collect()
    }

    /// Whether a section is among them.
    pub fn has_section(&self, name: &str) -> bool {
        self.routes.section(name).is_some_and(|it| self.has(it))
    }

    fn has(&self, route: &Route) -> bool {
        route.serves(self.tenant)
    }
}

fn name(route: &Route) -> Option<CarrierCode> {
    CarrierCode::parse(route.section.as_str()).ok()
}

#[cfg(test)]
mod tests;
