//! What must hold of the carriers' sections, one by one and among those that share a budget.

use std::collections::BTreeMap;

use chrono_tz::{TZ_VARIANTS, Tz};
use reqwest::Url;

use crate::config::Carrier;
use crate::config::check::{Check, LEASE_MARGIN, shown};
use crate::config::keys::{ADAPTERS, KeyPath, nearest, toml_key};
use crate::model::CarrierCode;

impl Check<'_> {
    pub fn carriers(&mut self) {
        for (code, section) in &self.config.carriers {
            self.code(code);
            match section.adapter.as_str() {
                "none" => {}
                "" => self.no_adapter(code),
                _ => {
                    self.base_url(code, section);
                    self.time_zone(code, section);
                    self.credentials(code, section);
                    self.limits(code, section);
                }
            }
        }
        self.budgets();
    }

    fn code(&mut self, code: &str) {
        if let Err(error) = CarrierCode::parse(code) {
            let path = KeyPath::of(&["carriers", code]);
            let what = format!("{path} is the section of no carrier: its code {error}");
            let advice =
                "name the section as requests write the carrier's code, or \"*\" for all others";
            self.push(&path, what, advice);
        }
    }

    /// A section without an adapter is either new and unfinished, or its code is misspelt.
    fn no_adapter(&mut self, code: &str) {
        let path = KeyPath::of(&["carriers", code, "adapter"]);
        let others = self
            .config
            .carriers
            .iter()
            .filter(|(_, other)| !other.adapter.is_empty());
        let meant = nearest(code, others.map(|(code, _)| code.clone()));
        let meant = meant.map_or_else(String::new, |code| {
            format!("; or did you mean [carriers.{}]?", toml_key(&code))
        });
        let advice = format!(
            "a new section needs a base_url and an adapter: {}, as a variable {}=...{meant}",
            ADAPTERS.join(", "),
            path.variable()
        );
        self.push(&path, format!("{path} is missing"), advice);
    }

    fn base_url(&mut self, code: &str, section: &Carrier) {
        let path = ["carriers", code, "base_url"];
        let text = &section.base_url;
        let advice = "give the address of the carrier's API, such as http://localhost:9000 or https://api.track24.ru";
        if text.is_empty() {
            self.refuse(&path, "is missing", advice);
            return;
        }
        match Url::parse(text) {
            Err(error) => self.refuse(
                &path,
                format!("is {}, which is no address: {error}", shown(text)),
                advice,
            ),
            Ok(url) if !["http", "https"].contains(&url.scheme()) || !url.has_host() => {
                self.refuse(
                    &path,
                    format!("is {}, which is neither http nor https", shown(text)),
                    advice,
                );
            }
            Ok(_) => self.mask(&path, text),
        }
    }

    fn time_zone(&mut self, code: &str, section: &Carrier) {
        if section.time_zone.parse::<Tz>().is_err() {
            let known = TZ_VARIANTS.iter().map(|zone| zone.name().to_owned());
            let advice = nearest(&section.time_zone, known).map_or_else(
                || "give an IANA name such as Europe/Moscow or UTC".to_owned(),
                |name| format!("did you mean {name}?"),
            );
            let what = format!("is {}, which is no time zone", shown(&section.time_zone));
            self.refuse(&["carriers", code, "time_zone"], what, advice);
        }
    }

    fn credentials(&mut self, code: &str, section: &Carrier) {
        let adapter = section.adapter.as_str();
        let path = ["carriers", code, "api_key"];
        if ["track24", "gdeposylka"].contains(&adapter) && section.api_key.is_empty() {
            let variable = KeyPath::of(&path).variable();
            let what = format!("is missing; the adapter {adapter} needs it");
            self.refuse(
                &path,
                what,
                format!("give the key that the carrier gave, best as the variable {variable}"),
            );
        }
        if adapter == "track24" && section.domain.is_empty() {
            let what = "is missing; the adapter track24 needs it";
            self.refuse(
                &["carriers", code, "domain"],
                what,
                "give the domain that the key is registered for",
            );
        }
        self.mask(&path, section.api_key.expose());
    }

    fn limits(&mut self, code: &str, section: &Carrier) {
        let limits = [section.per_second, section.per_minute, section.per_day];
        let smallest = limits.into_iter().filter(|limit| *limit > 0).min();
        if let Some(smallest) = smallest.filter(|smallest| section.burst > *smallest) {
            let what = format!(
                "is {}, more than the section's smallest limit, {smallest}",
                section.burst
            );
            self.refuse(
                &["carriers", code, "burst"],
                what,
                format!("lower it to at most {smallest}, or raise the limit"),
            );
        }
        if let Some(timeout) = section.timeout
            && timeout.get() + LEASE_MARGIN > self.config.work.lease.get()
        {
            let (what, advice) = (self.too_long_for_lease(timeout), self.lease_advice(timeout));
            self.refuse(&["carriers", code, "timeout"], what, advice);
        }
        if let Some(budget) = &section.budget
            && let Err(error) = CarrierCode::parse(budget.as_str())
        {
            let what = format!("is {}, which is no name: it {error}", shown(budget));
            self.refuse(
                &["carriers", code, "budget"],
                what,
                "give a name of 1 to 64 characters, the same one in all sections that share it",
            );
        }
    }

    /// Sections that share an account must say the same of it, since its calls are counted once.
    fn budgets(&mut self) {
        let mut firsts: BTreeMap<&str, (&str, &Carrier)> = BTreeMap::new();
        for (code, section) in &self.config.carriers {
            if ["none", ""].contains(&section.adapter.as_str()) {
                continue;
            }
            let budget = section.budget.as_deref().unwrap_or(code);
            let (first_code, first) = *firsts.entry(budget).or_insert((code, section));
            for ((key, ours), (_, theirs)) in
                self.shared(section).into_iter().zip(self.shared(first))
            {
                if ours == theirs {
                    continue;
                }
                let other = KeyPath::of(&["carriers", first_code, key]);
                let place = self.place(&other);
                self.refuse(
                    &["carriers", code, key],
                    format!("is {ours}, but {other} is {theirs} ({place}), and both share the budget {}", shown(budget)),
                    "give both sections the same value, or each a budget of its own",
                );
            }
        }
    }

    /// What sections with one budget must agree on.
    fn shared(&self, section: &Carrier) -> [(&'static str, String); 6] {
        let work = &self.config.work;
        let policy = section.policy.unwrap_or(work.policy);
        [
            ("per_second", section.per_second.to_string()),
            ("per_minute", section.per_minute.to_string()),
            ("per_day", section.per_day.to_string()),
            ("burst", section.burst.to_string()),
            (
                "concurrency",
                section.concurrency.unwrap_or(work.concurrency).to_string(),
            ),
            ("policy", policy.name().to_owned()),
        ]
    }
}
