//! The adapter of each section of the configuration, and what is missing for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;

use crate::carriers::adapters::{Adapter, all};
use crate::carriers::declared::file::File;
use crate::carriers::{Access, Carrier};
use crate::config::check::Mistakes;
use crate::config::format::{is_safe, shown};
use crate::config::keys::{Entry, KeyPath, nearest, toml_key};
use crate::config::{CarrierSection, Config, SecretUrl};
use crate::model::number::fold;

/// A section in use, by its code, with what its adapter's file gives to keys that it leaves out, and its adapter.
pub type Adapted<'a> = (&'a str, CarrierSection, Arc<dyn Carrier>);

/// Makes the adapter of every section in use that has what its adapter needs.
pub fn adapters<'a>(config: &'a Config, mistakes: &mut Mistakes<'_>) -> Vec<Adapted<'a>> {
    let (known, wrong_files) = all(&config.adapters.folder);
    wrong_files
        .into_iter()
        .for_each(|mistake| mistakes.push(mistake));
    let in_use = config
        .carriers
        .iter()
        .filter(|(_, section)| section.is_in_use());
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (code, _) in in_use.clone() {
        if let Some(other) = names.insert(fold(code), code) {
            let what = format!(
                "is set, but [carriers.{}] is the same carrier",
                toml_key(other)
            );
            let advice = "codes that differ only in case and blanks are one carrier: keep one of the sections, and set \
                          adapter = \"none\" in the other";
            mistakes.add(&["carriers", code, "adapter"], what, advice);
        }
    }
    let mut made: Vec<(&str, Access, Arc<dyn Carrier>)> = Vec::new();
    in_use
        .filter_map(|(code, section)| {
            let adapter = adapter(config, &known, code, section, mistakes)?;
            let section = &with_defaults(section, &adapter.file);
            let base_url = base_url(adapter, code, section, mistakes);
            let complete = has_needs(adapter, code, section, mistakes);
            let access = Access {
                base_url: base_url.filter(|_| complete)?,
                login_url: login_url(adapter, code, section, mistakes),
                api_key: section.api_key.expose().to_owned(),
                user: section.user.clone(),
                secret: section.secret.expose().to_owned(),
                domain: section.domain.clone(),
                zone: section.time_zone,
                registers: section.register,
            };
            // Sections that call in the same way share one, so that one call may ask for the parcels of all.
            let same = made
                .iter()
                .find(|(name, theirs, _)| *name == adapter.name && *theirs == access);
            let carrier = match same {
                Some((.., carrier)) => Arc::clone(carrier),
                None => {
                    let carrier = adapter.make(access.clone());
                    made.push((adapter.name, access, Arc::clone(&carrier)));
                    carrier
                }
            };
            push(carrier.as_ref(), code, section, mistakes);
            let most = carrier.numbers_per_call();
            if let Some(numbers) = section.numbers.filter(|numbers| *numbers as usize > most) {
                let name = adapter.name;
                let what =
                    format!("is {numbers}, more than the {most} that the adapter {name} takes");
                let advice = format!("lower it to at most {most}, or leave it out");
                mistakes.add(&["carriers", code, "numbers"], what, advice);
            }
            Some((code.as_str(), section.clone(), carrier))
        })
        .collect()
}

/// A section with the address and the limits of the adapter's file, where it names none.
fn with_defaults(section: &CarrierSection, file: &File) -> CarrierSection {
    let mut section = section.clone();
    let defaults = &file.defaults;
    if let (true, Some(base_url)) = (section.base_url.is_empty(), &defaults.base_url) {
        section.base_url = SecretUrl::new(base_url.as_str());
    }
    // They hold besides those by the second, minute and day: a day's quota stays one, whatever a minute's is.
    if section.limits.is_empty() {
        section.limits.clone_from(&defaults.limits);
    }
    section.min_interval = section.min_interval.max(defaults.min_interval);
    section
}

fn adapter<'k>(
    config: &Config,
    known: &'k [Adapter],
    code: &str,
    section: &CarrierSection,
    mistakes: &mut Mistakes<'_>,
) -> Option<&'k Adapter> {
    let named = known.iter().find(|adapter| adapter.name == section.adapter);
    if named.is_some() {
        return named;
    }
    let path = ["carriers", code, "adapter"];
    let names = known.iter().map(|adapter| adapter.name).chain(["none"]);
    let list = names.clone().collect::<Vec<&str>>().join(", ");
    if section.adapter.is_empty() {
        // The section is new and unfinished, or its code is misspelt.
        let others = config
            .carriers
            .iter()
            .filter(|(_, other)| !other.adapter.is_empty());
        let meant = nearest(code, others.map(|(code, _)| code.as_str()));
        let meant = meant.map_or_else(String::new, |code| {
            format!("; or did you mean [carriers.{}]?", toml_key(code))
        });
        let variable = KeyPath::of(&path).variable();
        let advice = format!(
            "a new section needs a base_url and an adapter: {list}, as a variable {variable}=...{meant}"
        );
        mistakes.add(&path, "is missing", advice);
    } else {
        let meant = nearest(&section.adapter, names);
        let meant = meant.map_or_else(
            || of_code(config, &section.adapter),
            |name| format!("; did you mean {name}?"),
        );
        let what = format!("is {}, which is not known", shown(&section.adapter));
        mistakes.add(&path, what, format!("give one of {list}{meant}"));
    }
    None
}

fn base_url(
    adapter: &Adapter,
    code: &str,
    section: &CarrierSection,
    mistakes: &mut Mistakes<'_>,
) -> Option<Url> {
    let path = ["carriers", code, "base_url"];
    let text = section.base_url.expose();
    let what = match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {
            let (what, advice) = match too_much(adapter, &url) {
                Some(mistake) => mistake,
                None if adapter.is_users && !is_safe(&url) => (
                    "is neither https nor an address of this machine",
                    "a user's own carrier file gets its key sent encrypted only: give an https address".to_owned(),
                ),
                None => return Some(url),
            };
            mistakes.add(&path, what, advice);
            return None;
        }
        _ if text.is_empty() => "is missing".to_owned(),
        Ok(_) => format!("is {}, which is neither http nor https", shown(text)),
        Err(error) => format!("is {}, which is no address: {error}", shown(text)),
    };
    let advice = "give the address of the carrier's API, such as http://localhost:9000 or https://api.track24.ru";
    mistakes.add(&path, what, advice);
    None
}

/// Where the account logs in, if the section says so.
fn login_url(
    adapter: &Adapter,
    code: &str,
    section: &CarrierSection,
    mistakes: &mut Mistakes<'_>,
) -> Option<Url> {
    let text = section.login_url.expose();
    if text.is_empty() {
        return None;
    }
    let login = adapter.file.login.as_ref();
    let is_apart = login.is_some_and(|login| login.request.base_url.is_some());
    let (what, advice) = match Url::parse(text) {
        _ if !is_apart => (
            format!("is set, but the adapter {} does not log in on a host of its own", adapter.name),
            "leave it out".to_owned(),
        ),
        Ok(url) if is_safe(&url) && url.query().is_none() => return Some(url),
        _ => (
            "is no address with https, or of this machine".to_owned(),
            "give the address that the path of the log-in comes behind, such as https://login.example".to_owned(),
        ),
    };
    mistakes.add(&["carriers", code, "login_url"], what, advice);
    None
}

/// What to know if the name of an adapter is a carrier's code; else nothing.
fn of_code(config: &Config, name: &str) -> String {
    let mut codes = config.carriers.keys();
    let code = codes.find(|code| code.eq_ignore_ascii_case(name));
    code.map_or_else(String::new, |code| {
        format!("; {code} is a carrier's code, and the adapter names the API that is asked about its parcels")
    })
}

/// What an address has that the adapter adds by itself, and what to give instead: often an example of a whole request
/// was copied. The key in it is not repeated.
fn too_much(adapter: &Adapter, url: &Url) -> Option<(&'static str, String)> {
    let segments: Vec<&str> = url.path().split('/').collect();
    // Two segments of it are no coincidence.
    let own = &adapter.path[..adapter.path.len().min(2)];
    if own.is_empty() {
        return None;
    }
    let is_own = |part: &[&str]| {
        let mut pairs = part.iter().zip(own);
        pairs.all(|(ours, theirs)| ours.eq_ignore_ascii_case(theirs))
    };
    let place = segments.windows(own.len()).position(is_own);
    let what = match place {
        Some(_) => "holds the path of a request, which the adapter adds by itself",
        None if url.query().is_some() || url.fragment().is_some() => {
            "holds a query, which the adapter adds by itself"
        }
        None => return None,
    };
    let mut base = url.clone();
    base.set_path(&segments[..place.unwrap_or(segments.len())].join("/"));
    let base = without_credentials(base.as_str());
    let base = base.trim_end_matches('/');
    let advice = format!("give {base} alone, and the key as api_key if there is one");
    Some((what, advice))
}

fn has_needs(
    adapter: &Adapter,
    code: &str,
    section: &CarrierSection,
    mistakes: &mut Mistakes<'_>,
) -> bool {
    let mut complete = true;
    for key in &adapter.needs {
        if section.is_set(key) {
            continue;
        }
        complete = false;
        let path = KeyPath::of(&["carriers", code, key]);
        let meaning = match path.entry() {
            Some(Entry::Key(schema)) => schema["description"].as_str().unwrap_or_default(),
            _ => "",
        };
        let advice = format!(
            "set it, best as the variable {}: {meaning}",
            path.variable()
        );
        let what = format!("is missing; the adapter {} needs it", adapter.name);
        mistakes.add(&["carriers", code, key], what, advice);
    }
    complete
}

/// What a section says of pushes must be of use, and enough to know the carrier by.
fn push(carrier: &dyn Carrier, code: &str, section: &CarrierSection, mistakes: &mut Mistakes<'_>) {
    let name = carrier.name();
    let takes = !section.push_secret.is_empty();
    match carrier.push_signature() {
        None if takes => mistakes.add(
            &["carriers", code, "push_secret"],
            format!("is set, but the adapter {name} reads nothing that is pushed"),
            "leave it out; docs/carriers.md says which adapters do",
        ),
        Some(Some(signature))
            if takes
                && section.push_key.is_empty()
                && (section.api_key.is_empty() || !signature.by_api_key) =>
        {
            let path = KeyPath::of(&["carriers", code, "push_key"]);
            let variable = path.variable();
            mistakes.add(
                &["carriers", code, "push_key"],
                format!("is missing; the carrier signs what it pushes to the adapter {name}"),
                format!("set it to the key that it signs with, best as the variable {variable}"),
            );
        }
        _ => {}
    }
}

/// A URL without user, password and query.
pub fn without_credentials(text: &str) -> String {
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
