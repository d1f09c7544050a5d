//! Routes: which account and which adapter a carrier code leads to, as the configuration says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chrono_tz::Tz;
use reqwest::Url;

use crate::carriers::Carrier;
use crate::carriers::emulator::Emulator;
use crate::carriers::gdeposylka::Gdeposylka;
use crate::carriers::track24::Track24;
use crate::config::{self, Policy};
use crate::model::CarrierCode;
use crate::model::limits::Limits;

/// The section that takes every code without a section of its own.
pub const ANY: &str = "*";

/// The adapters by the names that the configuration knows them by.
pub const ADAPTERS: &[&str] = &["emulator", "emulator-batch", "track24", "gdeposylka"];

/// Credentials and limits at a carrier; several codes may share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The section's `budget`, else the section's own name.
    pub name: String,
    pub limits: Limits,
    /// How many calls may be under way or waiting for their slot at once.
    pub slots: usize,
    pub policy: Policy,
    /// How many numbers every one of its adapters takes in a call.
    pub numbers_per_call: u32,
    /// The sections that share it.
    pub codes: Vec<String>,
    pub adapter: String,
    /// Where its first section's calls go, without credentials.
    pub base_url: String,
}

impl Account {
    /// Parcels that its limits let us look at in an hour, in calls filled to the last number; `None` without limits.
    pub fn checks_per_hour(&self) -> Option<f64> {
        let limits = [
            (self.limits.per_second, 3_600.0),
            (self.limits.per_minute, 60.0),
            (self.limits.per_day, 1.0 / 24.0),
        ];
        limits
            .into_iter()
            .filter(|(limit, _)| *limit > 0)
            .map(|(limit, times)| f64::from(limit) * times * f64::from(self.numbers_per_call))
            .min_by(f64::total_cmp)
    }

    /// How many hours it takes to look at so many parcels once; 0 without limits.
    pub fn round(&self, parcels: i64) -> f64 {
        self.checks_per_hour()
            .map_or(0.0, |checks| parcels.max(0) as f64 / checks)
    }
}

/// The way to one carrier.
#[derive(Clone)]
pub struct Route {
    pub account: Arc<Account>,
    pub adapter: Arc<dyn Carrier>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// All routes of a configuration.
pub struct Routes {
    by_code: BTreeMap<String, Route>,
    accounts: Vec<Arc<Account>>,
}

impl Routes {
    /// # Errors
    /// Where a section names an adapter, address or time zone that is none.
    pub fn new(config: &config::Config) -> anyhow::Result<Self> {
        let mut accounts: BTreeMap<&str, Account> = BTreeMap::new();
        for (code, section) in in_use(config) {
            let name = section.budget.as_deref().unwrap_or(code);
            let account = accounts.entry(name).or_insert_with(|| Account {
                name: name.to_owned(),
                limits: Limits {
                    per_second: section.per_second,
                    per_minute: section.per_minute,
                    per_day: section.per_day,
                    burst: section.burst,
                },
                slots: section.concurrency.unwrap_or(config.work.concurrency) as usize,
                policy: section.policy.unwrap_or(config.work.policy),
                numbers_per_call: u32::MAX,
                codes: Vec::new(),
                adapter: section.adapter.clone(),
                base_url: shown_url(&section.base_url),
            });
            account.codes.push(code.clone());
        }
        let mut adapters = BTreeMap::new();
        for (code, section) in in_use(config) {
            let adapter = adapter(section).with_context(|| format!("in [carriers.{code}]"))?;
            let name = section.budget.as_deref().unwrap_or(code);
            if let Some(account) = accounts.get_mut(name) {
                let numbers = u32::try_from(adapter.numbers_per_call()).unwrap_or(u32::MAX);
                account.numbers_per_call = account.numbers_per_call.min(numbers.max(1));
            }
            adapters.insert(code, adapter);
        }
        let accounts: BTreeMap<String, Arc<Account>> = accounts
            .into_iter()
            .map(|(name, account)| (name.to_owned(), Arc::new(account)))
            .collect();
        let mut by_code = BTreeMap::new();
        for (code, section) in in_use(config) {
            let name = section.budget.as_deref().unwrap_or(code);
            let account = accounts.get(name).context("every section has an account")?;
            let adapter = adapters
                .remove(code)
                .context("every section has an adapter")?;
            let timeout = section.timeout.unwrap_or(config.work.carrier_timeout);
            let route = Route {
                account: Arc::clone(account),
                adapter,
                timeout: timeout.get(),
            };
            by_code.insert(code.clone(), route);
        }
        Ok(Self {
            by_code,
            accounts: accounts.into_values().collect(),
        })
    }

    /// The way to a carrier: its own section's, else `*`'s; `None` where there is neither.
    pub fn resolve(&self, code: &CarrierCode) -> Option<&Route> {
        self.by_code
            .get(code.as_str())
            .or_else(|| self.by_code.get(ANY))
    }

    /// The sections in use, by name; [`ANY`] among them takes every code.
    pub fn known(&self) -> Vec<String> {
        self.by_code.keys().cloned().collect()
    }

    /// The accounts, by name.
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }
}

fn in_use(config: &config::Config) -> impl Iterator<Item = (&String, &config::Carrier)> {
    config
        .carriers
        .iter()
        .filter(|(_, section)| section.adapter != "none")
}

/// Makes a section's adapter: the one line that a new carrier adds here.
fn adapter(section: &config::Carrier) -> anyhow::Result<Arc<dyn Carrier>> {
    let base_url = Url::parse(&section.base_url).context("base_url is no address")?;
    let key = section.api_key.expose().to_owned();
    let optional_key = (!key.is_empty()).then(|| key.clone());
    let zone = || {
        let zone: Result<Tz, _> = section.time_zone.parse();
        zone.map_err(|_| anyhow!("time_zone {} is not known", section.time_zone))
    };
    Ok(match section.adapter.as_str() {
        "emulator" => Arc::new(Emulator::new(base_url, optional_key, false)),
        "emulator-batch" => Arc::new(Emulator::new(base_url, optional_key, true)),
        "track24" => Arc::new(Track24::new(base_url, key, section.domain.clone(), zone()?)),
        "gdeposylka" => Arc::new(Gdeposylka::new(base_url, key, zone()?)),
        other => {
            return Err(anyhow!(
                "adapter {other} is not known; known are {}",
                ADAPTERS.join(", ")
            ));
        }
    })
}

/// An address without user, password and query.
fn shown_url(text: &str) -> String {
    Url::parse(text).map_or_else(
        |_| String::new(),
        |url| {
            let port = url
                .port()
                .map_or_else(String::new, |port| format!(":{port}"));
            format!(
                "{}://{}{port}{}",
                url.scheme(),
                url.host_str().unwrap_or_default(),
                url.path()
            )
        },
    )
}
