//! One layer of the configuration: what one file, preset or environment says, key by key, with the place of each.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use crate::config::keys::KeyPath;
use crate::config::unknown::{carrier_keys, sections, unknown_key, unknown_variable};
use crate::config::{Preset, Problem};

/// What the variables of keys begin with.
pub const PREFIX: &str = "TRACKBOX_";

/// What comes before the variables that are no keys: those of tests.
const TESTS: &str = "TRACKBOX_TEST_";

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "TRACKBOX_CONFIG";

/// Where a layer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Shipped,
    Preset(Preset),
    /// `implied`: read because it lies in the working directory, not because it was named.
    File {
        path: PathBuf,
        implied: bool,
    },
    Variables,
}

impl Source {
    /// The place of a key in it.
    pub fn place(&self, path: &KeyPath) -> String {
        match self {
            Self::Variables => format!("variable {}", path.variable()),
            _ => format!("{self}, key {path}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str("the defaults"),
            Self::Preset(Preset::Normal) => f.write_str("the preset of work.cadence = \"normal\""),
            Self::Preset(Preset::Demo) => f.write_str("the preset of work.cadence = \"demo\""),
            Self::File {
                path,
                implied: false,
            } => write!(f, "file {}", path.display()),
            Self::File {
                path,
                implied: true,
            } => {
                write!(
                    f,
                    "file {} (in the working directory; --config names another)",
                    path.display()
                )
            }
            Self::Variables => f.write_str("the variables"),
        }
    }
}

/// What one source says; every key in it is known and every value of the right kind.
#[derive(Clone, Debug)]
pub struct Layer {
    pub source: Source,
    sections: Dict,
    named: BTreeSet<KeyPath>,
}

impl Layer {
    fn empty(source: Source) -> Self {
        Self {
            source,
            sections: Dict::new(),
            named: BTreeSet::new(),
        }
    }

    /// Reads a file; what is wrong in it goes to `problems` and is left out.
    pub fn from_toml(source: Source, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut layer = Self::empty(source);
        match Toml::from_str::<Dict>(text) {
            Ok(dict) => layer.take_sections(dict, problems),
            Err(error) => {
                // The error's own text would show the line, and with it what may be a key or a password.
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map_or(1, |before| before.matches('\n').count() + 1);
                let reason = error
                    .message()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                problems.push(Problem {
                    what: format!("this is not TOML: {reason}"),
                    place: format!("{}, line {line}", layer.source),
                    advice: "write KEY = VALUE lines under [SECTION] lines, texts in quotes"
                        .to_owned(),
                });
            }
        }
        layer
    }

    /// Reads the variables; those that do not begin with `TRACKBOX_` are not looked at.
    pub fn from_variables(variables: &[(String, String)], problems: &mut Vec<Problem>) -> Self {
        let mut layer = Self::empty(Source::Variables);
        for (name, text) in variables {
            if !name.starts_with(PREFIX) || no_key(name, text) {
                continue;
            }
            let path = path_of_variable(name);
            match path.as_ref().and_then(|path| Some((path, path.key()?))) {
                Some((path, key)) => match key.kind.read_text(text) {
                    Ok(value) => layer.insert(path, value),
                    Err(what) => problems.push(Problem {
                        what: format!("{name} {what}"),
                        place: layer.source.place(path),
                        advice: format!(
                            "give {}, for example {name}={}{}",
                            key.kind.expected().replace(" in quotes", ""),
                            as_variable(key.example),
                            key.kind.meant(text)
                        ),
                    }),
                },
                None => problems.push(unknown_variable(name)),
            }
        }
        layer
    }

    /// The value of a key that is named here.
    pub fn get(&self, path: &KeyPath) -> Option<&Value> {
        let (name, sections) = path.0.split_last()?;
        let mut dict = &self.sections;
        for section in sections {
            dict = dict.get(section)?.as_dict()?;
        }
        dict.get(name)
    }

    /// Whether a key, or a carrier's section, is named here.
    pub fn names(&self, path: &KeyPath) -> bool {
        self.named.contains(path)
    }

    fn take_sections(&mut self, dict: Dict, problems: &mut Vec<Problem>) {
        for (section, value) in dict {
            let path = KeyPath::of(&[&section]);
            let known = section == "carriers" || sections().any(|known| known == section);
            match value {
                Value::Dict(_, keys) if section == "carriers" => self.take_carriers(keys, problems),
                Value::Dict(_, keys) if known => {
                    for (name, value) in keys {
                        self.take(&KeyPath::of(&[&section, &name]), &value, problems);
                    }
                }
                Value::Dict(_, keys) if !keys.is_empty() => {
                    for path in paths_in(&section, &keys) {
                        problems.push(unknown_key(&self.source, &path));
                    }
                }
                _ if known => problems.push(Problem {
                    what: format!("{path} is a section, not a key"),
                    place: self.source.place(&path),
                    advice: format!("write [{section}] on a line of its own and its keys below"),
                }),
                _ => problems.push(unknown_key(&self.source, &path)),
            }
        }
    }

    fn take_carriers(&mut self, carriers: Dict, problems: &mut Vec<Problem>) {
        for (code, value) in carriers {
            let path = KeyPath::of(&["carriers", &code]);
            let Value::Dict(_, keys) = value else {
                problems.push(Problem {
                    what: format!("{path} is a value where the section of a carrier belongs"),
                    place: self.source.place(&path),
                    advice: format!(
                        "write it under [carriers.CODE], or [carriers.\"*\"] for all others; the keys are {}",
                        carrier_keys()
                    ),
                });
                continue;
            };
            self.insert(&path, Value::from(Dict::new()));
            for (name, value) in keys {
                self.take(&KeyPath::of(&["carriers", &code, &name]), &value, problems);
            }
        }
    }

    fn take(&mut self, path: &KeyPath, value: &Value, problems: &mut Vec<Problem>) {
        let Some(key) = path.key() else {
            return problems.push(unknown_key(&self.source, path));
        };
        match key.kind.read(value) {
            Ok(value) => self.insert(path, value),
            Err(what) => {
                let name = path.0.last().map_or("", String::as_str);
                problems.push(Problem {
                    what: format!("{path} {what}"),
                    place: self.source.place(path),
                    advice: format!(
                        "give {}, for example {name} = {}{}",
                        key.kind.expected(),
                        key.example,
                        key.kind.meant(value.as_str().unwrap_or_default())
                    ),
                });
            }
        }
    }

    fn insert(&mut self, path: &KeyPath, value: Value) {
        let Some((name, sections)) = path.0.split_last() else {
            return;
        };
        let mut dict = &mut self.sections;
        for (depth, section) in sections.iter().enumerate() {
            self.named.insert(KeyPath(path.0[..=depth].to_vec()));
            let entry = dict
                .entry(section.clone())
                .or_insert_with(|| Value::from(Dict::new()));
            let Value::Dict(_, inner) = entry else { return };
            dict = inner;
        }
        dict.insert(name.clone(), value);
        self.named.insert(path.clone());
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.sections.clone())]))
    }
}

/// Whether a variable that begins with `TRACKBOX_` is meant for something else.
fn no_key(name: &str, text: &str) -> bool {
    name == FILE_VARIABLE || name.starts_with(TESTS) || is_service_link(name, text)
}

/// Whether Kubernetes or Docker made it: a service called `trackbox` gives every container variables such as
/// `TRACKBOX_SERVICE_HOST` and `TRACKBOX_PORT_8080_TCP=tcp://10.0.0.1:8080`.
fn is_service_link(name: &str, text: &str) -> bool {
    let protocol = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|protocol| text.starts_with(protocol));
    let port = || {
        let (_, port) = name.split_once("_PORT_")?;
        let (number, protocol) = port.split_once('_')?;
        let protocol = protocol.split('_').next()?;
        Some(number.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].contains(&protocol))
    };
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || (name.ends_with("_PORT") && protocol)
            || port().unwrap_or(false))
}

fn path_of_variable(name: &str) -> Option<KeyPath> {
    let rest = name.strip_prefix(PREFIX)?;
    let path = match rest.strip_prefix("CARRIERS__") {
        Some(rest) => {
            let (code, key) = rest.rsplit_once("__")?;
            let code = if code == "DEFAULT" { "*" } else { code };
            KeyPath::of(&["carriers", code, &key.to_lowercase()])
        }
        None => {
            let (section, key) = rest.split_once("__")?;
            KeyPath::of(&[&section.to_lowercase(), &key.to_lowercase()])
        }
    };
    // Written in another case it would be a second name for the same key.
    (path.variable() == name).then_some(path)
}

/// The paths of an unknown section's keys, down to a carrier's.
fn paths_in(section: &str, keys: &Dict) -> Vec<KeyPath> {
    let mut paths = Vec::new();
    for (name, value) in keys {
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => {
                paths.extend(inner.keys().map(|key| KeyPath::of(&[section, name, key])));
            }
            _ => paths.push(KeyPath::of(&[section, name])),
        }
    }
    paths
}

/// A TOML example as a variable would give it.
fn as_variable(example: &str) -> String {
    example.replace(['"', '[', ']'], "").replace(", ", ",")
}
