//! What a carrier's section says, and its defaults.

use chrono_tz::Tz;
use serde_json::json;

use crate::config::{CarrierSection, Secret, SecretUrl};

impl CarrierSection {
    /// Whether it serves its code; a section with the adapter `none` serves nothing.
    pub fn is_in_use(&self) -> bool {
        self.adapter != "none"
    }

    /// The name of the account that its calls count for; `code` is the section's own name.
    pub fn account<'a>(&'a self, code: &'a str) -> &'a str {
        self.budget.as_deref().unwrap_or(code)
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
            api_key: Secret::default(),
            domain: String::new(),
            time_zone: Tz::UTC,
            per_second: 0,
            per_minute: 120,
            per_day: 0,
            burst: 1,
            timeout: None,
            concurrency: None,
            policy: None,
            budget: None,
        }
    }
}
