//! One layer of the configuration: the keys that one file, preset or environment sets, each read and checked.

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use serde_json::{Value as Json, json};

use crate::config::keys::{Entry, KeyPath, PREFIX, nearest};
use crate::config::mistakes::Mistake;
use crate::config::shape::Shape;
use crate::config::{CarrierSection, Config};

/// The prefix of the variables that tests use for themselves.
const TESTS: &str = "TRACKBOX_TEST_";

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "TRACKBOX_CONFIG";

/// The most parts of a key's path: `carriers`, code and key.
const DEPTH_MAX: usize = 3;

/// Where a layer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A text with the name that errors give it, such as `file my.toml`.
    Toml(String),
    Variables,
}

impl Source {
    /// The place of a key in it.
    pub fn place(&self, path: &KeyPath) -> String {
        match self {
            Self::Toml(name) => format!("{name}, key {path}"),
            Self::Variables => format!("variable {}", path.variable()),
        }
    }
}

/// What one source sets; every key in it is known and every value fits its key.
#[derive(Debug)]
pub struct Layer {
    pub source: Source,
    pub sections: Dict,
}

impl Layer {
    /// Reads a TOML text. What is wrong in it is added to `mistakes` and left out.
    pub fn from_toml(name: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Self {
        let dict = Toml::from_str::<Dict>(text).unwrap_or_else(|error| {
            // The error's own text would show the line, which may hold a key or a password.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            let reason = error.message().lines().next().unwrap_or_default();
            mistakes.push(Mistake {
                what: format!("this is not TOML: {reason}"),
                place: format!("{name}, line {line}"),
                advice: "write KEY = VALUE lines under [SECTION] lines, texts in quotes".to_owned(),
            });
            Dict::new()
        });
        Self::read(Source::Toml(name.to_owned()), dict, mistakes)
    }

    /// Reads the environment variables; those that do not begin with `TRACKBOX_` are ignored.
    pub fn from_variables(variables: &[(String, String)], mistakes: &mut Vec<Mistake>) -> Self {
        let mut dict = Dict::new();
        let ours = variables.iter().filter(|(name, text)| {
            let other = name == FILE_VARIABLE || name.starts_with(TESTS);
            name.starts_with(PREFIX) && !other && !is_service_link(name, text)
        });
        for (name, text) in ours {
            let path = KeyPath::of_variable(name);
            let is_key = |path: &KeyPath| matches!(path.entry(), Some(Entry::Key(_)));
            match path.filter(is_key) {
                Some(path) => insert(&mut dict, &path.0, Value::from(text.as_str())),
                None => mistakes.push(unknown_variable(name)),
            }
        }
        Self::read(Source::Variables, dict, mistakes)
    }

    fn read(source: Source, dict: Dict, mistakes: &mut Vec<Mistake>) -> Self {
        let sections = Dict::new();
        let mut layer = Self { source, sections };
        layer.take_all(&KeyPath::default(), dict, mistakes);
        layer
    }

    /// The key or section that this layer sets at `path`.
    pub fn get(&self, path: &KeyPath) -> Option<&Value> {
        let (first, rest) = path.0.split_first()?;
        let first = self.sections.get(first)?;
        rest.iter()
            .try_fold(first, |value, name| value.as_dict()?.get(name))
    }

    /// Reads what stands below `above`.
    fn take_all(&mut self, above: &KeyPath, dict: Dict, mistakes: &mut Vec<Mistake>) {
        for (name, value) in dict {
            let path = above.child(&name);
            if let Err((what, advice)) = self.take(&path, value, mistakes) {
                let place = self.source.place(&path);
                mistakes.push(Mistake {
                    what,
                    place,
                    advice,
                });
            }
        }
    }

    fn take(
        &mut self,
        path: &KeyPath,
        value: Value,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<(), Wrong> {
        match (path.entry(), value) {
            (Some(Entry::Section(_)), Value::Dict(_, keys)) => {
                insert(&mut self.sections, &path.0, Value::from(Dict::new()));
                self.take_all(path, keys, mistakes);
            }
            (Some(Entry::Section(_)), _) => return Err(no_section(path)),
            (Some(Entry::Key(schema)), value) => {
                let value = self.value(path, schema, &value)?;
                insert(&mut self.sections, &path.0, value);
            }
            (None, Value::Dict(_, keys)) if !keys.is_empty() && path.0.len() < DEPTH_MAX => {
                self.take_all(path, keys, mistakes);
            }
            (None, _) => return Err(unknown_key(path)),
        }
        Ok(())
    }

    /// Reads the value of a key.
    fn value(&self, path: &KeyPath, schema: &'static Json, value: &Value) -> Result<Value, Wrong> {
        let shape = Shape::of(schema);
        let text = value.as_str().unwrap_or_default();
        let read = match self.source {
            Source::Toml(_) => shape.read(value),
            Source::Variables => shape.read_text(text),
        };
        read.map_err(|what| {
            let (mut expected, mut example) = (shape.expected(), example(path, schema));
            let (key, assigned) = match self.source {
                Source::Toml(_) => (path.to_string(), format!("{} = ", path.name())),
                Source::Variables => {
                    expected = expected.replace(" in quotes", "");
                    example = example.replace(['"', '[', ']'], "");
                    (path.variable(), format!("{}=", path.variable()))
                }
            };
            let meant = shape.meant(text);
            let advice = format!("give {expected}, for example {assigned}{example}{meant}");
            (format!("{key} {what}"), advice)
        })
    }
}

/// What is wrong, and what to do.
type Wrong = (String, String);

fn no_section(path: &KeyPath) -> Wrong {
    match path.0.as_slice() {
        [section] => (
            format!("{path} is a section, not a key"),
            format!("write [{section}] on a line of its own and its keys below"),
        ),
        _ => (
            format!("{path} is a value where the section of a carrier belongs"),
            format!(
                "write it under [carriers.CODE], or [carriers.\"*\"] for all others; {}",
                KeyPath::of(&["carriers", "CODE", ""]).siblings()
            ),
        ),
    }
}

fn unknown_key(path: &KeyPath) -> Wrong {
    let known: Vec<String> = path.candidates().iter().map(KeyPath::to_string).collect();
    let meant = nearest(&path.to_string(), known.iter().map(String::as_str));
    let advice = meant.map_or_else(|| path.siblings(), |name| format!("did you mean {name}?"));
    (format!("{path} is not a known key"), advice)
}

fn unknown_variable(name: &str) -> Mistake {
    let carrier = name
        .strip_prefix("TRACKBOX_CARRIERS__")
        .and_then(|rest| rest.rsplit_once("__"));
    let path = carrier.map_or_else(KeyPath::default, |(code, key)| {
        KeyPath::of(&["carriers", code, key])
    });
    // The prefix, which all share, would make everything look alike.
    let bare = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    let variables = path.candidates().into_iter().map(|path| path.variable());
    let known: Vec<String> = variables.map(|variable| bare(&variable)).collect();
    let advice = match nearest(&bare(name), known.iter().map(String::as_str)) {
        Some(known) => format!("did you mean {PREFIX}{known}?"),
        None => "name it TRACKBOX_SECTION__KEY or TRACKBOX_CARRIERS__CODE__KEY, with two underscores between; \
                 `trackbox config` shows every section and key"
            .to_owned(),
    };
    Mistake {
        what: format!("{name} is not the variable of a known key"),
        place: format!("variable {name}"),
        advice,
    }
}

/// A good value of a key, as TOML: the schema's example, else the default.
pub fn example(path: &KeyPath, schema: &Json) -> String {
    if let Some(example) = schema["examples"].get(0) {
        return example.to_string();
    }
    let defaults = match path.0.as_slice() {
        [section, _] => json!(Config::default())[section].take(),
        _ => json!(CarrierSection::default()),
    };
    defaults[path.name()].to_string()
}

/// Whether Kubernetes or Docker set a variable: a service called `trackbox` gives every container variables such as
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

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            dict.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = dict
                .entry(name.clone())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
