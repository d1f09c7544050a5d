//! The configuration in force as TOML, for people and for loading again.

use std::collections::BTreeMap;

use crate::config::keys::{quoted, toml_key};
use crate::config::{CarrierSection, Config};

impl Config {
    /// The configuration as a file that can be loaded again, with every secret hidden.
    pub fn shown(&self) -> String {
        let others = Config {
            carriers: BTreeMap::new(),
            ..self.clone()
        };
        let mut text = format!(
            "# What is in force. Secrets are hidden.\n\n{}",
            written(&others)
        );
        for (code, section) in &self.carriers {
            let others = CarrierSection {
                limits: Vec::new(),
                ..section.clone()
            };
            text.push_str(&format!(
                "\n[carriers.{}]\n{}",
                toml_key(code),
                written(&others)
            ));
            if !section.limits.is_empty() {
                text.push_str(&format!("limits = {}\n", inline(&section.limits)));
            }
            text.push_str(&inherited(self, code, section));
        }
        text
    }
}

fn written(part: &impl serde::Serialize) -> String {
    toml::to_string(part).expect("a configuration is made of values that TOML has")
}

/// A value on one line, as TOML writes it.
pub fn inline(value: &impl serde::Serialize) -> String {
    let value = toml::Value::try_from(value);
    value
        .expect("a configuration is made of values that TOML has")
        .to_string()
}

/// Says in comments what a section takes from elsewhere.
fn inherited(config: &Config, code: &str, section: &CarrierSection) -> String {
    if !section.is_in_use() {
        return "# not in use\n".to_owned();
    }
    let (work, mut text) = (&config.work, String::new());
    if section.per_minute.is_none() {
        text += &format!("# per_minute: {}\n", section.per_minute());
    }
    if section.timeout.is_none() {
        text += &format!(
            "# timeout: {}, as work.carrier_timeout\n",
            work.carrier_timeout
        );
    }
    if section.concurrency.is_none() {
        text += &format!("# concurrency: {}, as work.concurrency\n", work.concurrency);
    }
    if section.policy.is_none() {
        text += &format!("# policy: {}, as work.policy\n", work.policy.name());
    }
    if section.budget.is_none() {
        text += &format!("# budget: its own, {}\n", quoted(code));
    }
    text
}
