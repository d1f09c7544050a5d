//! What a key takes, as its schema says it, and how a value is read from a file or a variable.

use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Num, Value};
use serde_json::{Value as Json, json};

use crate::config::Span;
use crate::config::format::{self, wrong};
use crate::config::keys::nearest;
use crate::config::zone;

/// The most members of one list.
const LIST_MAX: usize = 100;

/// What a key takes.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A text of this format.
    Text(&'static str),
    Choice(Vec<&'static str>),
    /// `true` or `false`.
    Flag,
    Number {
        min: u64,
        max: u64,
    },
    Span {
        min: Span,
        max: Span,
    },
    List(Box<Shape>),
    Table(Vec<Field>),
}

/// A key of a table in a list.
#[derive(Clone, Debug)]
pub struct Field {
    name: &'static str,
    shape: Shape,
    is_required: bool,
}

impl Shape {
    /// Reads the schema of a key.
    ///
    /// # Panics
    /// If the range of a span is not written as spans are.
    pub fn of(schema: &'static Json) -> Self {
        let choices = choices(schema);
        if !choices.is_empty() {
            return Self::Choice(choices);
        }
        let bound = |word: &str| {
            let span = schema[word].as_str().and_then(|text| text.parse().ok());
            span.expect("a test reads every key's schema")
        };
        let format = schema["format"].as_str();
        // The type of an optional value is "its type, or null".
        let kind = schema["type"].get(0).unwrap_or(&schema["type"]);
        match (kind.as_str(), format) {
            // A list's format is that of its members.
            (Some("array"), Some(format)) => Self::List(Box::new(Self::Text(format))),
            (Some("array"), None) => Self::List(Box::new(Self::of(&schema["items"]))),
            (Some("integer"), _) => Self::Number {
                min: schema["minimum"].as_u64().unwrap_or(0),
                max: schema["maximum"].as_u64().unwrap_or(u64::MAX),
            },
            (Some("boolean"), _) => Self::Flag,
            (Some("object"), _) => Self::Table(fields(schema)),
            (_, Some("time")) => Self::Span {
                min: bound("from"),
                max: bound("to"),
            },
            (_, format) => Self::Text(format.unwrap_or_default()),
        }
    }

    /// What it takes, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Text(format) => format!("a text in quotes, {}", format::expected(format)),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::Flag => "true or false".to_owned(),
            Self::Number { min, max } => format!("a whole number from {min} to {max}"),
            Self::Span { min, max } => format!(
                "a time from {min} to {max}, such as \"500ms\", \"10s\", \"5m\", \"1h\", or a number of seconds"
            ),
            Self::List(members) => {
                format!("a list of at most {LIST_MAX}, each {}", members.expected())
            }
            Self::Table(fields) => {
                let fields = fields.iter().map(|field| {
                    let needed = if field.is_required { "" } else { " if wanted" };
                    format!("{}{needed}, {}", field.name, field.shape.expected())
                });
                let fields: Vec<String> = fields.collect();
                format!("a table {{ … }} with {}", fields.join("; "))
            }
        }
    }

    /// A value that a file gives, as a variable gives it.
    pub fn for_variable(&self, in_file: &str) -> String {
        match self {
            Self::List(members) if matches!(**members, Self::Table(_)) => in_file.to_owned(),
            _ => in_file.replace(['"', '[', ']'], ""),
        }
    }

    /// The valid text that was probably meant, as a question at the end of an advice; else nothing.
    pub fn meant(&self, text: &str) -> String {
        let meant = match self {
            Self::Choice(names) => nearest(text, names.iter().copied()).map(str::to_owned),
            Self::Text("time zone") => zone::meant(text),
            _ => None,
        };
        meant.map_or_else(String::new, |name| format!("; did you mean {name}?"))
    }

    /// Reads the value that a file gives.
    ///
    /// # Errors
    /// What the value is instead, fit to be shown.
    pub fn read(&self, value: &Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Text(_) | Self::Choice(_) | Self::Span { .. }, Value::String(_, text)) => {
                self.read_text(text)
            }
            (Self::Number { .. }, Value::Num(_, Num::F64(_))) => {
                Err("is a number with a fraction".to_owned())
            }
            (Self::Number { .. } | Self::Span { .. }, Value::Num(..)) => {
                self.read_text(&json!(value).to_string())
            }
            (Self::Flag, Value::Bool(..)) => Ok(value.clone()),
            (Self::List(members), Value::Array(_, values)) => members.read_list(values),
            (Self::Table(fields), Value::Dict(_, values)) => read_table(fields, values),
            (_, other) => Err(format!("is {}", type_of(other))),
        }
    }

    /// Reads the text that a variable gives; a list is written with commas, and one of tables as in a file.
    ///
    /// # Errors
    /// What is wrong with it, fit to be shown.
    pub fn read_text(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        if is_in_quotes(text) {
            // As from Docker's --env-file, which knows no quotes. The text may be a secret.
            return Err(
                "is in quotes, which are part of the value here: leave them out".to_owned(),
            );
        }
        let refused = |why: &str| Err(wrong(text, why));
        match self {
            Self::Text(format) => format::read(format, text).map(Value::from),
            Self::Choice(names) if names.contains(&text) => Ok(Value::from(text)),
            Self::Choice(_) => refused("which is not known"),
            Self::Flag => match text.to_ascii_lowercase().parse::<bool>() {
                Ok(flag) => Ok(Value::from(flag)),
                Err(_) => refused("which is neither true nor false"),
            },
            Self::Number { min, max } => match text.parse::<u64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(Value::from(number)),
                _ if text.parse::<i128>().is_ok() => {
                    Err(format!("is {text}, which is out of range"))
                }
                _ => refused("which is no whole number"),
            },
            Self::Span { min, max } => match text.parse::<Span>() {
                Ok(span) if (*min..=*max).contains(&span) => Ok(Value::from(span.to_string())),
                Ok(_) => refused("which is out of range"),
                Err(_) => refused("which is no time"),
            },
            Self::List(members) if matches!(**members, Self::Table(_)) => {
                let read = Toml::from_str::<Dict>(&format!("list = [{}]", within_brackets(text)));
                let list = read.ok().and_then(|mut read| read.remove("list"));
                list.map_or_else(
                    || refused("which is no list of tables"),
                    |list| self.read(&list),
                )
            }
            Self::Table(_) => refused("which is no table"),
            Self::List(members) => {
                let texts = text.split(',').map(str::trim);
                let texts = texts.filter(|member| !member.is_empty()).map(Value::from);
                members.read_list(&texts.collect::<Vec<Value>>())
            }
        }
    }

    fn read_list(&self, values: &[Value]) -> Result<Value, String> {
        if values.len() > LIST_MAX {
            return Err(format!("has {} members", values.len()));
        }
        let read = values.iter().enumerate().map(|(index, value)| {
            self.read(value)
                .map_err(|what| format!("has a member, number {}, that {what}", index + 1))
        });
        Ok(Value::from(read.collect::<Result<Vec<Value>, String>>()?))
    }
}

/// Reads a table in a list.
fn read_table(fields: &[Field], values: &Dict) -> Result<Value, String> {
    let is_known = |name: &&String| fields.iter().any(|field| field.name == **name);
    if let Some(name) = values.keys().find(|name| !is_known(name)) {
        let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
        return Err(format!(
            "has the key {name}, which is none of {}",
            known.join(", ")
        ));
    }
    let mut read = Dict::new();
    for field in fields {
        let name = field.name;
        if let Some(value) = values.get(name) {
            let value = field.shape.read(value);
            let value = value.map_err(|what| format!("has a key {name} that {what}"))?;
            read.insert(name.to_owned(), value);
        } else if field.is_required {
            return Err(format!("has no key {name}"));
        }
    }
    Ok(Value::from(read))
}

fn fields(schema: &'static Json) -> Vec<Field> {
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it == name));
    let properties = schema["properties"].as_object().into_iter().flatten();
    let field = |(name, schema): (&'static String, &'static Json)| Field {
        name,
        shape: Shape::of(schema),
        is_required: is_required(name),
    };
    properties.map(field).collect()
}

fn is_in_quotes(text: &str) -> bool {
    let is_in = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    is_in('"') || is_in('\'')
}

/// A list without its brackets, which a variable may leave out.
fn within_brackets(text: &str) -> &str {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or(text)
}

/// The choices of an enum's schema, which has each documented variant by itself and lists the others. One that is
/// optional is "any of: the enum, null".
fn choices(schema: &'static Json) -> Vec<&'static str> {
    let array = |word: &str| schema[word].as_array().into_iter().flatten();
    let own = array("enum")
        .chain([&schema["const"]])
        .filter_map(Json::as_str);
    let parts = array("anyOf").chain(array("oneOf")).flat_map(choices);
    own.chain(parts).collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a text",
        Value::Bool(..) => "true or false",
        Value::Num(..) => "a number",
        Value::Empty(..) => "nothing",
        Value::Dict(..) => "a table or a date",
        Value::Array(..) => "a list",
    }
}
