//! The keys, as the schema of [`Config`] has them: their names in files and variables, and the nearest to a wrong one.

use std::fmt;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::Config;

/// The prefix of the variables.
pub const PREFIX: &str = "TRACKBOX_";

/// The variable with an API key, for commands that call a running TrackBox. It is no key of the configuration.
pub const KEY_VARIABLE: &str = "TRACKBOX_KEY";

/// The section of the carriers' sections.
const CARRIERS: &str = "carriers";

/// The most characters of a name that are compared with the known ones.
const COMPARED_CHARS_MAX: usize = 100;

/// How alike two names must be, from 0 to 1, for one to be suggested instead of the other.
const LIKENESS_MIN: f64 = 0.6;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
});

/// The path of a key, `[section, key]` or `["carriers", code, key]`, or of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(pub Vec<String>);

/// What the schema has at a path.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    Section(&'static Value),
    Key(&'static Value),
}

impl KeyPath {
    pub fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    pub fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    /// What stands here; `None` if the configuration has no such key or section.
    pub fn entry(&self) -> Option<Entry> {
        let below = |node: &'static Value, name: &String| {
            let any = || node.get("additionalProperties");
            node["properties"].get(name).or_else(any)
        };
        let node = self.0.iter().try_fold(&*SCHEMA, below)?;
        let is_section = node["properties"].is_object() || node["additionalProperties"].is_object();
        Some(if is_section {
            Entry::Section(node)
        } else {
            Entry::Key(node)
        })
    }

    /// The names in the section that stands here.
    pub fn names(&self) -> Vec<&'static str> {
        let section = match self.entry() {
            Some(Entry::Section(node)) => node["properties"].as_object(),
            _ => None,
        };
        let names = section.into_iter().flat_map(|section| section.keys());
        names.map(String::as_str).collect()
    }

    /// Every key; those of a carrier's section only if there is a `code`.
    pub fn all(code: Option<&str>) -> Vec<Self> {
        let sections = Self::default().names().into_iter();
        let sections = sections.filter_map(|section| match section {
            CARRIERS => Some(Self::of(&[CARRIERS, code?])),
            _ => Some(Self::of(&[section])),
        });
        let keys = |section: Self| {
            section
                .names()
                .into_iter()
                .map(move |name| section.child(name))
        };
        sections.flat_map(keys).collect()
    }

    /// The key's own name.
    pub fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The variable of this key.
    pub fn variable(&self) -> String {
        let parts: Vec<String> = match self.0.as_slice() {
            [carriers, code, name] if carriers == CARRIERS => {
                let code = if code == "*" { "DEFAULT" } else { code };
                vec!["CARRIERS".to_owned(), code.to_owned(), name.to_uppercase()]
            }
            parts => parts.iter().map(|part| part.to_uppercase()).collect(),
        };
        format!("{PREFIX}{}", parts.join("__"))
    }

    /// The keys that a variable of this name might be meant for.
    pub fn near_variable(name: &str) -> Vec<Self> {
        let carrier = name.strip_prefix("TRACKBOX_CARRIERS__");
        let code = carrier
            .and_then(|rest| rest.rsplit_once("__"))
            .map(|(code, _)| code);
        Self::all(code.map(|code| if code == "DEFAULT" { "*" } else { code }))
    }

    /// The key whose variable has this name. In another case it would be a second name for the same key.
    pub fn of_variable(name: &str) -> Option<Self> {
        let mut keys = Self::near_variable(name).into_iter();
        keys.find(|key| key.variable() == name)
    }

    /// The names in the innermost known section around this path, for an advice.
    pub fn siblings(&self) -> String {
        let section = KeyPath(self.0[..self.0.len().saturating_sub(1)].to_vec());
        let names = section.names().join(", ");
        if section.0.is_empty() || names.is_empty() {
            let names = Self::default().names().join(", ");
            format!(
                "the sections are {}",
                names.replace(CARRIERS, "carriers.CODE")
            )
        } else {
            format!("the keys of [{section}] are {names}")
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|part| toml_key(part)).collect();
        f.write_str(&parts.join("."))
    }
}

/// A key as TOML writes it: bare if possible, else in quotes.
pub fn toml_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A text in quotes, as TOML writes it.
pub fn quoted(text: &str) -> String {
    // TOML's basic strings are JSON's, but for one control character.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The one of `known` that `wanted` is most like, if it is like any.
pub fn nearest<T: AsRef<str>>(wanted: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    let wanted = wanted.to_lowercase();
    let wanted: String = wanted.chars().take(COMPARED_CHARS_MAX).collect();
    let likeness =
        |name: &T| strsim::normalized_damerau_levenshtein(&wanted, &name.as_ref().to_lowercase());
    let rated = known.into_iter().map(|name| (likeness(&name), name));
    rated
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
