//! Routes: which account and which adapter the checks of a carrier code use, as the configuration says.
//!
//! A *carrier code* is what a request names; its *section* of the configuration (its own, else `*`) says how to reach
//! the carrier; the section's *route* is what is made of that: an adapter, a time limit, and the *account* whose
//! credentials and limits the calls use. Several sections may share one account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use sha2::{Digest as _, Sha256};

use crate::carriers::Carrier;
use crate::carriers::door::Door;
use crate::carriers::sections::{Adapted, adapters, without_credentials};
use crate::carriers::subscription::Callback;
use crate::config::check::Mistakes;
use crate::config::mistakes::ConfigError;
use crate::config::{CarrierSection, Config, Policy};
use crate::model::limits::Limits;
use crate::model::number::fold;
use crate::model::tenant::TenantCode;
use crate::model::{CarrierCode, Tracking};
use crate::plan::Sections;

/// The section that serves every code without a section of its own.
pub const ANY: &str = "*";

/// Credentials and limits at a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The section's `budget`, else the section's own name.
    pub name: String,
    pub limits: Limits,
    /// How many calls may be running or waiting for their slot at once.
    pub slots: usize,
    pub policy: Policy,
    /// The numbers that one call for each of its sections may name.
    pub numbers_per_call: u32,
    /// How many calls it takes to ask once: two if a ticket is given for the numbers.
    pub calls_per_check: u32,
    /// A parcel is never asked for again before this time has passed.
    pub min_interval: Duration,
    /// The sections that share it.
    pub codes: Vec<String>,
    /// Those of them that take what their carriers push.
    pub pushed: Vec<String>,
    pub adapter: String,
    /// The address that its first section calls, without credentials.
    pub base_url: String,
}

impl Account {
    /// The parcels that its limits allow to check in an hour, if every call is full; `None` without limits.
    pub fn checks_per_hour(&self) -> Option<f64> {
        let calls = self.limits.calls_per_hour()? / f64::from(self.calls_per_check.max(1));
        Some(calls * f64::from(self.numbers_per_call))
    }

    /// The hours it takes to check this many parcels once; 0 without limits.
    pub fn round(&self, parcels: i64) -> f64 {
        self.checks_per_hour()
            .map_or(0.0, |checks| parcels.max(0) as f64 / checks)
    }
}

/// How the checks of one carrier code are made.
#[derive(Clone)]
pub struct Route {
    /// The name of its section.
    pub section: String,
    pub account: Arc<Account>,
    pub adapter: Arc<dyn Carrier>,
    /// The most numbers in one call: the section's, at most the adapter's.
    pub numbers_per_call: u32,
    /// Time limit for one call.
    pub timeout: Duration,
    /// How it takes what its carrier pushes; `None` if it takes nothing.
    pub door: Option<Arc<Door>>,
    /// The tenants that may name its section; `None` for all.
    pub tenants: Option<Vec<TenantCode>>,
    /// Where its carrier is told to push; `None` without `http.public_url`, or if a call cannot tell it.
    pub callback: Option<Arc<Callback>>,
}

impl Route {
    /// Whether this tenant may name its section.
    pub fn serves(&self, tenant: &TenantCode) -> bool {
        let tenants = self.tenants.as_ref();
        tenants.is_none_or(|tenants| tenants.contains(tenant))
    }

    /// Whether one call may ask for parcels of both.
    pub fn calls_as(&self, other: &Route) -> bool {
        Arc::ptr_eq(&self.adapter, &other.adapter)
            && (self.numbers_per_call, self.timeout) == (other.numbers_per_call, other.timeout)
    }

    /// A code as its carrier is asked for it.
    pub fn asked_code(&self, code: CarrierCode) -> CarrierCode {
        match self.section.as_str() {
            ANY => code,
            section => CarrierCode::parse(section).unwrap_or(code),
        }
    }

    /// The tracking with code and number as its carrier is asked for them.
    pub fn asked(&self, row: Tracking) -> Tracking {
        Tracking {
            carrier_code: self.asked_code(row.carrier_code),
            track_number: row.track_number.asked(self.adapter.spelling()),
            extras: row.extras.for_carrier(self.adapter.wants()),
            ..row
        }
    }
}

/// All routes of a configuration.
pub struct Routes {
    /// By the section's folded name.
    by_key: BTreeMap<String, Route>,
    accounts: Vec<Arc<Account>>,
}

impl Routes {
    /// # Errors
    /// [`ConfigError`] with every section that names no adapter, or lacks what its adapter needs.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        let adapters = adapters(config, &mut mistakes);
        mistakes.into_result()?;
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        for (code, section, adapter) in &adapters {
            let name = section.account(code);
            let new = || new_account(config, name, section);
            let account = accounts.entry(name.to_owned()).or_insert_with(new);
            let numbers = numbers_per_call(section, adapter.as_ref());
            account.numbers_per_call = account.numbers_per_call.min(numbers);
            if adapter.gives_tickets() {
                account.calls_per_check = 2;
            }
            account.codes.push((*code).to_owned());
            if Door::of(section, adapter.as_ref()).is_some() {
                account.pushed.push((*code).to_owned());
            }
        }
        let accounts: BTreeMap<String, Arc<Account>> = accounts
            .into_iter()
            .map(|(name, account)| (name, Arc::new(account)))
            .collect();
        let mut told: Vec<Arc<dyn Carrier>> = Vec::new();
        let route = |(code, section, adapter): Adapted<'_>| {
            let mut callback = callback(config, code, &section, adapter.as_ref());
            // An account as a whole has one address: sections that call alike share the first one's.
            let is_whole = adapter.subscription().is_some_and(|it| it.numbers == 0);
            if callback.is_some() && is_whole {
                callback = callback.filter(|_| !told.iter().any(|it| Arc::ptr_eq(it, &adapter)));
                told.push(Arc::clone(&adapter));
            }
            let timeout = section.timeout.unwrap_or(config.work.carrier_timeout);
            let route = Route {
                section: code.to_owned(),
                account: Arc::clone(&accounts[section.account(code)]),
                numbers_per_call: numbers_per_call(&section, adapter.as_ref()),
                door: Door::of(&section, adapter.as_ref()).map(Arc::new),
                adapter,
                timeout: timeout.get(),
                tenants: section.tenants,
                callback: callback.map(Arc::new),
            };
            (fold(code), route)
        };
        let by_key = adapters.into_iter().map(route).collect();
        Ok(Self {
            by_key,
            accounts: accounts.into_values().collect(),
        })
    }

    /// Adds every section that names no adapter or lacks what its adapter needs: the part of the configuration's check
    /// that only the adapters know.
    pub fn check(config: &Config, mistakes: &mut Mistakes<'_>) {
        adapters(config, mistakes);
    }

    /// The route of a carrier code: its own section's, else `*`'s; `None` if there is neither.
    pub fn resolve(&self, code: &CarrierCode) -> Option<&Route> {
        self.by_key
            .get(&fold(code.as_str()))
            .or_else(|| self.by_key.get(ANY))
    }

    /// The route of a section by its name.
    pub fn section(&self, name: &str) -> Option<&Route> {
        self.by_key.get(&fold(name))
    }

    /// The same routes, with another adapter for a configured code: one that no configuration names.
    #[must_use]
    pub fn with_adapter(mut self, code: &CarrierCode, adapter: Arc<dyn Carrier>) -> Self {
        if let Some(route) = self.by_key.get_mut(&fold(code.as_str())) {
            route.adapter = adapter;
        }
        self
    }

    /// The sections with what each minds in the spelling of its numbers, and whether it takes pushes.
    pub fn sections(&self) -> Sections {
        let routes = || self.by_key.values();
        let pushed = routes().filter(|it| it.door.is_some());
        Sections::spelt(routes().map(|it| (it.section.clone(), it.adapter.spelling())))
            .pushed(pushed.map(|it| it.section.as_str()))
    }

    /// What identifies the events of each section in use, as a hash in hexadecimal: text, message, place, time and zone.
    pub fn readings(&self) -> BTreeMap<String, String> {
        let reading = |route: &Route| {
            let hash = Sha256::digest(route.adapter.identity());
            let hash = hash[..16].iter().map(|byte| format!("{byte:02x}"));
            (route.section.clone(), hash.collect())
        };
        self.by_key.values().map(reading).collect()
    }

    /// The route of every section in use.
    pub fn all(&self) -> impl Iterator<Item = &Route> {
        self.by_key.values()
    }

    /// The accounts, by name.
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }
}

fn new_account(config: &Config, name: &str, section: &CarrierSection) -> Account {
    Account {
        name: name.to_owned(),
        limits: section.limits(),
        slots: section.concurrency.unwrap_or(config.work.concurrency) as usize,
        policy: section.policy.unwrap_or(config.work.policy),
        numbers_per_call: u32::MAX,
        calls_per_check: 1,
        min_interval: section.min_interval.get(),
        codes: Vec::new(),
        pushed: Vec::new(),
        adapter: section.adapter.clone(),
        base_url: without_credentials(section.base_url.expose()),
    }
}

/// Where the carrier of a section is told to push.
fn callback(
    config: &Config,
    code: &str,
    section: &CarrierSection,
    adapter: &dyn Carrier,
) -> Option<Callback> {
    let public_url = &config.http.public_url;
    if public_url.is_empty() || section.push_secret.is_empty() {
        return None;
    }
    adapter.subscription()?;
    let mut url = Url::parse(public_url).ok()?;
    let secret = section.push_secret.expose();
    let mut segments = url.path_segments_mut().ok()?;
    segments.clear().extend(["push", code, secret]);
    drop(segments);
    Some(Callback {
        url: url.into(),
        secret: secret.to_owned(),
        key: section.push_key.expose().to_owned(),
    })
}

/// The most numbers in one call.
fn numbers_per_call(section: &CarrierSection, adapter: &dyn Carrier) -> u32 {
    let most = u32::try_from(adapter.numbers_per_call()).unwrap_or(u32::MAX);
    section.numbers.unwrap_or(most).min(most).max(1)
}

#[cfg(test)]
mod tests;
