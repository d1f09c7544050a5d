//! Reads a carrier's TOML file key by key, and collects every mistake with its line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{ImDocument, Item, TableLike, Value};

use crate::config::format::shown;
use crate::config::keys::nearest;
use crate::config::mistakes::Mistake;

/// The most mistakes that are kept of one file.
const MISTAKES_MAX: usize = 50;

/// A file's name and text, and what is wrong with it.
pub struct Source<'a> {
    name: &'a str,
    text: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
}

/// A table of the file. It remembers which keys were asked for: [`Section::done`] tells of the others.
pub struct Section<'s> {
    source: &'s Source<'s>,
    /// Its own path, such as `event.time`.
    path: String,
    table: Option<&'s dyn TableLike>,
    known: RefCell<Vec<&'static str>>,
}

/// A text with its place in the file.
pub type Placed = (String, Range<usize>);

/// Reads a whole file. `read` takes what it needs of the root.
///
/// # Errors
/// Every mistake.
pub fn read<T>(
    name: &str,
    text: &str,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Result<T, Vec<Mistake>> {
    let source = Source {
        name,
        text,
        mistakes: RefCell::default(),
    };
    let document = ImDocument::parse(text).map_err(|error| {
        let line = line(text, error.span().map_or(0, |span| span.start));
        let reason = error.message().lines().next().unwrap_or_default();
        vec![Mistake::new(
            format!("this is not TOML: {reason}"),
            format!("{name}, line {line}"),
            "write KEY = VALUE lines under [SECTION] lines, texts in quotes",
        )]
    })?;
    let root = Section {
        source: &source,
        path: String::new(),
        table: Some(document.as_table()),
        known: RefCell::default(),
    };
    let found = read(&root);
    root.done();
    drop(root);
    let mut mistakes = source.mistakes.into_inner();
    if found.is_none() && mistakes.is_empty() {
        let advice = "see docs/carriers.md for its form";
        mistakes.push(Mistake::new("this is no carrier's file", name, advice));
    }
    match found {
        Some(found) if mistakes.is_empty() => Ok(found),
        _ => Err(mistakes),
    }
}

fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

impl<'s> Section<'s> {
    fn key(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Tells of a mistake at a key; `what` continues the sentence that begins with the key.
    pub fn wrong(&self, key: &str, what: &str, advice: &str) {
        let span = self.table.and_then(|table| {
            let (key, item) = table.get_key_value(key)?;
            key.span().or(item.span())
        });
        self.wrong_at(span.or_else(|| self.span()), key, what, advice);
    }

    fn wrong_at(&self, span: Option<Range<usize>>, key: &str, what: &str, advice: &str) {
        let mut mistakes = self.source.mistakes.borrow_mut();
        if mistakes.len() >= MISTAKES_MAX {
            return;
        }
        let (name, key) = (self.source.name, self.key(key));
        let line = line(self.source.text, span.map_or(0, |span| span.start));
        let place = format!("{name}, line {line}");
        mistakes.push(Mistake::new(format!("{key} {what}"), place, advice));
    }

    fn span(&self) -> Option<Range<usize>> {
        let (key, item) = self.table?.get_key_value(self.table?.iter().next()?.0)?;
        key.span().or(item.span())
    }

    fn item(&self, key: &'static str) -> Option<&'s Item> {
        self.known.borrow_mut().push(key);
        self.table?.get(key).filter(|item| !item.is_none())
    }

    /// Whether the file has this table.
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }

    pub fn text(&self, key: &'static str) -> Option<String> {
        self.texts(key).into_iter().next().map(|(text, _)| text)
    }

    /// Whether the table has a key.
    pub fn has(&self, key: &'static str) -> bool {
        self.item(key).is_some()
    }

    /// Whether a key holds a text or a list of texts.
    pub fn has_texts(&self, key: &str) -> bool {
        let item = self.table.and_then(|table| table.get(key));
        let is_text = |value: &Value| text_of(value).is_some();
        item.is_some_and(|item| match item.as_array() {
            Some(list) => list.iter().all(is_text),
            None => item.as_value().is_some_and(is_text),
        })
    }

    /// A text that must be there.
    pub fn needed(&self, key: &'static str, example: &str) -> Option<String> {
        let text = self.text(key);
        if text.is_none() {
            self.wrong(key, "is missing", &format!("write {key} = \"{example}\""));
        }
        text
    }

    /// A text, or a list of texts; a number or a flag counts as its text.
    pub fn texts(&self, key: &'static str) -> Vec<Placed> {
        let Some(item) = self.item(key) else {
            return Vec::new();
        };
        let list = item.as_array();
        let values: Vec<Option<&Value>> = match list {
            Some(list) => list.iter().map(Some).collect(),
            None => vec![item.as_value()],
        };
        let mut texts = Vec::new();
        for value in values {
            match value.and_then(text_of) {
                Some(text) => texts.push((text, value.and_then(Value::span).unwrap_or_default())),
                None => self.wrong(
                    key,
                    "is neither a text nor a list of texts",
                    "write it in quotes",
                ),
            }
        }
        texts
    }

    /// Texts that `read` takes; it says what is wrong with one.
    pub fn read_all<T>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut all = Vec::new();
        for (text, span) in self.texts(key) {
            match read(&text) {
                Ok(one) => all.push(one),
                Err(what) => self.wrong_at(
                    Some(span),
                    key,
                    &format!("is {}: {what}", shown(&text)),
                    "see docs/carriers.md for what may stand here",
                ),
            }
        }
        all
    }

    /// One such text.
    pub fn read<T>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let mut all = self.read_all(key, read);
        if all.len() > 1 {
            self.wrong(key, "is a list", "give one text");
        }
        all.pop()
    }

    /// A whole number of this range.
    pub fn number(&self, key: &'static str, range: Range<i64>) -> Option<i64> {
        let item = self.item(key)?;
        let number = item.as_integer().filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = (range.start, range.end - 1);
            self.wrong(
                key,
                &format!("is no whole number from {from} to {to}"),
                "give one",
            );
        }
        number
    }

    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let item = self.item(key)?;
        let flag = item.as_bool();
        if flag.is_none() {
            self.wrong(key, "is neither true nor false", "write it without quotes");
        }
        flag
    }

    /// A table; without any key if the file has none.
    pub fn section(&self, key: &'static str) -> Section<'s> {
        let item = self.item(key);
        let table = item.and_then(Item::as_table_like);
        if item.is_some() && table.is_none() {
            self.wrong(
                key,
                "is no table",
                &format!("write [{}] above its keys", self.key(key)),
            );
        }
        self.below(key, table)
    }

    /// A table, or a list of tables.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'s>> {
        let Some(item) = self.item(key) else {
            return Vec::new();
        };
        if let Some(table) = item.as_table_like() {
            return vec![self.below(key, Some(table))];
        }
        let tables: Option<Vec<&dyn TableLike>> = match (item.as_array(), item.as_array_of_tables())
        {
            (Some(list), _) => {
                let tables = list.iter().map(|value| {
                    let table = value.as_inline_table();
                    table.map(|table| table as &dyn TableLike)
                });
                tables.collect()
            }
            (None, Some(list)) => Some(list.iter().map(|table| table as &dyn TableLike).collect()),
            (None, None) => None,
        };
        let Some(tables) = tables else {
            self.wrong(key, "is no list of tables", "write [{ … }, { … }]");
            return Vec::new();
        };
        let sections = tables.into_iter().map(|table| self.below(key, Some(table)));
        sections.collect()
    }

    fn below(&self, key: &str, table: Option<&'s dyn TableLike>) -> Section<'s> {
        Section {
            source: self.source,
            path: self.key(key),
            table,
            known: RefCell::default(),
        }
    }

    /// Every key of the table with its text, for tables whose keys are the carrier's.
    pub fn lines(&self) -> Vec<(String, String, Range<usize>)> {
        let Some(table) = self.table else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for (key, item) in table.iter() {
            if item.is_table_like() {
                continue;
            }
            match item.as_value().and_then(text_of) {
                Some(text) => {
                    let span = table.get_key_value(key).and_then(|(key, _)| key.span());
                    lines.push((
                        key.to_owned(),
                        text,
                        span.or(item.span()).unwrap_or_default(),
                    ));
                }
                None => self.wrong(key, "is no text", "write it in quotes"),
            }
        }
        lines
    }

    /// Tells of a mistake in one of [`Section::lines`].
    pub fn wrong_line(&self, key: &str, span: Range<usize>, what: &str, advice: &str) {
        self.wrong_at(Some(span), key, what, advice);
    }

    /// Any value, as JSON.
    pub fn json(&self, key: &'static str) -> Option<serde_json::Value> {
        json_of(self.item(key)?)
    }

    /// These keys with their values, as JSON.
    pub fn jsons(&self, keys: &[&'static str]) -> String {
        let pairs = keys.iter().map(|key| (*key, self.json(key)));
        let known: BTreeMap<_, _> = pairs.filter(|(_, value)| value.is_some()).collect();
        serde_json::json!(known).to_string()
    }

    /// Tells of the keys that nothing asked for.
    pub fn done(&self) {
        let known = self.known.borrow();
        let Some(table) = self.table else {
            return;
        };
        for (key, item) in table.iter() {
            if !item.is_none() && !known.contains(&key) {
                let near = nearest(key, known.iter());
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                let mut names = known.clone();
                names.sort_unstable();
                names.dedup();
                let advice = format!("the keys here are {}{near}", names.join(", "));
                self.wrong(key, "is not known", &advice);
            }
        }
    }

    /// Tells of the tables in this one that nothing asked for.
    pub fn done_with_tables(&self) {
        let known = self.known.borrow();
        let Some(table) = self.table else {
            return;
        };
        for (key, item) in table.iter() {
            if item.is_table_like() && !known.contains(&key) {
                let advice = format!("the tables here are {}", known.join(", "));
                self.wrong(key, "is a table that is not known", &advice);
            }
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Boolean(flag) => Some(flag.value().to_string()),
        _ => None,
    }
}

fn json_of(item: &Item) -> Option<serde_json::Value> {
    let of_table = |table: &dyn TableLike| {
        let fields = table.iter();
        let fields = fields.map(|(key, item)| Some((key.to_owned(), json_of(item)?)));
        fields.collect::<Option<_>>().map(serde_json::Value::Object)
    };
    if let Some(table) = item.as_table_like() {
        return of_table(table);
    }
    if let Some(list) = item.as_array_of_tables() {
        let members = list.iter().map(|table| of_table(table));
        return members.collect::<Option<_>>().map(serde_json::Value::Array);
    }
    match item.as_value()? {
        Value::String(text) => Some(text.value().as_str().into()),
        Value::Integer(number) => Some((*number.value()).into()),
        Value::Float(number) => Some((*number.value()).into()),
        Value::Boolean(flag) => Some((*flag.value()).into()),
        Value::Datetime(time) => Some(time.value().to_string().into()),
        Value::Array(list) => {
            let members = list
                .iter()
                .map(|value| json_of(&Item::Value(value.clone())));
            members.collect::<Option<_>>().map(serde_json::Value::Array)
        }
        Value::InlineTable(table) => of_table(table),
    }
}
