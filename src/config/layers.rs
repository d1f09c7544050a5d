//! One layer of the configuration: the keys that one file, preset or environment sets, each read and checked.

use std::collections::BTreeMap;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use serde_json::{Value as Json, json};

use crate::config::keys::{Entry, KEY_VARIABLE, KeyPath, PREFIX, nearest};
use crate::config::mistakes::Mistake;
use crate::config::shape::Shape;
use crate::config::show::inline;
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
    /// The values by key; a section that is opened has an empty table.
    pub values: BTreeMap<KeyPath, Value>,
}

impl Layer {
    fn new(source: Source) -> Self {
        let values = BTreeMap::new();
        Self { source, values }
    }

    /// Reads a TOML text. What is wrong in it is added to `mistakes` and left out.
    pub fn from_toml(name: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Self {
        let mut layer = Self::new(Source::Toml(name.to_owned()));
        match Toml::from_str::<Dict>(text) {
            Ok(sections) => layer.take_all(&KeyPath::default(), &sections, mistakes),
            Err(error) => {
                // The error's own text would show the line, which may hold a key or a password.
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map_or(1, |before| before.matches('\n').count() + 1);
                let reason = error.message().lines().next().unwrap_or_default();
                mistakes.push(Mistake::new(
                    format!("this is not TOML: {reason}"),
                    format!("{name}, line {line}"),
                    "write KEY = VALUE lines under [SECTION] lines, texts in quotes",
                ));
            }
        }
        layer
    }

    /// Reads the environment variables; those that are not meant for TrackBox are left out ([`ignored`] names them).
    pub fn from_variables(variables: &[(String, String)], mistakes: &mut Vec<Mistake>) -> Self {
        let mut layer = Self::new(Source::Variables);
        for (name, text) in ours(variables) {
            match KeyPath::of_variable(name) {
                Some(path) => layer.take(&path, &Value::from(text.as_str()), mistakes),
                None if is_foreign(name) => {}
                None => mistakes.push(unknown_variable(name)),
            }
        }
        layer
    }

    /// Whether this layer sets the key at `path`, or opens the section there.
    pub fn sets(&self, path: &KeyPath) -> bool {
        self.values.keys().any(|key| key.0.starts_with(&path.0))
    }

    fn take_all(&mut self, above: &KeyPath, below: &Dict, mistakes: &mut Vec<Mistake>) {
        for (name, value) in below {
            self.take(&above.child(name), value, mistakes);
        }
    }

    /// Reads what stands at `path`.
    fn take(&mut self, path: &KeyPath, value: &Value, mistakes: &mut Vec<Mistake>) {
        let taken = match (path.entry(), value) {
            (Some(Entry::Key(schema)), _) => self.read(path, schema, value),
            (Some(Entry::Section(_)), Value::Dict(_, below)) => {
                self.take_all(path, below, mistakes);
                Ok(Value::from(Dict::new()))
            }
            (Some(Entry::Section(_)), _) => Err(no_section(path)),
            (None, Value::Dict(_, below)) if !below.is_empty() && path.0.len() < DEPTH_MAX => {
                return self.take_all(path, below, mistakes);
            }
            (None, _) => Err(unknown_key(path)),
        };
        match taken {
            Ok(value) => drop(self.values.insert(path.clone(), value)),
            Err((what, advice)) => {
                mistakes.push(Mistake::new(what, self.source.place(path), advice));
            }
        }
    }

    /// Reads the value of a key.
    fn read(&self, path: &KeyPath, schema: &'static Json, value: &Value) -> Result<Value, Wrong> {
        let shape = Shape::of(schema);
        let text = value.as_str().unwrap_or_default();
        let read = match self.source {
            Source::Toml(_) => shape.read(value),
            Source::Variables => shape.read_text(text),
        };
        read.map_err(|what| {
            let (expected, example) = (shape.expected(), example(path, schema));
            let meant = shape.meant(text);
            if let Source::Toml(_) = self.source {
                let line = format!("{} = {example}", path.name());
                let advice = format!("give {expected}, for example {line}{meant}");
                return (format!("{path} {what}"), advice);
            }
            let name = path.variable();
            let expected = expected.replace(" in quotes", "");
            let example = shape.for_variable(&example);
            let advice = format!("give {expected}, for example {name}={example}{meant}");
            (format!("{name} {what}"), advice)
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
    let code = path.0.get(1).filter(|_| path.0.len() == DEPTH_MAX);
    let known = KeyPath::all(code.map(String::as_str));
    let meant = nearest(&path.to_string(), known.iter().map(KeyPath::to_string));
    let advice = meant.map_or_else(|| path.siblings(), |name| format!("did you mean {name}?"));
    (format!("{path} is not a known key"), advice)
}

/// The variables that may be keys of ours. They have our prefix, and no other program sets them.
fn ours(variables: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
    variables.iter().filter(|(name, text)| {
        let other = [FILE_VARIABLE, KEY_VARIABLE].contains(&name.as_str());
        let other = other || name.starts_with(TESTS);
        name.starts_with(PREFIX) && !other && !is_service_link(name, text)
    })
}

/// The variables with our prefix that are meant for something else, such as `TRACKBOX_VERSION` in a compose file.
pub fn ignored(variables: &[(String, String)]) -> Vec<&str> {
    let names = ours(variables).map(|(name, _)| name.as_str());
    names
        .filter(|name| KeyPath::of_variable(name).is_none() && is_foreign(name))
        .collect()
}

/// Whether a variable that is no key's comes near none: it has no parts, and begins with no section's name.
fn is_foreign(name: &str) -> bool {
    let bare = name.trim_start_matches(PREFIX);
    let first = bare.split('_').next().unwrap_or_default();
    let is_section = nearest(first, KeyPath::default().names()).is_some();
    !first.is_empty() && !name.contains("__") && !is_section && meant(name).is_none()
}

/// The variable of a known key that this one is probably meant for.
fn meant(name: &str) -> Option<String> {
    // The prefix, which all share, would make everything look alike.
    let bare = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    let known = KeyPath::near_variable(name).into_iter();
    let meant = nearest(&bare(name), known.map(|key| bare(&key.variable())))?;
    Some(format!("{PREFIX}{meant}"))
}

fn unknown_variable(name: &str) -> Mistake {
    let advice = meant(name).map_or_else(
        || {
            "name it TRACKBOX_SECTION__KEY or TRACKBOX_CARRIERS__CODE__KEY, with two underscores between; \
             `trackbox config` shows every section and key"
                .to_owned()
        },
        |known| format!("did you mean {known}?"),
    );
    let what = format!("{name} is not the variable of a known key");
    Mistake::new(what, format!("variable {name}"), advice)
}

/// A good value of a key, as TOML: the schema's example, else the default.
pub fn example(path: &KeyPath, schema: &Json) -> String {
    if let Some(example) = schema["examples"].get(0) {
        return inline(example);
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
    let protocols = ["tcp://", "udp://", "sctp://"];
    let is_link = protocols.iter().any(|protocol| text.starts_with(protocol));
    let names_port = name.split_once("_PORT_").is_some_and(|(_, port)| {
        let mut parts = port.split('_');
        let number = parts.next().map(str::parse::<u16>);
        matches!(
            (number, parts.next()),
            (Some(Ok(_)), Some("TCP" | "UDP" | "SCTP"))
        )
    });
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || (name.ends_with("_PORT") && is_link)
            || names_port)
}
