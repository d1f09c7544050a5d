//! The keys, as the schema of [`Config`] has them: their names in files and variables, and the nearest to a wrong one.

use std::fmt;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::Config;

/// The prefix of the variables.
pub const PREFIX: &str = "TRACKBOX_";

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        let mut node = &*SCHEMA;
        for name in &self.0 {
            node = child(node, name)?;
        }
        let is_section = node["properties"].is_object() || node["additionalProperties"].is_object();
        Some(if is_section {
            Entry::Section(node)
        } else {
            Entry::Key(node)
        })
    }

    /// The key's own name.
    pub fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The variable of this key.
    pub fn variable(&self) -> String {
        let parts: Vec<String> = match self.0.as_slice() {
            [carriers, code, name] if carriers == "carriers" => {
                let code = if code == "*" { "DEFAULT" } else { code };
                vec!["CARRIERS".to_owned(), code.to_owned(), name.to_uppercase()]
            }
            parts => parts.iter().map(|part| part.to_uppercase()).collect(),
        };
        format!("{PREFIX}{}", parts.join("__"))
    }

    /// The key whose variable has this name, if that is how a variable is written; it need not be a known key.
    pub fn of_variable(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        let path = match rest.strip_prefix("CARRIERS__") {
            Some(rest) => {
                let (code, key) = rest.rsplit_once("__")?;
                let code = if code == "DEFAULT" { "*" } else { code };
                Self::of(&["carriers", code, &key.to_lowercase()])
            }
            None => {
                let (section, key) = rest.split_once("__")?;
                Self::of(&[&section.to_lowercase(), &key.to_lowercase()])
            }
        };
        // Written in another case it would be a second name for the same key.
        (path.variable() == name).then_some(path)
    }

    /// Every key that might have been meant by this path or by something like it.
    pub fn candidates(&self) -> Vec<Self> {
        let code = self.0.get(1).filter(|_| self.0.len() == 3);
        let mut keys = Vec::new();
        collect(&SCHEMA, &Self::default(), code, &mut keys);
        keys
    }

    /// The names in the innermost known section around this path, for an advice.
    pub fn siblings(&self) -> String {
        let section = KeyPath(self.0[..self.0.len().saturating_sub(1)].to_vec());
        match section.entry() {
            Some(Entry::Section(node)) if !section.0.is_empty() => {
                format!("the keys of [{section}] are {}", names(node).join(", "))
            }
            _ => {
                let names = names(&SCHEMA)
                    .join(", ")
                    .replace("carriers", "carriers.CODE");
                format!("the sections are {names}")
            }
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|part| toml_key(part)).collect();
        f.write_str(&parts.join("."))
    }
}

fn child(node: &'static Value, name: &str) -> Option<&'static Value> {
    node["properties"].get(name).or_else(|| {
        node.get("additionalProperties")
            .filter(|any| any.is_object())
    })
}

fn names(node: &'static Value) -> Vec<&'static str> {
    let properties = node["properties"].as_object();
    properties
        .into_iter()
        .flat_map(|keys| keys.keys().map(String::as_str))
        .collect()
}

/// Adds the keys below `node`; those of carriers only if there is a `code`.
fn collect(node: &'static Value, path: &KeyPath, code: Option<&String>, keys: &mut Vec<KeyPath>) {
    let any = code.filter(|_| node["additionalProperties"].is_object());
    let below: Vec<&str> = names(node)
        .into_iter()
        .chain(any.map(String::as_str))
        .collect();
    for name in below {
        let path = path.child(name);
        match path.entry() {
            Some(Entry::Section(node)) => collect(node, &path, code, keys),
            Some(Entry::Key(_)) => keys.push(path),
            None => {}
        }
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
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: String = wanted
        .to_lowercase()
        .chars()
        .take(COMPARED_CHARS_MAX)
        .collect();
    let likeness =
        |name: &str| strsim::normalized_damerau_levenshtein(&wanted, &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
