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
            text.push_str(&format!(
                "\n[carriers.{}]\n{}",
                toml_key(code),
                written(section)
            ));
            text.push_str(&inherited(self, code, section));
        }
        text
    }
}

fn written(part: &impl serde::Serialize) -> String {
    toml::to_string(part).expect("a configuration is made of values that TOML has")
}

/// Says in comments what a section takes from elsewhere.
fn inherited(config: &Config, code: &str, section: &CarrierSection) -> String {
    if !section.is_in_use() {
        return "# not in use\n".to_owned();
    }
    let work = &config.work;
    let (timeout, concurrency, policy) =
        (work.carrier_timeout, work.concurrency, work.policy.name());
    let inherited = [
        (
            section.timeout.is_none(),
            format!("# timeout: {timeout}, as work.carrier_timeout\n"),
        ),
        (
            section.concurrency.is_none(),
            format!("# concurrency: {concurrency}, as work.concurrency\n"),
        ),
        (
            section.policy.is_none(),
            format!("# policy: {policy}, as work.policy\n"),
        ),
        (
            section.budget.is_none(),
            format!("# budget: its own, {}\n", quoted(code)),
        ),
    ];
    let lines = inherited
        .into_iter()
        .filter(|(is_inherited, _)| *is_inherited);
    lines.map(|(_, line)| line).collect()
}
