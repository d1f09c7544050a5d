//! A carrier's answer without personal data, to be kept as a recorded one.
//!
//! Fields whose names say that they are about people are blanked, unless the answer would be read otherwise without them:
//! `name` may be a person or what happened. E-mail addresses, phone numbers and the account's credentials are blanked wherever
//! they stand. Nothing else is known to be personal, so a person has to look at what is left.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Value, json};

/// What stands in the place of a text.
const BLANK: &str = "BLANKED";

/// The most field names that are tried one by one; further ones are blanked without a look at what they change.
const TRIED_MAX: usize = 200;

/// Shorter credentials stand in every second word.
pub const SECRET_CHARS_MIN: usize = 4;

/// Names of fields that are about people, without marks, in small letters.
pub const NAMES: &[&str] = &[
    "addr",
    "apartment",
    "company",
    "fax",
    "fio",
    "firm",
    "flat",
    "house",
    "inn",
    "mail",
    "name",
    "rcpn",
    "sndr",
    "tel",
];

/// Parts of names of fields that are about people.
pub const PARTS: &[&str] = &[
    "address",
    "birth",
    "consignee",
    "contact",
    "customer",
    "email",
    "firstname",
    "fullname",
    "housen",
    "image",
    "lastname",
    "mobile",
    "passport",
    "personname",
    "phone",
    "photo",
    "receivedby",
    "receiver",
    "recipient",
    "sender",
    "shipper",
    "signator",
    "signature",
    "signed",
    "street",
    "surname",
    "telefon",
    "userparameters",
];

/// An answer without personal data.
#[derive(Debug, PartialEq, Eq)]
pub struct Blanked {
    pub body: Vec<u8>,
    /// How the name of its file ends.
    pub ending: &'static str,
    /// The fields that were blanked.
    pub fields: Vec<String>,
    /// The fields that look personal and were kept, since the answer would be read otherwise without them.
    pub kept: Vec<String>,
    /// How many e-mail addresses, phone numbers and credentials were blanked.
    pub by_form: usize,
}

/// An answer in the form that it has.
#[derive(Clone)]
enum Form {
    Json(Value),
    Xml(String),
    Other(String),
}

/// The answer `body` without personal data. `secrets` are the account's credentials, and `read` says what is read from a body.
pub fn blanked(body: &[u8], secrets: &[&str], read: impl Fn(&[u8]) -> String) -> Blanked {
    let mut form = Form::of(body);
    let mut by_form = 0;
    form.each_text(&mut |text| {
        let (text, count) = without_forms(text, secrets);
        by_form += count;
        text
    });
    let expected = read(&form.bytes());
    let (mut fields, mut kept) = (Vec::new(), Vec::new());
    for (tried, name) in form.names().into_iter().enumerate() {
        let mut without = form.clone();
        if !without.blank(&name) {
            continue;
        }
        if tried < TRIED_MAX && read(&without.bytes()) != expected {
            kept.push(name);
        } else {
            form = without;
            fields.push(name);
        }
    }
    Blanked {
        body: form.bytes(),
        ending: form.ending(),
        fields,
        kept,
        by_form,
    }
}

/// Whether a field's name says that it is about a person.
fn is_personal(name: &str) -> bool {
    let letters = name.chars().filter(|c| c.is_alphabetic());
    let folded: String = letters.flat_map(char::to_lowercase).collect();
    NAMES.contains(&folded.as_str()) || PARTS.iter().any(|part| folded.contains(part))
}

impl Form {
    fn of(body: &[u8]) -> Self {
        if let Ok(value) = serde_json::from_slice(body) {
            return Self::Json(value);
        }
        let text = String::from_utf8_lossy(body).into_owned();
        match document(&text) {
            Some(_) => Self::Xml(text),
            None => Self::Other(text),
        }
    }

    fn ending(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Xml(_) => "xml",
            Self::Other(_) => "txt",
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json(value) => format!("{value:#}\n").into_bytes(),
            Self::Xml(text) | Self::Other(text) => text.clone().into_bytes(),
        }
    }

    /// The names of fields that look personal.
    fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        match self {
            Self::Json(value) => json_names(value, &mut names),
            Self::Xml(text) => {
                let document = document(text);
                let nodes = document.iter().flat_map(|it| it.descendants());
                for node in nodes.filter(Node::is_element) {
                    let attributes = node.attributes().map(|it| it.name());
                    names.extend(
                        attributes
                            .chain([node.tag_name().name()])
                            .map(str::to_owned),
                    );
                }
            }
            Self::Other(_) => {}
        }
        names.retain(|name| is_personal(name));
        names
    }

    /// Blanks everything in fields of this name; whether there was anything.
    fn blank(&mut self, name: &str) -> bool {
        match self {
            Self::Json(value) => blank_json(value, name, false),
            Self::Xml(text) => {
                let ranges = xml_texts(text, |node, attribute| {
                    let mut around = node.ancestors();
                    attribute == Some(name) || around.any(|it| it.tag_name().name() == name)
                });
                let is_blank = |range: &Range<usize>| &text[range.clone()] == BLANK;
                let found = ranges.iter().any(|range| !is_blank(range));
                *text = replaced(text, &ranges, |_| Cow::Borrowed(BLANK));
                found
            }
            Self::Other(_) => false,
        }
    }

    /// Replaces every text.
    fn each_text(&mut self, with: &mut impl FnMut(&str) -> String) {
        match self {
            Self::Json(value) => each_json_text(value, with),
            Self::Xml(text) => {
                let ranges = xml_texts(text, |_, _| true);
                *text = replaced(text, &ranges, |text| Cow::Owned(with(text)));
            }
            Self::Other(text) => *text = with(text),
        }
    }
}

fn json_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                names.insert(name.clone());
                json_names(value, names);
            }
        }
        Value::Array(members) => members.iter().for_each(|it| json_names(it, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Blanks the fields of this name, and with `is_inside` everything; whether there was anything.
fn blank_json(value: &mut Value, name: &str, is_inside: bool) -> bool {
    match value {
        Value::Object(fields) => {
            let mut found = false;
            for (field, value) in fields {
                found |= blank_json(value, name, is_inside || field == name);
            }
            found
        }
        Value::Array(members) => {
            let mut found = false;
            for member in members {
                found |= blank_json(member, name, is_inside);
            }
            found
        }
        Value::String(text) if is_inside && !text.is_empty() && text != BLANK => {
            BLANK.clone_into(text);
            true
        }
        Value::Number(number) if is_inside && number.as_f64() != Some(0.0) => {
            *value = json!(0);
            true
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn each_json_text(value: &mut Value, with: &mut impl FnMut(&str) -> String) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|it| each_json_text(it, with)),
        Value::Array(members) => members.iter_mut().for_each(|it| each_json_text(it, with)),
        Value::String(text) => *text = with(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An answer in XML; `None` if it is none.
pub fn document(text: &str) -> Option<Document<'_>> {
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).ok()
}

/// Where such texts and values of attributes stand, in order: `of` is asked of a node, and of its attributes by name.
fn xml_texts(text: &str, of: impl Fn(Node<'_, '_>, Option<&str>) -> bool) -> Vec<Range<usize>> {
    let document = document(text);
    let mut ranges = Vec::new();
    for node in document.iter().flat_map(|it| it.descendants()) {
        let is_text = node.is_text() || node.is_comment();
        let is_said = node.text().is_some_and(|text| !text.trim().is_empty());
        if is_text && is_said && of(node, None) {
            ranges.push(node.range());
        }
        let attributes = node.attributes().filter(|it| of(node, Some(it.name())));
        ranges.extend(attributes.map(|it| it.range_value()));
    }
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|later, before| later.start < before.end);
    ranges
}

/// The text with something else in these places, which are in order.
pub fn replaced<'t>(
    text: &'t str,
    places: &[Range<usize>],
    mut with: impl FnMut(&'t str) -> Cow<'t, str>,
) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut from = 0;
    for place in places {
        whole.push_str(&text[from..place.start]);
        whole.push_str(&with(&text[place.clone()]));
        from = place.end;
    }
    whole.push_str(&text[from..]);
    whole
}

/// A text without e-mail addresses, phone numbers and credentials, and how many there were.
fn without_forms(text: &str, secrets: &[&str]) -> (String, usize) {
    let mut count = 0;
    let mut text = text.to_owned();
    for secret in secrets
        .iter()
        .filter(|it| it.chars().count() >= SECRET_CHARS_MIN)
    {
        let in_url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for secret in [secret, in_url.as_str()] {
            count += text.matches(secret).count();
            text = text.replace(secret, BLANK);
        }
    }
    let mut places: Vec<Range<usize>> = emails(&text).chain(phones(&text)).collect();
    places.sort_by_key(|place| place.start);
    places.dedup_by(|later, before| later.start < before.end);
    count += places.len();
    (replaced(&text, &places, |_| Cow::Borrowed(BLANK)), count)
}

/// Runs of characters of one kind.
fn runs(text: &str, of: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut from = None;
    let ends = text.char_indices().chain([(text.len(), '\0')]);
    ends.filter_map(move |(at, c)| match (of(c) && at < text.len(), from) {
        (true, None) => {
            from = Some(at);
            None
        }
        (false, Some(begin)) => {
            from = None;
            Some(begin..at)
        }
        _ => None,
    })
}

fn emails(text: &str) -> impl Iterator<Item = Range<usize>> {
    let of_email = |c: char| c.is_alphanumeric() || matches!(c, '@' | '.' | '-' | '_' | '+' | '%');
    runs(text, of_email).filter(|run| {
        let sides = text[run.clone()].split_once('@');
        sides.is_some_and(|(name, host)| !name.is_empty() && host.trim_matches('.').contains('.'))
    })
}

/// Phone numbers with a `+` or with brackets: without these they look like any other number.
fn phones(text: &str) -> impl Iterator<Item = Range<usize>> {
    let of_phone =
        |c: char| c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | '-' | ' ' | '\u{a0}');
    let without_blanks = |run: Range<usize>| {
        let begin = run.end - text[run.clone()].trim_start().len();
        begin..begin + text[begin..run.end].trim_end().len()
    };
    runs(text, of_phone).map(without_blanks).filter(|run| {
        let run = &text[run.clone()];
        let digits = run.chars().filter(char::is_ascii_digit).count();
        (9..=15).contains(&digits) && (run.starts_with('+') || run.contains('('))
    })
}

#[cfg(test)]
mod tests;
