//! What a carrier's section says, and its defaults.

use std::time::Duration;

use chrono_tz::Tz;
use serde_json::json;

use crate::config::{CarrierSection, Limit, Per, Secret, SecretUrl, Span};
use crate::model::limits::Limits;
use crate::model::quota::Period;

/// `per_minute` of a section that names no limits.
const PER_MINUTE: u32 = 120;

impl CarrierSection {
    /// Whether it serves its code; a section with the adapter `none` serves nothing.
    pub fn is_in_use(&self) -> bool {
        self.adapter != "none"
    }

    /// The name of the account that its calls count for; `code` is the section's own name.
    pub fn account<'a>(&'a self, code: &'a str) -> &'a str {
        self.budget.as_deref().unwrap_or(code)
    }

    /// The calls in any minute; 0 means no limit.
    pub fn per_minute(&self) -> u32 {
        let unset = if self.limits.is_empty() {
            PER_MINUTE
        } else {
            0
        };
        self.per_minute.unwrap_or(unset)
    }

    /// All limits on its calls.
    pub fn limits(&self) -> Limits {
        let keys = [
            (self.per_second, Per::Span(Duration::from_secs(1))),
            (self.per_minute(), Per::Span(Duration::from_secs(60))),
            (self.per_day, Per::Calendar(Period::Day)),
        ];
        let by_key = keys.into_iter().filter(|(calls, _)| *calls > 0);
        let by_key = by_key.map(|(calls, per)| Limit {
            calls,
            per,
            zone: None,
        });
        let mut limits = Limits {
            burst: self.burst,
            ..Limits::default()
        };
        for limit in by_key.chain(self.limits.iter().cloned()) {
            limit.add_to(&mut limits);
        }
        limits
    }

    /// Whether the text of this key is not empty.
    pub fn is_set(&self, key: &str) -> bool {
        let text = json!(self)[key].take();
        text.as_str().is_some_and(|text| !text.is_empty())
    }
}

impl Default for CarrierSection {
    /// A section that sets nothing; without adapter and address it passes no check.
    fn default() -> Self {
        Self {
            adapter: String::new(),
            base_url: SecretUrl::default(),
            login_url: SecretUrl::default(),
            api_key: Secret::default(),
            user: String::new(),
            secret: Secret::default(),
            domain: String::new(),
            time_zone: Tz::UTC,
            per_second: 0,
            per_minute: None,
            per_day: 0,
            limits: Vec::new(),
            burst: 1,
            numbers: None,
            register: true,
            min_interval: Span::from_millis(0),
            timeout: None,
            concurrency: None,
            policy: None,
            push_secret: Secret::default(),
            push_secret_before: Secret::default(),
            push_key: Secret::default(),
            push_key_before: Secret::default(),
            push_trust: false,
            budget: None,
            tenants: None,
        }
    }
}
