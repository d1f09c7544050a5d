//! The configuration in force as TOML, for people and for loading again.

use figment::value::{Dict, Value};

use crate::config::keys::{CARRIER_KEYS, KEYS, toml_key, toml_text};
use crate::config::{Carrier, Config};

/// What [`Config::shown`] gives.
pub fn toml(config: &Config) -> String {
    let value = Value::serialize(config).expect("a configuration is made of plain values");
    let sections = value.into_dict().unwrap_or_default();
    let mut text = String::from("# What is in force. Secrets are hidden.\n");
    let mut section_open = "";
    for (section, name) in KEYS.iter().filter_map(|key| key.name.split_once('.')) {
        if section != section_open {
            text.push_str(&format!("\n[{section}]\n"));
            section_open = section;
        }
        let keys = sections.get(section).and_then(Value::as_dict);
        push(&mut text, name, keys);
    }
    let carriers = sections.get("carriers").and_then(Value::as_dict);
    for (code, section) in &config.carriers {
        text.push_str(&format!("\n[carriers.{}]\n", toml_key(code)));
        let keys = carriers.and_then(|carriers| carriers.get(code)?.as_dict());
        for key in CARRIER_KEYS {
            push(&mut text, key.name, keys);
        }
        push_inherited(&mut text, config, code, section);
    }
    text
}

fn push(text: &mut String, name: &str, keys: Option<&Dict>) {
    let value = keys.and_then(|keys| keys.get(name)).and_then(toml_value);
    if let Some(value) = value {
        text.push_str(&format!("{name} = {value}\n"));
    }
}

/// Says in comments what a section takes from elsewhere.
fn push_inherited(text: &mut String, config: &Config, code: &str, section: &Carrier) {
    if section.adapter == "none" {
        text.push_str("# not in use\n");
        return;
    }
    if section.timeout.is_none() {
        text.push_str(&format!(
            "# timeout: {}, as work.carrier_timeout\n",
            config.work.carrier_timeout
        ));
    }
    if section.concurrency.is_none() {
        text.push_str(&format!(
            "# concurrency: {}, as work.concurrency\n",
            config.work.concurrency
        ));
    }
    if section.policy.is_none() {
        text.push_str(&format!(
            "# policy: {}, as work.policy\n",
            config.work.policy.name()
        ));
    }
    if section.budget.is_none() {
        text.push_str(&format!("# budget: its own, {}\n", toml_text(code)));
    }
}

/// A value as TOML; `None` where there is none.
fn toml_value(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(toml_text(text)),
        Value::Char(_, c) => Some(toml_text(&c.to_string())),
        Value::Bool(_, truth) => Some(truth.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|whole| whole.to_string())
            .or_else(|| number.to_u128().map(|whole| whole.to_string())),
        Value::Array(_, members) => {
            let members: Vec<String> = members.iter().filter_map(toml_value).collect();
            Some(format!("[{}]", members.join(", ")))
        }
        Value::Empty(..) | Value::Dict(..) => None,
    }
}
