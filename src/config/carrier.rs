//! A carrier's section: how to reach the carrier, and how often.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::{Policy, Secret, SecretUrl, Span};

/// How to reach one carrier, or (`*`) every carrier without a section of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CarrierSection {
    /// One of the adapters that `carriers` lists, or `none`: the section is not in use.
    #[schemars(extend("examples" = ["emulator"]))]
    pub adapter: String,
    /// Address of the carrier's API, `http` or `https`.
    #[schemars(extend("examples" = ["http://localhost:9000"]))]
    pub base_url: SecretUrl,
    /// The key or token that the carrier issued.
    #[schemars(extend("examples" = ["the key the carrier issued"]))]
    pub api_key: Secret,
    /// The domain that the key is registered for.
    #[schemars(extend("examples" = ["example.org"]))]
    pub domain: String,
    /// IANA name of the zone of times without an offset.
    #[schemars(with = "String", extend("format" = "time zone", "examples" = ["Europe/Moscow"]))]
    pub time_zone: Tz,
    /// Calls in any second, at most; 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_second: u32,
    /// Calls in any minute, at most; 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_minute: u32,
    /// Calls a day (UTC), at most; 0 means no limit.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub per_day: u32,
    /// Calls that may go out at once after a pause; at most the smallest limit.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
    /// Time limit for one call; defaults to `work.carrier_timeout`.
    #[schemars(extend("to" = "1d", "examples" = ["10s"]))]
    pub timeout: Option<Span>,
    /// Concurrent calls, at most; defaults to `work.concurrency`.
    #[schemars(range(min = 1, max = 1_000), extend("examples" = [10]))]
    pub concurrency: Option<u32>,
    /// How the time of the next check is chosen; defaults to `work.policy`.
    #[schemars(extend("examples" = ["fixed"]))]
    pub policy: Option<Policy>,
    /// The account that the calls count for, shared by all sections that name it; defaults to the section's name.
    #[schemars(extend("format" = "account", "examples" = ["shared-account"]))]
    pub budget: Option<String>,
}

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
