//! How adapters read what carriers write: loosely typed fields, lists with unreadable members, refusals and error
//! messages.

pub mod complaint;
mod lenient;
pub mod number;
pub mod order;
pub mod time;
pub mod words;

use serde_json::Value;
use serde_json::error::Category;

use crate::carriers::reading::complaint::{WORDS_CHARS_MAX, holds, no_json, one_line};
use crate::carriers::reading::lenient::mended;
use crate::carriers::reading::order::Dated;
use crate::carriers::reading::time::{When, days_only};
use crate::carriers::{Answer, CarrierError};
use crate::model::{Unreadable, clean_text};

/// A whole answer as JSON, with or without a byte order mark, mended where that is needed. `key` is the account's, which
/// no error shows.
///
/// # Errors
/// [`CarrierError::Unreadable`] if it is not JSON; the account's error if it is a page or says so in plain words.
pub fn json(answer: &Answer, key: &str) -> Result<Value, CarrierError> {
    let body = answer.body.as_slice();
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    serde_json::from_slice(body)
        .or_else(|_| serde_json::from_str(&mended(body)))
        .map_err(|error| no_json(answer, key).unwrap_or_else(|| unreadable(&error)))
}

/// The error for an answer that is not the expected JSON: names the place, never the content.
fn unreadable(error: &serde_json::Error) -> CarrierError {
    let what = match error.classify() {
        Category::Io | Category::Syntax => "it is not JSON",
        Category::Data => "it does not have the agreed form",
        Category::Eof => "it ends too early",
    };
    CarrierError::Unreadable {
        reason: format!("{what}, line {} column {}", error.line(), error.column()),
    }
}

/// The error for an answer of the wrong form; `what` is in our words, not the carrier's.
pub fn misshapen(what: &str) -> CarrierError {
    CarrierError::Unreadable {
        reason: what.to_owned(),
    }
}

/// The members of a list, in each form that PHP gives one: an empty list may be null, false or "", and a list that lost
/// members an object whose keys are the remaining places. `None` if it is no list.
pub fn list(value: &Value) -> Option<Vec<&Value>> {
    match value {
        Value::Array(members) => Some(members.iter().collect()),
        Value::Null | Value::Bool(false) => Some(Vec::new()),
        Value::String(text) if text.is_empty() => Some(Vec::new()),
        Value::Object(members) => {
            let placed = members
                .iter()
                .map(|(key, member)| Some((key.parse().ok()?, member)));
            let mut members: Vec<(u64, &Value)> = placed.collect::<Option<_>>()?;
            members.sort_by_key(|(place, _)| *place);
            Some(members.into_iter().map(|(_, member)| member).collect())
        }
        Value::Bool(true) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Reads every record of a list that can be read, in the list's order, and tells of the others.
///
/// `read` says why a record cannot be read. `key` is the account's, which no example shows.
///
/// # Errors
/// [`CarrierError::Unreadable`] if none of them can be read.
pub fn each<T>(
    records: &[&Value],
    key: &str,
    read: impl Fn(&Value) -> Result<(When, T), String>,
) -> Result<(Vec<Dated<T>>, Unreadable), CarrierError> {
    let mut unreadable = Unreadable::default();
    let (mut times, mut read_ones) = (Vec::new(), Vec::new());
    for record in records {
        match read(record) {
            Ok((when, record)) => {
                times.push(when);
                read_ones.push(record);
            }
            Err(why) => {
                unreadable.count = unreadable.count.saturating_add(1);
                if unreadable.example.is_empty() {
                    unreadable.example = example(&why, key);
                }
            }
        }
    }
    if times.is_empty() && unreadable.count > 0 {
        let example = &unreadable.example;
        return Err(misshapen(&format!(
            "none of its events can be read; of one of them, {example}"
        )));
    }
    let days = days_only(&times);
    let dated = times.into_iter().zip(days).zip(read_ones);
    let dated = dated.map(|((when, day_only), record)| Dated {
        when,
        day_only,
        record,
    });
    Ok((dated.collect(), unreadable))
}

/// Why a record cannot be read, as a short line without the key.
fn example(why: &str, key: &str) -> String {
    let line = one_line(why);
    if holds(&line, key) {
        return "it holds what must not be shown".to_owned();
    }
    line.chars().take(WORDS_CHARS_MAX).collect()
}

/// A text that says what happened: a number's digits, empty if the field is absent or null.
///
/// # Errors
/// If it is of another type, which would lose the event's meaning.
pub fn main_text(record: &Value, field: &str) -> Result<String, String> {
    match &record[field] {
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(format!("its {field} is no text"))
        }
        Value::Null | Value::Number(_) | Value::String(_) => Ok(text(record, field)),
    }
}

/// A text that an event can do without: a number's digits, empty if the field is absent or of another type.
pub fn text(record: &Value, field: &str) -> String {
    match &record[field] {
        Value::String(text) => clean_text(text),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// An event's `statusRaw` and message. If the main text is empty, the other takes its place.
///
/// # Errors
/// If both texts are empty.
pub fn raw_and_message(main: String, other: String) -> Result<(String, String), String> {
    match (main.trim().is_empty(), other.trim().is_empty()) {
        (true, true) => Err("it has no text".to_owned()),
        (true, false) => Ok((other, String::new())),
        (false, _) if main == other => Ok((main, String::new())),
        (false, _) => Ok((main, other)),
    }
}

/// A place after its postal code, as in Russian addresses.
pub fn place(record: &Value, postal_code: &str, name: &str) -> String {
    let (postal_code, name) = (text(record, postal_code), text(record, name));
    if postal_code.is_empty() || name.contains(&postal_code) {
        return name;
    }
    clean_text(format!("{postal_code} {name}").trim_end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::list;

    #[test]
    fn a_list_is_read_in_every_form_that_php_gives_it() {
        for empty in [json!([]), json!({}), json!(null), json!(false), json!("")] {
            assert_eq!(list(&empty), Some(Vec::new()), "{empty}");
        }
        let filtered = json!({"10": "c", "2": "b", "0": "a"});
        assert_eq!(
            list(&filtered),
            Some(vec![&json!("a"), &json!("b"), &json!("c")])
        );
        for other in [
            json!(true),
            json!("none"),
            json!(0),
            json!({"0": 1, "x": 2}),
        ] {
            assert_eq!(list(&other), None, "{other}");
        }
    }
}
