//! What a process knows of when to look again: what was learned, fitted, and the price of a call, as the store has them.
//!
//! Read anew each minute by the worker, and by the API when it is asked. Decisions come from memory.

use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::carriers::routes::Account;
use crate::clock::{Time, at_hours, hours};
use crate::plan::decide::{longest_wait, next_check};
use crate::plan::hazard::{CodeFit, Counts, REFIT_EVERY, events_by_hour, fit};
use crate::plan::parcel::{Standing, class_of};
use crate::plan::price::Price;
use crate::plan::quota::Shares;
use crate::plan::{Class, HOURS};
use crate::store::prices::AccountPlan;
use crate::store::{Store, StoreError};

/// A clone knows the same.
#[derive(Clone)]
pub struct Learned {
    store: Store,
    known: Arc<RwLock<HashMap<String, Arc<Known>>>>,
}

/// What is known of an account.
#[derive(Debug)]
pub struct Known {
    /// `None` before a worker has led it.
    pub pricing: Option<AccountPlan>,
    /// By the names of the configuration's sections.
    pub sections: Arc<BTreeMap<String, Section>>,
    /// When the sections were read.
    learned_at: Time,
}

/// What was learned of a section.
#[derive(Debug)]
pub struct Section {
    /// What was counted and what that says, by code.
    pub codes: BTreeMap<&'static str, (Counts, CodeFit)>,
    /// What is expected of codes that were never seen.
    unseen: Vec<(Class, CodeFit)>,
}

impl Section {
    fn new(counts: BTreeMap<&'static str, Counts>) -> Self {
        let blank: Vec<Counts> = Class::ALL.iter().map(|class| Counts::new(*class)).collect();
        let mut fits = fit(counts.values().chain(&blank)).into_iter();
        let codes = counts
            .iter()
            .zip(fits.by_ref())
            .map(|((code, counts), fit)| (*code, (counts.clone(), fit)))
            .collect();
        Self {
            codes,
            unseen: Class::ALL.iter().copied().zip(fits).collect(),
        }
    }

    pub fn fit(&self, code: &str) -> Option<&CodeFit> {
        let seen = self.codes.get(code).map(|(_, fit)| fit);
        seen.or_else(|| {
            let class = class_of(code);
            let unseen = self.unseen.iter().find(|(other, _)| *other == class);
            unseen.map(|(_, fit)| fit)
        })
    }
}

impl Known {
    /// The price of a call; before there is one, so low that nothing waits for it.
    fn price(&self) -> Price {
        self.pricing
            .as_ref()
            .map_or_else(|| Price::start(0.0), |pricing| pricing.price.clone())
    }

    /// How a day's calls are spread over the hours.
    pub fn shares(&self) -> Shares {
        self.pricing
            .as_ref()
            .map(|pricing| pricing.shares.clone())
            .unwrap_or_default()
    }

    /// Events by hour of the day, as far as they are remembered, over all sections.
    pub fn events_by_hour(&self) -> [f64; HOURS] {
        let codes = self.sections.values().flat_map(|s| s.codes.values());
        events_by_hour(codes.map(|(counts, _)| counts))
    }

    /// How many hours it takes to look at every parcel of the account once; 0 without limits, and before they are counted.
    pub fn round(&self, account: &Account) -> f64 {
        let parcels = self.pricing.as_ref().map_or(0, |pricing| pricing.parcels);
        account.round(parcels)
    }

    /// As of which fit the sections were read.
    fn fitted_at(&self) -> Option<Time> {
        self.pricing.as_ref().map(|pricing| pricing.refitted_at)
    }

    /// When to look again at a parcel that a good answer at `now` has left standing so.
    pub fn decide(
        &self,
        account: &Account,
        section: &str,
        standing: Standing,
        now: Time,
    ) -> Option<Time> {
        let fit = self.sections.get(section)?.fit(standing.code)?;
        let longest = longest_wait(self.round(account));
        let at = next_check(fit, &self.price(), standing.since, hours(now), longest);
        Some(at_hours(at))
    }
}

impl Learned {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            known: Arc::default(),
        }
    }

    /// What is known of an account now, without asking; `None` before it was read.
    pub fn known(&self, account: &str) -> Option<Arc<Known>> {
        let known = self.known.read();
        known.get(account).cloned()
    }

    /// Reads an account's price, and what was learned where that was fitted since or is hours old.
    pub async fn refresh(&self, account: &Account, now: Time) -> Result<Arc<Known>, StoreError> {
        let pricing = self.store.pricing(&account.name).await?;
        let fitted_at = pricing.as_ref().map(|pricing| pricing.refitted_at);
        let before = self.known(&account.name).filter(|known| {
            let age = (now - known.learned_at).num_seconds() as f64 / 3_600.0;
            known.fitted_at() == fitted_at && age < REFIT_EVERY
        });
        let (sections, learned_at) = match before {
            Some(known) => (Arc::clone(&known.sections), known.learned_at),
            None => (Arc::new(self.learned(account).await?), now),
        };
        let known = Arc::new(Known {
            pricing,
            sections,
            learned_at,
        });
        let mut all = self.known.write();
        all.insert(account.name.clone(), Arc::clone(&known));
        Ok(known)
    }

    async fn learned(&self, account: &Account) -> Result<BTreeMap<String, Section>, StoreError> {
        let mut sections = BTreeMap::new();
        for name in &account.codes {
            let section = Section::new(self.store.learned(name).await?);
            sections.insert(name.clone(), section);
        }
        Ok(sections)
    }
}
