//! What a key takes, and how a value is read from a file or a variable.

use std::net::SocketAddr;

use figment::value::{Num, Value};

use crate::config::Span;
use crate::config::keys::{nearest, toml_text};
use crate::config::secret::hide_password;

/// The most characters of one text.
const TEXT_CHARS_MAX: usize = 4_096;

/// The most members of one list.
const LIST_MAX: usize = 100;

/// What a key takes.
#[derive(Clone, Debug)]
pub enum Kind {
    Text,
    /// A text that is not repeated in errors.
    Secret,
    Texts,
    /// IP address and port.
    Address,
    /// Milliseconds.
    Span {
        min: u64,
        max: u64,
    },
    Spans {
        min: u64,
        max: u64,
    },
    Number {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What it takes, in words.
    pub fn expected(&self) -> String {
        let within = |min: &u64, max: &u64| {
            let (min, max) = (Span::from_millis(*min), Span::from_millis(*max));
            format!(
                "from {min} to {max}, such as \"500ms\", \"10s\", \"5m\", \"1h\", or a number of seconds"
            )
        };
        match self {
            Self::Text | Self::Secret => {
                format!("a text in quotes, at most {TEXT_CHARS_MAX} characters")
            }
            Self::Texts => format!("a list of at most {LIST_MAX} texts"),
            Self::Address => "an IP address and a port (0.0.0.0 for all interfaces)".to_owned(),
            Self::Span { min, max } => format!("a time {}", within(min, max)),
            Self::Spans { min, max } => format!(
                "a list of at most {LIST_MAX} times, each {}",
                within(min, max)
            ),
            Self::Number { min, max } => format!("a whole number from {min} to {max}"),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
        }
    }

    /// What a choice was probably meant to be, as a question to end an advice with; else nothing.
    pub fn meant(&self, text: &str) -> String {
        let Self::Choice(names) = self else {
            return String::new();
        };
        let name = nearest(text, names.iter().map(|name| (*name).to_owned()));
        name.map_or_else(String::new, |name| format!("; did you mean {name}?"))
    }

    /// Reads the value that a file gives.
    ///
    /// # Errors
    /// What the value is instead, fit to be shown.
    pub fn read(&self, value: &Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Text | Self::Secret, Value::String(_, text)) => self.read_text(text),
            (Self::Address | Self::Choice(_) | Self::Span { .. }, Value::String(_, text)) => {
                self.read_text(text)
            }
            (Self::Span { .. }, Value::Num(_, number)) => {
                let real = || number.to_f64().map(|real| real.to_string());
                let seconds = whole(*number).map(|whole| whole.to_string()).or_else(real);
                self.read_text(&seconds.unwrap_or_default())
            }
            (Self::Number { .. }, Value::Num(_, number)) => match whole(*number) {
                Some(whole) => self.read_text(&whole.to_string()),
                None => Err("is a number with a fraction".to_owned()),
            },
            (Self::Texts, Value::Array(_, members)) => read_list(&Self::Text, members),
            (Self::Spans { min, max }, Value::Array(_, members)) => read_list(
                &Self::Span {
                    min: *min,
                    max: *max,
                },
                members,
            ),
            (_, other) => Err(format!("is {}", type_of(other))),
        }
    }

    /// Reads the text that a variable gives; a list is written with commas.
    ///
    /// # Errors
    /// What is wrong with it, fit to be shown.
    pub fn read_text(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let refused = |reason: &str| {
            Err(format!(
                "is {}, {reason}",
                toml_text(&shortened(&hide_password(text)))
            ))
        };
        match self {
            Self::Text | Self::Secret if text.chars().any(is_no_text) => {
                Err("holds a control character, or bytes that are no UTF-8".to_owned())
            }
            Self::Text | Self::Secret if text.chars().count() > TEXT_CHARS_MAX => {
                Err("is too long".to_owned())
            }
            Self::Text | Self::Secret => Ok(Value::from(text)),
            Self::Address => match text.parse::<SocketAddr>() {
                Ok(_) => Ok(Value::from(text)),
                Err(_) => refused("which is no address with a port"),
            },
            Self::Number { min, max } => match text.parse::<u64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(Value::from(number)),
                _ if text.parse::<i128>().is_ok() => {
                    Err(format!("is {text}, which is out of range"))
                }
                _ => refused("which is no whole number"),
            },
            Self::Span { min, max } => match text.parse::<Span>() {
                Ok(span) if (*min..=*max).contains(&span.millis()) => {
                    Ok(Value::from(span.to_string()))
                }
                Ok(_) => refused("which is out of range"),
                Err(_) => refused("which is no time"),
            },
            Self::Choice(names) => match names.iter().find(|name| **name == text) {
                Some(_) => Ok(Value::from(text)),
                None => refused("which is not known"),
            },
            Self::Texts => read_list(&Self::Text, &members(text)),
            Self::Spans { min, max } => read_list(
                &Self::Span {
                    min: *min,
                    max: *max,
                },
                &members(text),
            ),
        }
    }
}

/// The number where it is written without a fraction.
fn whole(number: Num) -> Option<i128> {
    number
        .to_i128()
        .or_else(|| i128::try_from(number.to_u128()?).ok())
}

fn members(text: &str) -> Vec<Value> {
    let members = text
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty());
    members.map(Value::from).collect()
}

fn read_list(kind: &Kind, members: &[Value]) -> Result<Value, String> {
    if members.len() > LIST_MAX {
        return Err(format!("has {} members", members.len()));
    }
    let mut read = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let value = kind
            .read(member)
            .map_err(|what| format!("has a member, number {}, that {what}", index + 1))?;
        read.push(value);
    }
    Ok(Value::from(read))
}

/// Control characters, and what stands in the place of bytes that were no UTF-8.
fn is_no_text(c: char) -> bool {
    c.is_control() || c == char::REPLACEMENT_CHARACTER
}

/// At most as much of a text as an error shows.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
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
