//! What the store has learned about each account, in memory: rates of news by carrier and code, and the account's plan
//! with the price of a call. The next check of a parcel follows from both.
//!
//! The worker reads it again each minute, the API with each request that shows it. Decisions never wait for the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::carriers::routes::Account;
use crate::clock::{Time, at_hours, hours};
use crate::plan::decide::{longest_wait, next_check};
use crate::plan::hazard::{CodeFit, Counts, REFIT_EVERY, events_by_hour, fit};
use crate::plan::parcel::{Standing, class_of};
use crate::plan::price::Price;
use crate::plan::pushed::PushNews;
use crate::plan::quota::Shares;
use crate::plan::{Class, HOURS};
use crate::store::Store;
use crate::store::account_plans::AccountPlan;
use crate::store::error::StoreError;

/// What was learned about all accounts. A clone shares the memory.
#[derive(Clone)]
pub struct Learned {
    store: Store,
    accounts: Arc<RwLock<HashMap<String, Arc<LearnedAccount>>>>,
}

/// What was learned about one account.
#[derive(Debug)]
pub struct LearnedAccount {
    /// `None` until a worker has made one.
    pub plan: Option<AccountPlan>,
    /// By the names of the configuration's sections.
    pub sections: Arc<BTreeMap<String, LearnedSection>>,
    /// When the sections were read.
    sections_read_at: Time,
    /// What was counted of those whose carriers push.
    pushed: BTreeMap<String, PushNews>,
}

/// What was learned about the carriers of one section.
#[derive(Debug)]
pub struct LearnedSection {
    /// By the code of a parcel's last event: what was counted, and what was fitted to it.
    pub codes: BTreeMap<&'static str, (Counts, CodeFit)>,
    /// What is expected after codes that were never seen, by their class.
    unseen: Vec<(Class, CodeFit)>,
}

impl LearnedSection {
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

    /// The rates of news after `code`.
    pub fn fit(&self, code: &str) -> Option<&CodeFit> {
        let seen = self.codes.get(code).map(|(_, fit)| fit);
        seen.or_else(|| {
            let class = class_of(code);
            let unseen = self.unseen.iter().find(|(other, _)| *other == class);
            unseen.map(|(_, fit)| fit)
        })
    }
}

impl LearnedAccount {
    /// The price of a call. Without a plan it is so low that no check waits for it.
    fn price(&self) -> Price {
        let plan = self.plan.as_ref();
        plan.map_or_else(|| Price::start(0.0), |plan| plan.price.clone())
    }

    /// The share of a day's calls that each hour gets.
    pub fn shares(&self) -> Shares {
        let plan = self.plan.as_ref();
        plan.map(|plan| plan.shares.clone()).unwrap_or_default()
    }

    /// Remembered events by hour of the day, over all sections.
    pub fn events_by_hour(&self) -> [f64; HOURS] {
        let codes = self.sections.values().flat_map(|s| s.codes.values());
        events_by_hour(codes.map(|(counts, _)| counts))
    }

    /// How many hours it takes to check every parcel of the account once: 0 without limits, or before the parcels are
    /// counted.
    pub fn round(&self, account: &Account) -> f64 {
        account.round(self.plan.as_ref().map_or(0, |plan| plan.parcels))
    }

    /// A next check of a section's parcel, put off while its carrier pushes.
    pub fn while_pushed(&self, section: &str, next: Time, now: Time) -> Time {
        let news = self.pushed.get(section);
        news.map_or(next, |news| news.stretched(next, now))
    }

    /// The next check of a parcel that an answer at `now` left in this standing; `None` if the section is not this
    /// account's.
    pub fn next_check(
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
            accounts: Arc::default(),
        }
    }

    /// What was learned about an account, from memory; `None` before it was read for the first time.
    pub fn account(&self, name: &str) -> Option<Arc<LearnedAccount>> {
        self.accounts.read().get(name).cloned()
    }

    /// Reads an account's plan, and its sections too if a worker has fitted them since they were last read, or if that
    /// is hours ago.
    pub async fn refresh(
        &self,
        account: &Account,
        now: Time,
    ) -> Result<Arc<LearnedAccount>, StoreError> {
        let plan = match self.store.account_plan(&account.name).await {
            // The worker that leads writes it anew within a minute.
            Err(StoreError::Corrupt { .. }) => self
                .account(&account.name)
                .and_then(|before| before.plan.clone()),
            plan => plan?,
        };
        let fitted_at = |plan: &Option<AccountPlan>| plan.as_ref().map(|plan| plan.refitted_at);
        let current = self.account(&account.name).filter(|before| {
            let age = (now - before.sections_read_at).num_seconds() as f64 / 3_600.0;
            fitted_at(&before.plan) == fitted_at(&plan) && age < REFIT_EVERY
        });
        let (sections, sections_read_at) = match current {
            Some(before) => (Arc::clone(&before.sections), before.sections_read_at),
            None => (Arc::new(self.read_sections(account).await?), now),
        };
        let learned = Arc::new(LearnedAccount {
            plan,
            sections,
            sections_read_at,
            pushed: self.read_pushed(account).await?,
        });
        let mut accounts = self.accounts.write();
        accounts.insert(account.name.clone(), Arc::clone(&learned));
        Ok(learned)
    }

    async fn read_pushed(
        &self,
        account: &Account,
    ) -> Result<BTreeMap<String, PushNews>, StoreError> {
        let mut pushed = BTreeMap::new();
        for name in &account.pushed {
            pushed.insert(name.clone(), self.store.push_news(name).await?);
        }
        Ok(pushed)
    }

    async fn read_sections(
        &self,
        account: &Account,
    ) -> Result<BTreeMap<String, LearnedSection>, StoreError> {
        let mut sections = BTreeMap::new();
        for name in &account.codes {
            let section = LearnedSection::new(self.store.learned(name).await?);
            sections.insert(name.clone(), section);
        }
        Ok(sections)
    }
}
